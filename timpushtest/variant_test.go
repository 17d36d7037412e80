package timpushtest_test

import (
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

// TestClientInTheWorstCase does with a client all that it can do with attributes.
func TestClientInTheWorstCase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := start(t, with(timpushtest.WorstCase()), timpushtest.WithKnownAccounts(wideAccounts()...))
		c := f.Client()
		ctx := t.Context()
		require.NoError(t, c.SetAttrNames(ctx, []timpush.AttrName{{Index: 4, Name: "level"}}))
		names, err := c.AttrNames(ctx)
		require.NoError(t, err)
		assert.Len(t, names, 4)

		var users []timpush.UserAttrs
		for i, account := range wideAccounts() {
			users = append(users, timpush.UserAttrs{ToAccount: account, Attrs: timpush.Attrs{"city": fmt.Sprint("city ", i), "level": "gold"}})
		}
		f.Inject(timpushtest.ErrorCode(91000), timpushtest.ErrorCode(60008), timpushtest.CutAfter())
		result, err := c.SetAttr(ctx, users)
		require.NoError(t, err)
		assert.Equal(t, len(users), result.Done)
		_, err = c.Verify(ctx, users)
		require.NoError(t, err, "also if reads are a second behind")
		for _, u := range users {
			assert.Equal(t, map[string]string(u.Attrs), f.Attrs(u.ToAccount))
		}
		result, err = c.SetAttr(ctx, []timpush.UserAttrs{users[0], {ToAccount: "unknown", Attrs: timpush.Attrs{"city": "x"}}})
		require.Error(t, err)
		assert.Equal(t, 1, result.Done)
		assert.NotContains(t, f.Accounts(), "unknown")
		_, err = c.RemoveAttr(ctx, []timpush.UserAttrNames{{ToAccount: users[0].ToAccount, Names: []string{"city"}}})
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"level": "gold"}, f.Attrs(users[0].ToAccount))
	})
}

// wideAccounts are more than fit into the largest body at once.
func wideAccounts() (accounts []string) {
	for i := range 150 {
		accounts = append(accounts, fmt.Sprintf("account-%080d", i))
	}
	return accounts
}

// TestWorstCaseCoversEveryField fails for a new field that WorstCase does not set, unless its zero value is the harder
// one, or the other value contradicts the documentation.
func TestWorstCaseCoversEveryField(t *testing.T) {
	t.Parallel()
	defaultIsHarder := map[string]bool{
		"FixedWindow": true, "RefusedCallsFree": true, "ExpiryTolerance": true, "EmptyAccepted": true,
		"InvalidAttrPerAccount": true, "UnknownNamesIgnored": true, "UnknownStored": true, "FoldedNames": true,
		"Replace": true, "EmptyNameClears": true, "TagsUntyped": true, "UndocumentedAccepted": true, "TagsNotAny": true,
		"RecipientsQueued": true, "PastTasksAccepted": true, "TasksFree": true, "RevokeInfoOptional": true, "AnswersInOrder": true,
		"FailStatusOnSuccess": true, "ErrorListUnrelated": true,
	}
	worst := reflect.ValueOf(timpushtest.WorstCase())
	for i := range worst.NumField() {
		name := worst.Type().Field(i).Name
		assert.NotEqual(t, worst.Field(i).IsZero(), !defaultIsHarder[name], name)
	}
}

func TestLaterVariantHolds(t *testing.T) {
	t.Parallel()
	f := start(t, with(variant{EmptyAccepted: true}), with(variant{ExpiryTolerance: time.Minute}))
	assert.Equal(t, 90001, f.post(`{"UserAttrs":[]}`).Code)
}

package timpush_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

func tagged(account string, tags ...string) timpush.UserTags {
	return timpush.UserTags{ToAccount: account, Tags: tags}
}

func TestTags(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s)
		result, err := c.AddTags(t.Context(), []timpush.UserTags{tagged("a", "x", "y"), tagged("b", "x"), tagged("a", "z", "x")})
		require.NoError(t, err)
		assert.Equal(t, timpush.Result{Done: 3, Requests: 1}, *result)
		assert.Equal(t, []string{"x", "y", "z"}, s.Tags("a"), "tags of an account that comes twice are joined")

		_, err = c.ReplaceTags(t.Context(), []timpush.UserTags{tagged("a", "old"), tagged("a", "p", "q")})
		require.NoError(t, err)
		assert.Equal(t, []string{"p", "q"}, s.Tags("a"), "the later wins")

		_, err = c.RemoveTags(t.Context(), []timpush.UserTags{tagged("a", "p"), tagged("b", "never had")})
		require.NoError(t, err)
		found, err := c.GetTags(t.Context(), []string{"a", "b", "a"})
		require.NoError(t, err)
		assert.Equal(t, map[string][]string{"a": {"q"}, "b": {"x"}}, found)

		_, err = c.ClearTags(t.Context(), []string{"a", "b"})
		require.NoError(t, err)
		assert.Empty(t, s.Tags("a"))
	})
}

func TestManyTaggedUsersAreSplit(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		users := make([]timpush.UserTags, 250)
		for i := range users {
			users[i] = tagged(account(i), "x")
		}
		s.Refuse(90035, account(7))
		result, err := client(s).AddTags(t.Context(), users)
		assert.Equal(t, timpush.Result{Done: 249, Rejected: 1, Requests: 3}, *result)
		require.ErrorIs(t, err, timpush.ErrAccountType)
		assert.Empty(t, timpush.Remaining(err, users))
		assert.Empty(t, s.Tags(account(7)))
	})
}

func TestTagsAreTriedAgain(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.CutAfter(), timpushtest.ErrorCode(60007), timpushtest.AccountCode(91000, "a"))
		result, err := client(s).AddTags(t.Context(), []timpush.UserTags{tagged("a", "x"), tagged("b", "x")})
		require.NoError(t, err)
		assert.Equal(t, 4, result.Requests)
		assert.Equal(t, []string{"x"}, s.Tags("a"))
	})
}

func TestBadTags(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s)
		many := make([]string, 101)
		for i := range many {
			many[i] = account(i)
		}
		for name, test := range map[string]struct {
			call func() error
			want map[int][]string // fields of the faults by index
		}{
			"add": {func() error {
				_, err := c.AddTags(t.Context(), []timpush.UserTags{
					tagged(""), tagged("a", many[:11]...), tagged("b", "", strings.Repeat("x", 51), "\xff"), tagged("c", strings.Repeat("x", 50)),
				})
				return err
			}, map[int][]string{0: {"", "Tags"}, 1: {"Tags"}, 2: {"Tags[0]", "Tags[1]", "Tags[2]"}}},
			"add, more than ten together": {func() error {
				_, err := c.AddTags(t.Context(), []timpush.UserTags{tagged("a", many[:6]...), tagged("b", "x"), tagged("a", many[6:11]...)})
				return err
			}, map[int][]string{2: {""}}},
			"replace": {func() error {
				_, err := c.ReplaceTags(t.Context(), []timpush.UserTags{tagged("a", many[:100]...), tagged("b", many...), tagged("c")})
				return err
			}, map[int][]string{1: {"Tags"}, 2: {"Tags"}}},
			"remove": {func() error {
				_, err := c.RemoveTags(t.Context(), []timpush.UserTags{tagged("a", many...), tagged("b")})
				return err
			}, map[int][]string{1: {"Tags"}}},
			"clear": {func() error {
				_, err := c.ClearTags(t.Context(), []string{"a", ""})
				return err
			}, map[int][]string{1: {""}}},
			"get": {func() error {
				_, err := c.GetTags(t.Context(), []string{"a\n", "b"})
				return err
			}, map[int][]string{0: {""}}},
		} {
			var faulty *timpush.InputErrors
			require.ErrorAs(t, test.call(), &faulty, name)
			got := map[int][]string{}
			for _, fault := range faulty.Faults {
				got[fault.Index] = append(got[fault.Index], fault.Field)
			}
			assert.Equal(t, test.want, got, name)
		}
		assert.Empty(t, s.Calls())
	})
}

func TestContradictingTags(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, timpush.WithLimiter(unlimited{}), through(answering(`{"ActionStatus":"OK","ErrorCode":0,"UserTags":[`+
			`{"To_Account":"a","Tags":["x"]},{"To_Account":"b","Tags":["x","y"]},{"To_Account":"a","Tags":[]},{"To_Account":"b","Tags":["y","x"]}]}`)))
		found, err := c.GetTags(t.Context(), []string{"a", "b"})
		require.ErrorIs(t, err, timpush.ErrNotAnswered)
		assert.Equal(t, map[string][]string{"b": {"y", "x"}}, found)
	})
}

func TestTagsThatAreNumbers(t *testing.T) {
	t.Parallel()
	c := newClient(t, timpush.WithLimiter(unlimited{}), through(answering(`{"ActionStatus":"OK","ErrorCode":0,"UserTags":[`+
		`{"To_Account":"a","Tags":["x",1]},{"To_Account":"b","Tags":null}]}`)))
	found, err := c.GetTags(t.Context(), []string{"a", "b"})
	require.NoError(t, err)
	assert.Equal(t, map[string][]string{"a": {"x", "1"}, "b": {}}, found)
}

// TestRemovalOfTagsThatMayBeDone: a refusal after a lost answer may come since the tags are removed already.
func TestRemovalOfTagsThatMayBeDone(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(*testing.T, *timpush.Client) error{
		"remove": func(t *testing.T, c *timpush.Client) error {
			_, err := c.RemoveTags(t.Context(), []timpush.UserTags{tagged("a", "x")})
			return err
		},
		"clear": func(t *testing.T, c *timpush.Client) error {
			_, err := c.ClearTags(t.Context(), []string{"a"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				s.Inject(timpushtest.ErrorCodeApplied(91000), timpushtest.ErrorCode(90033))
				var failed *timpush.UserError
				require.ErrorAs(t, remove(t, client(s)), &failed)
				assert.Equal(t, timpush.Unknown, failed.Outcome)

				s.Inject(timpushtest.ErrorCode(90033))
				require.ErrorAs(t, remove(t, client(s)), &failed)
				assert.Equal(t, timpush.Rejected, failed.Outcome)
			})
		})
	}
}

func TestTagsAreNotInTheTextOfAPage(t *testing.T) {
	t.Parallel()
	s := fake(t)
	s.Inject(timpushtest.Answer(403, `blocked: {"UserTags":[{"To_Account":"a","Tags":["private tag"]}]}`))
	_, err := client(s).AddTags(t.Context(), []timpush.UserTags{tagged("a", "private tag")})
	require.ErrorAs(t, err, new(*timpush.HTTPError))
	assert.NotContains(t, err.Error(), "private tag")
}

// TestTagsAtTheirLimits: an answer of the service may escape what is not ASCII.
func TestTagsAtTheirLimits(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		tags := strings.Join(slices.Repeat([]string{`"` + strings.Repeat(`\u0436`, 25) + `"`}, 100), ",")
		users := make([]string, 100)
		for i := range users {
			users[i] = fmt.Sprintf(`{"To_Account":%q,"Tags":[%s]}`, account(i), tags)
		}
		answer := `{"ActionStatus":"OK","ErrorCode":0,"UserTags":[` + strings.Join(users, ",") + `]}`
		found, err := newClient(t, through(answering(answer))).GetTags(t.Context(), accounts(100))
		require.NoError(t, err)
		assert.Len(t, found["user-99"], 100)
	})
}

// TestTagsWithLineEnds, as read from a file of Windows: TagsNot with one excludes no user, and RemoveTags removes nothing, both without an error.
func TestTagsWithLineEnds(t *testing.T) {
	t.Parallel()
	s := fake(t)
	c := client(s)
	users := []timpush.UserTags{{ToAccount: "mary", Tags: []string{"vip\r"}}}
	_, added := c.AddTags(t.Context(), users)
	_, replaced := c.ReplaceTags(t.Context(), users)
	_, removed := c.RemoveTags(t.Context(), users)
	_, pushed := c.Push(t.Context(), timpush.Audience{TagsNot: []string{"vip\r"}}, timpush.Push{Notification: timpush.Notification{Title: "x"}})
	named := c.SetAttrNames(t.Context(), []timpush.AttrName{{Index: 3, Name: "level\r"}})
	for _, err := range []error{added, replaced, removed, pushed, named} {
		require.ErrorAs(t, err, new(*timpush.InputErrors))
		assert.ErrorContains(t, err, "has a control character at byte")
	}
	assert.Empty(t, s.Calls())
}

package timpush_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

func TestFromNothingToTheFirstAttribute(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithAttrNames())
		c := client(s)
		names, err := c.AttrNames(t.Context())
		require.NoError(t, err)
		assert.Empty(t, names)
		want := []timpush.AttrName{
			{Index: 2, Name: "城市", AccountType: timpush.AccountTypeUserID},
			{Index: 7, Name: "model", AccountType: timpush.AccountTypeRegistrationID},
		}
		require.NoError(t, c.SetAttrNames(t.Context(), want))
		names, err = c.AttrNames(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, names)
		_, err = c.SetAttr(t.Context(), []timpush.UserAttrs{{ToAccount: "mary", Attrs: timpush.Attrs{"城市": "深圳"}}})
		require.NoError(t, err)
		attrs, err := c.GetAttr(t.Context(), []string{"mary", "john"})
		require.NoError(t, err)
		assert.Equal(t, map[string]timpush.Attrs{"mary": {"城市": "深圳"}, "john": {}}, attrs)
	})
}

func TestAttrNamesUnderEachReadingOfTheDocumentation(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]timpushtest.Option{
		"empty fields absent": {timpushtest.WithVariant(timpushtest.Variant{EmptyFieldsAbsent: true})},
		"types omitted":       {timpushtest.WithVariant(timpushtest.Variant{TypesOmitted: true})},
		"quoted numbers":      {timpushtest.WithVariant(timpushtest.Variant{QuotedNumbers: true})},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				c := client(fake(t, append(opts, timpushtest.WithAttrNames())...))
				names, err := c.AttrNames(t.Context())
				require.NoError(t, err)
				assert.Empty(t, names)
				require.NoError(t, c.SetAttrNames(t.Context(), []timpush.AttrName{{Index: 0, Name: "city"}}))
				names, err = c.AttrNames(t.Context())
				require.NoError(t, err)
				want := timpush.AttrName{Index: 0, Name: "city", AccountType: timpush.AccountTypeUserID}
				if name == "types omitted" {
					want.AccountType = timpush.AccountTypeUnknown
				}
				assert.Equal(t, []timpush.AttrName{want}, names)
			})
		})
	}
}

func TestSetAttrNamesRefused(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithAttrNames("sex", "city"))
		c := client(s)
		err := c.SetAttrNames(t.Context(), []timpush.AttrName{{Index: 5, Name: "city"}})
		require.ErrorIs(t, err, timpush.ErrInvalidAttr)
		var api *timpush.APIError
		require.ErrorAs(t, err, &api)
		assert.Equal(t, "v4/timpush/set_attr_name", api.Endpoint)
		err = c.SetAttrNames(t.Context(), []timpush.AttrName{{Index: 1, Name: "city", AccountType: timpush.AccountTypeRegistrationID}})
		require.ErrorIs(t, err, timpush.ErrInvalidAttr, "the type cannot be changed")
		assert.Len(t, s.Calls(), 2, "neither is retried")
		s.Inject(timpushtest.ErrorCode(91000), timpushtest.CutAfter())
		require.NoError(t, c.SetAttrNames(t.Context(), []timpush.AttrName{{Index: 2, Name: "country"}}))
	})
}

func TestGetAttr(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		accounts := []string{"lost"}
		for i := range 250 {
			accounts = append(accounts, account(i))
		}
		s := fake(t, timpushtest.WithKnownAccounts(append(accounts[1:], "without")...))
		c := client(s)
		_, err := c.SetAttr(t.Context(), someUsers(250))
		require.NoError(t, err)
		s.Inject(timpushtest.ErrorCode(91000), timpushtest.CutAfter(), timpushtest.AccountCode(60008, "user-7"))
		attrs, err := c.GetAttr(t.Context(), append(accounts, "without", "user-3"))
		var p *timpush.PartialError
		require.ErrorAs(t, err, &p)
		assert.Equal(t, map[string]timpush.Outcome{"lost": timpush.Rejected}, outcomes(p))
		assert.ErrorIs(t, err, timpush.ErrNoSuchAccount)
		assert.Len(t, attrs, 251)
		for i := range 250 {
			assert.Equal(t, timpush.Attrs{"city": account(i)}, attrs[account(i)])
		}
		assert.Equal(t, timpush.Attrs{}, attrs["without"])

		attrs, err = c.GetAttr(t.Context(), nil)
		require.NoError(t, err)
		assert.Empty(t, attrs)
		attrs, err = c.GetAttr(t.Context(), []string{"a", "", "\xff"})
		require.ErrorContains(t, err, "2 faults in the input")
		assert.Nil(t, attrs)
	})
}

func TestGetAttrReportsAnAccountThatIsNotAnswered(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithKnownAccounts("mary"), timpushtest.WithVariant(timpushtest.Variant{NotFoundOmitted: true}))
		attrs, err := client(s).GetAttr(t.Context(), []string{"mary", "lost"})
		var p *timpush.PartialError
		require.ErrorAs(t, err, &p)
		assert.Equal(t, map[string]timpush.Outcome{"lost": timpush.Unknown}, outcomes(p))
		require.ErrorIs(t, err, timpush.ErrNotAnswered)
		assert.Equal(t, map[string]timpush.Attrs{"mary": {}}, attrs)
		assert.Len(t, s.Calls(), 1)

		s.Inject(timpushtest.AccountCode(91000, "mary"))
		_, err = client(s).GetAttr(t.Context(), []string{"mary", "lost"})
		require.ErrorIs(t, err, timpush.ErrNotAnswered)
		assert.Equal(t, []string{"mary"}, s.Calls()[2].Accounts, "the account is not read again with others")
	})
}

func TestCheckpointStaysBelowAnAccountThatIsNotAnswered(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithKnownAccounts("mary"), timpushtest.WithVariant(timpushtest.Variant{NotFoundOmitted: true}))
		all := drain(t, client(s).GetAttrSeq(t.Context(), func(yield func(string, error) bool) {
			for _, account := range []string{"mary", "lost", "mary"} {
				yield(account, nil)
			}
		}))
		assert.Equal(t, map[int64]timpush.Outcome{0: timpush.Done, 1: timpush.Unknown, 2: timpush.Done}, all.outcomes)
		assert.EqualValues(t, 1, all.last.Checkpoint())
	})
}

func TestGetAttrNeverPrintsValues(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		const value = "the value of an attribute"
		for _, body := range []string{
			`{"ActionStatus":"OK","ErrorCode":0,"UserAttrs":[{"To_Account":"a","Attrs":{"city":"` + value,
			`{"ActionStatus":"OK","ErrorCode":0,"UserAttrs":{"To_Account":"` + value + `"}}`,
			`{"ActionStatus":"` + value + `","ErrorCode":0,"UserAttrs":[]}`,
		} {
			s := fake(t)
			s.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.Answer(http.StatusOK, body) })
			_, err := client(s, timpush.WithMaxAttempts(2)).GetAttr(t.Context(), []string{"a"})
			require.Error(t, err)
			assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), value)
			var page *timpush.HTTPError
			require.ErrorAs(t, err, &page)
			assert.Empty(t, page.Snippet)
			assert.Len(t, s.Calls(), 2, "what cannot be read is read again")
		}
	})
}

func TestGetAttrSeq(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		c := client(s)
		_, err := c.SetAttr(t.Context(), someUsers(350))
		require.NoError(t, err)
		s.Refuse(70107, "user-5")
		accounts := func(yield func(string, error) bool) {
			for i := range 350 {
				if !yield(account(i), nil) {
					return
				}
			}
		}
		found := map[string]timpush.Attrs{}
		all := drain(t, func(yield func(*timpush.BatchResult, error) bool) {
			for b, err := range c.GetAttrSeq(t.Context(), accounts) {
				for _, u := range b.Users {
					found[u.ToAccount] = u.Attrs
				}
				if !yield(b, err) {
					return
				}
			}
		})
		assert.Equal(t, 349, all.last.Progress.Done)
		assert.Equal(t, timpush.Rejected, all.outcomes[5])
		assert.Nil(t, found["user-5"])
		assert.Equal(t, timpush.Attrs{"city": "user-349"}, found["user-349"])
		assert.Equal(t, 4, all.last.Progress.Requests)
	})
}

func TestRemoveAttr(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithKnownAccounts("user-0", "user-1"))
		c := client(s)
		for i := range 2 {
			_, err := c.SetAttr(t.Context(), []timpush.UserAttrs{{ToAccount: account(i), Attrs: timpush.Attrs{"city": "Rome", "sex": "f", "country": "IT"}}})
			require.NoError(t, err)
		}
		s.Inject(timpushtest.CutAfter())
		users := []timpush.UserAttrNames{
			{ToAccount: "user-0", Names: []string{"city", "city"}}, {ToAccount: "lost", Names: []string{"city"}},
			{ToAccount: "user-1", Names: []string{"country"}}, {ToAccount: "user-0", Names: []string{"sex"}},
		}
		result, err := c.RemoveAttr(t.Context(), users)
		assert.Equal(t, timpush.Result{Done: 3, Rejected: 1, Requests: 2}, *result)
		require.ErrorIs(t, err, timpush.ErrNoSuchAccount)
		assert.Equal(t, map[string]string{"country": "IT"}, s.Attrs("user-0"))
		assert.Equal(t, map[string]string{"city": "Rome", "sex": "f"}, s.Attrs("user-1"))
		_, err = c.RemoveAttr(t.Context(), []timpush.UserAttrNames{{ToAccount: "a"}, {Names: []string{""}}})
		require.ErrorContains(t, err, "3 faults in the input")
	})
}

// mixed are users of an app with "city" for UserIDs and "model" for RegistrationIDs. Each other than the first is refused.
var mixed = []timpush.UserAttrs{
	userIn("fine", "Rome"),
	{ToAccount: "no such name", Attrs: timpush.Attrs{"hobby": "chess"}},
	{ToAccount: "both types", Attrs: timpush.Attrs{"city": "Rome", "model": "X"}},
	userIn("both types in two entries", "Rome"),
	{ToAccount: "both types in two entries", Attrs: timpush.Attrs{"model": "X"}},
	{ToAccount: "R", Attrs: timpush.Attrs{"city": "Rome"}},
}

func appOfMixed(t *testing.T, opts ...timpushtest.Option) *timpushtest.Server {
	t.Helper()
	return fake(t, append(opts, timpushtest.WithAttrNames("city"), timpushtest.WithRegistrationAttrNames("model"))...)
}

func registrationIDs(account string) timpush.AccountType {
	if account == "R" {
		return timpush.AccountTypeRegistrationID
	}
	return timpush.AccountTypeUnknown
}

func TestPreflight(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := appOfMixed(t)
		c := client(s, timpush.WithAccountTypes(registrationIDs))
		err := c.Preflight(t.Context(), mixed)
		var p *timpush.PartialError
		require.ErrorAs(t, err, &p)
		var codes []string
		for u := range p.Users() {
			assert.Equal(t, timpush.Rejected, u.Outcome)
			var api *timpush.APIError
			require.ErrorAs(t, u, &api)
			codes = append(codes, fmt.Sprint(u.Index, " ", int(api.Code)))
		}
		assert.Equal(t, []string{"1 90033", "2 90035", "3 90035", "4 90035", "5 90035"}, codes)
		require.NoError(t, c.Preflight(t.Context(), mixed[:1]))
		assert.Len(t, s.Calls(), 1, "the names are read once")
		assert.Empty(t, s.Accounts(), "nothing is set")
		require.ErrorContains(t, c.Preflight(t.Context(), []timpush.UserAttrs{{}}), "faults in the input")
	})
}

func TestPreflightClaimsOnlyWhatIsCertain(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		omitted := client(appOfMixed(t, timpushtest.WithVariant(timpushtest.Variant{TypesOmitted: true})), timpush.WithAccountTypes(registrationIDs))
		err := omitted.Preflight(t.Context(), mixed)
		var p *timpush.PartialError
		require.ErrorAs(t, err, &p)
		assert.Equal(t, map[string]timpush.Outcome{"no such name": timpush.Rejected}, outcomes(p), "types are not known")

		s := appOfMixed(t)
		err = client(s).Preflight(t.Context(), mixed[5:])
		require.NoError(t, err, "the type of R is not known")
		s.Inject(timpushtest.ErrorCode(90009))
		require.ErrorIs(t, client(s).Preflight(t.Context(), mixed), timpush.ErrNotAdmin)
	})
}

func TestPreflightLearns(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithAttrNames("city"))
		c := client(s)
		hobby := []timpush.UserAttrs{{ToAccount: "a", Attrs: timpush.Attrs{"hobby": "chess"}}}
		require.ErrorIs(t, c.Preflight(t.Context(), hobby), timpush.ErrInvalidAttr)
		require.NoError(t, client(s).SetAttrNames(t.Context(), []timpush.AttrName{{Index: 1, Name: "hobby"}})) // by another program
		time.Sleep(10 * time.Second)
		require.NoError(t, c.Preflight(t.Context(), hobby), "before it claims a refusal it looks again")
		calls := len(s.Calls())
		require.NoError(t, c.Preflight(t.Context(), hobby))
		assert.Len(t, s.Calls(), calls)
		time.Sleep(11 * time.Minute)
		require.NoError(t, c.Preflight(t.Context(), hobby))
		assert.Len(t, s.Calls(), calls+1, "the names are kept for ten minutes")
		time.Sleep(6 * time.Second)
		s.Inject(timpushtest.ErrorCode(90033))
		_, err := c.SetAttr(t.Context(), hobby)
		require.ErrorIs(t, err, timpush.ErrInvalidAttr)
		require.NoError(t, c.Preflight(t.Context(), hobby))
		assert.Len(t, s.Calls(), calls+3, "and dropped when the server contradicts them")
	})
}

func TestWithPreflight(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		ways := map[string]func(c *timpush.Client) map[string]timpush.Outcome{
			"SetAttr": func(c *timpush.Client) map[string]timpush.Outcome {
				result, err := c.SetAttr(t.Context(), mixed)
				return outcomes(partial(t, mixed, result, err))
			},
			"SetAttrSeq": func(c *timpush.Client) map[string]timpush.Outcome {
				refused := map[string]timpush.Outcome{}
				all := drain(t, c.SetAttrSeq(t.Context(), from(mixed)))
				assert.EqualValues(t, len(mixed), all.last.Checkpoint(), "a user whose refusal is predicted is settled")
				for position, outcome := range all.outcomes {
					if outcome != timpush.Done {
						refused[mixed[position].ToAccount] = outcome
					}
				}
				return refused
			},
		}
		for way, set := range ways {
			s := appOfMixed(t)
			refused := set(client(s, timpush.WithPreflight(), timpush.WithAccountTypes(registrationIDs)))
			assert.Equal(t, map[string]timpush.Outcome{
				"no such name": timpush.Rejected, "both types": timpush.Rejected, "both types in two entries": timpush.Rejected, "R": timpush.Rejected,
			}, refused, way)
			assert.Len(t, s.Calls(), 2, "one for the names, one for all that can be set")
			assertStored(t, s, mixed[0])
		}
		s := appOfMixed(t)
		s.Inject(timpushtest.ErrorCode(90001))
		_, err := client(s, timpush.WithPreflight()).SetAttr(t.Context(), mixed[:1])
		require.NoError(t, err, "without the names all users are sent")
		assert.Len(t, s.Calls(), 2)

		c := client(s, timpush.WithPreflight())
		s.Inject(timpushtest.ErrorCode(90001))
		for range 2 {
			_, err = c.SetAttr(t.Context(), mixed[:1])
			require.NoError(t, err)
		}
		assert.Len(t, s.Calls(), 2+3, "for a while it goes without them")
		time.Sleep(time.Minute)
		_, err = c.SetAttr(t.Context(), mixed[:1])
		require.NoError(t, err)
		assert.Len(t, s.Calls(), 2+3+2)

		_, err = client(s, timpush.WithPreflight()).SetAttr(t.Context(), mixed[1:3])
		require.ErrorIs(t, err, timpush.ErrAccountType)
		assert.Empty(t, s.Attrs("both types"))
	})
}

// TestPreflightWhileRefusalsGoOn: another call that is refused again and again does not keep the names from being read.
func TestPreflightWhileRefusalsGoOn(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		reads := 0
		c := newClient(t, timpush.WithLimiter(unlimited{}), through(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/get_attr_name") {
				reads++
				time.Sleep(100 * time.Millisecond)
				return response(http.StatusOK, `{"ActionStatus":"OK","ErrorCode":0,"AttrNames":{"0":"city"}}`), nil
			}
			time.Sleep(20 * time.Millisecond)
			return response(http.StatusOK, `{"ActionStatus":"FAIL","ErrorCode":90033}`), nil
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, c.Preflight(ctx, someUsers(1)))
		var other sync.WaitGroup
		other.Go(func() {
			for ctx.Err() == nil {
				_, _ = c.SetAttr(ctx, someUsers(1))
			}
		})
		time.Sleep(10 * time.Second)
		require.NoError(t, c.Preflight(ctx, someUsers(1)))
		assert.Equal(t, 2, reads, "once again, since the server had contradicted the names")
		cancel()
		other.Wait()
	})
}

// TestBatcherWhileNamesHang: when it is known that the names cannot be read, one request a minute finds out whether that is still so, and
// the others do not wait for it: the deadlines of a Batcher's callers do not reach the request.
func TestBatcherWhileNamesHang(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, timpush.WithPreflight(), through(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/get_attr_name") {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return alwaysOK(r)
		}))
		b := batcher(t, c)
		require.NoError(t, b.SetAttr(t.Context(), someUsers(1)[0]))
		var failed atomic.Int64
		var callers sync.WaitGroup
		for i := range 180 {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				if b.SetAttr(ctx, userIn(account(i), "x")) != nil {
					failed.Add(1)
				}
			})
			time.Sleep(time.Second)
		}
		callers.Wait()
		assert.LessOrEqual(t, failed.Load(), int64(3), "one a minute")
	})
}

// TestNamesThatMayNotBeRead: an app for which get_attr_name alone is disabled, or is not there, can set attributes.
func TestNamesThatMayNotBeRead(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for _, code := range []int{60009, 60017, 60027} {
			s := fake(t)
			s.Handle(func(call timpushtest.Call) timpushtest.Fault {
				if strings.HasSuffix(call.Path, "get_attr_name") {
					return timpushtest.ErrorCode(code)
				}
				return timpushtest.Fault{}
			})
			for range 2 {
				_, err := client(s, timpush.WithPreflight()).SetAttr(t.Context(), someUsers(1))
				require.NoError(t, err, code)
			}
		}
	})
}

// TestNamesAreReadAgainOnlyForARefusal, which must not be predicted from old names.
func TestNamesAreReadAgainOnlyForARefusal(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := appOfMixed(t)
		c := client(s, timpush.WithPreflight(), timpush.WithAccountTypes(registrationIDs))
		asked := func() (n int) {
			for _, call := range s.Calls() {
				if strings.HasSuffix(call.Path, "get_attr_name") {
					n++
				}
			}
			return n
		}
		set := func(ctx context.Context, user timpush.UserAttrs) error {
			time.Sleep(time.Minute) // the names are old
			_, err := c.SetAttr(ctx, []timpush.UserAttrs{user})
			return err
		}
		for range 2 {
			require.NoError(t, set(t.Context(), mixed[0]))
			assert.Equal(t, 1, asked())
		}
		for n, refused := range []timpush.UserAttrs{mixed[5], mixed[1]} {
			require.ErrorContains(t, set(t.Context(), refused), "predicted")
			assert.Equal(t, 2+n, asked())
		}
		s.Inject(timpushtest.AccountCode(90035, "fine"))
		require.ErrorIs(t, set(t.Context(), mixed[0]), timpush.ErrAccountType)
		require.NoError(t, set(t.Context(), mixed[0]))
		assert.Equal(t, 4, asked(), "the server has contradicted them")

		s.Inject(timpushtest.Hang())
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute+time.Second, cancel)
		require.ErrorIs(t, set(ctx, mixed[1]), context.Canceled)
		assert.Equal(t, 5, asked())
		_, err := c.SetAttr(t.Context(), mixed[1:2])
		require.ErrorContains(t, err, "predicted", "a caller that gives up while it reads the names does not keep others from them")
		assert.Equal(t, 6, asked())
	})
}

// TestKnownNamesAreUsedWhileTheyAreRead for a call that wants newer ones.
func TestKnownNamesAreUsedWhileTheyAreRead(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := appOfMixed(t)
		c := client(s, timpush.WithPreflight(), timpush.WithAccountTypes(registrationIDs))
		_, err := c.SetAttr(t.Context(), mixed[:1])
		require.NoError(t, err)
		time.Sleep(time.Minute)
		s.Inject(timpushtest.Hang())
		var other sync.WaitGroup
		other.Go(func() {
			_, err := c.SetAttr(t.Context(), mixed[1:2])
			assert.ErrorIs(t, err, timpush.ErrInvalidAttr)
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err = c.SetAttr(ctx, mixed[:1])
		require.NoError(t, err)
		assert.Less(t, time.Since(began), 100*time.Millisecond)
		other.Wait()
	})
}

// TestPreflightThatWaitsForAnother returns the documented error when its time is over.
func TestPreflightThatWaitsForAnother(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := appOfMixed(t)
		s.Inject(timpushtest.Hang())
		c := client(s)
		var other sync.WaitGroup
		other.Go(func() { assert.NoError(t, c.Preflight(t.Context(), mixed[:1])) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Preflight(ctx, mixed[:1])
		other.Wait()
		var failed *timpush.CallError
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, timpush.NotSent, failed.Outcome)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// TestCallDoesNotWaitForAPreflight: a Preflight may try for as long as the retry budget allows, and SetAttr goes without the names. Nor do calls
// make the Preflight try for longer.
func TestCallDoesNotWaitForAPreflight(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, timpush.WithPreflight(), timpush.WithRetryBudget(10*time.Minute), through(func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, "get_attr_name") {
				return response(http.StatusServiceUnavailable, "busy"), nil
			}
			return alwaysOK(r)
		}))
		began := time.Now()
		var ended time.Duration
		var preflight sync.WaitGroup
		preflight.Go(func() {
			var call *timpush.CallError
			assert.ErrorAs(t, c.Preflight(t.Context(), someUsers(1)), &call)
			ended = time.Since(began)
		})
		time.Sleep(time.Second)
		for range 20 {
			before := time.Now()
			_, err := c.SetAttr(t.Context(), someUsers(1))
			require.NoError(t, err)
			assert.Less(t, time.Since(before), time.Second)
			time.Sleep(40 * time.Second)
		}
		preflight.Wait()
		assert.InDelta(t, 10*time.Minute, ended, float64(time.Minute))
	})
}

func TestNamesAreReadOnceForAllThatWait(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(time.Second, 0))
		c := client(s, timpush.WithPreflight())
		all := drain(t, c.SetAttrSeq(t.Context(), from(someUsers(1000))))
		assert.Equal(t, 1000, all.last.Progress.Done)
		assert.Len(t, s.Calls(), 11)
		time.Sleep(11 * time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		go func() { _ = c.Preflight(t.Context(), someUsers(1)) }()
		synctest.Wait()
		require.ErrorIs(t, c.Preflight(ctx, someUsers(1)), context.DeadlineExceeded, "a call that waits for another to read them ends with its ctx")
		time.Sleep(time.Second)
	})
}

// TestSlowNamesAreReadOnceForAllThatWait: names that take longer to read than they count as new serve all calls that began before.
func TestSlowNamesAreReadOnceForAllThatWait(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, timpush.WithPreflight(), through(func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, "get_attr_name") {
				time.Sleep(6 * time.Second)
				return answering(`{"ActionStatus":"OK","ErrorCode":0,"AttrNames":{"0":"city"}}`)(r)
			}
			return alwaysOK(r)
		}))
		users := someUsers(3200)
		for i := 0; i < len(users); i += timpush.MaxUsersPerRequest {
			users[i].Attrs = timpush.Attrs{"town": "Rome"} // which the app does not have
		}
		began := time.Now()
		all := drain(t, c.SetAttrSeq(t.Context(), from(users)))
		assert.Equal(t, 32, all.last.Progress.Rejected)
		assert.Equal(t, 3168, all.last.Progress.Done)
		assert.Less(t, time.Since(began), 20*time.Second)
	})
}

func TestVerify(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithVariant(timpushtest.Variant{ReadDelay: time.Second}), timpushtest.WithKnownAccounts("a", "b", "c", "d", "e"))
		c := client(s)
		users := []timpush.UserAttrs{userIn("a", "Rome"), userIn("b", "Rome"), userIn("c", ""), userIn("d", "old"), userIn("d", "new")}
		_, err := c.SetAttr(t.Context(), users)
		require.NoError(t, err)
		began := time.Now()
		result, err := c.Verify(t.Context(), users)
		require.NoError(t, err, "a value may show late")
		assert.Equal(t, timpush.Result{Done: 5, Requests: 4}, *result)
		assert.Less(t, time.Since(began), 2*time.Second)

		const secret = "a value of a user"
		wrong := []timpush.UserAttrs{userIn("a", secret), userIn("b", "Rome"), userIn("lost", "Rome"), userIn("e", "Rome")}
		result, err = c.Verify(t.Context(), wrong)
		p := partial(t, wrong, result, err)
		assert.Equal(t, map[string]timpush.Outcome{"a": timpush.Rejected, "lost": timpush.Rejected, "e": timpush.Rejected}, outcomes(p))
		require.ErrorIs(t, err, timpush.ErrNotStored)
		require.ErrorIs(t, err, timpush.ErrNoSuchAccount)
		assert.NotContains(t, fmt.Sprintf("%v %+v", err, err), secret)
		assert.Equal(t, []timpush.UserAttrs{wrong[0], wrong[2], wrong[3]}, p.Remaining(wrong))
		s.Inject(timpushtest.ErrorCode(90009))
		result, err = c.Verify(t.Context(), users[:1])
		assert.Equal(t, timpush.Result{Rejected: 1, Requests: 1}, *result)
		require.ErrorIs(t, err, timpush.ErrNotAdmin)
		require.NotErrorIs(t, err, timpush.ErrNotStored, "it was not read")
		result, err = c.Verify(t.Context(), []timpush.UserAttrs{{}})
		assert.Nil(t, result)
		require.Error(t, err)
	})
}

func TestVerifyWaitsForAValueThatShowsLate(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := client(fake(t, timpushtest.WithVariant(timpushtest.Variant{ReadDelay: 3500 * time.Millisecond})))
		_, err := c.SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
		_, err = c.Verify(t.Context(), someUsers(1))
		require.NoError(t, err)
	})
}

func TestPreflightPrefersTheUnknownName(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := client(appOfMixed(t))
		for range 20 { // maps have no order
			err := c.Preflight(t.Context(), []timpush.UserAttrs{{ToAccount: "a", Attrs: timpush.Attrs{"hobby": "x", "city": "x", "model": "x"}}})
			require.ErrorIs(t, err, timpush.ErrInvalidAttr, "as the server does, which checks names first")
		}
	})
}

func TestVerifyCutShort(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		users := []timpush.UserAttrs{userIn("a", "Rome")}
		result, err := client(s).Verify(ctx, users)
		p := partial(t, users, result, err)
		assert.Equal(t, map[string]timpush.Outcome{"a": timpush.Unknown}, outcomes(p), "it may still show")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, timpush.ErrNotStored)
		s.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(91000) })
		result, err = client(s, timpush.WithMaxAttempts(2)).Verify(t.Context(), users)
		p = partial(t, users, result, err)
		assert.Equal(t, map[string]timpush.Outcome{"a": timpush.Unknown}, outcomes(p))
		require.ErrorIs(t, err, timpush.ErrInternal)
	})
}

// TestVerifyThatCannotReadAgain: what was not stored is neither NotSent nor refused because it cannot be read again.
func TestVerifyThatCannotReadAgain(t *testing.T) {
	t.Parallel()
	unreachable := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for name, test := range map[string]struct {
		again roundTripper
		is    error
	}{
		"unreachable": {func(*http.Request) (*http.Response, error) { return nil, unreachable }, syscall.ECONNREFUSED},
		"refused":     {answering(`{"ActionStatus":"FAIL","ErrorCode":60016}`), timpush.ErrAppDisabled},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				calls := 0
				c := newClient(t, timpush.WithMaxAttempts(1), through(func(r *http.Request) (*http.Response, error) {
					if calls++; calls > 1 {
						return test.again(r)
					}
					return answering(`{"ActionStatus":"OK","ErrorCode":0,"UserAttrs":[{"To_Account":"a","Attrs":{}}]}`)(r)
				}))
				users := []timpush.UserAttrs{userIn("a", "Rome")}
				result, err := c.Verify(t.Context(), users)
				p := partial(t, users, result, err)
				assert.Equal(t, map[string]timpush.Outcome{"a": timpush.Unknown}, outcomes(p))
				require.ErrorIs(t, err, timpush.ErrNotStored)
				require.ErrorIs(t, err, test.is)
			})
		})
	}
}

// FuzzFamily lets any body answer each endpoint that reads something.
func FuzzFamily(f *testing.F) {
	f.Add(`{"ActionStatus":"OK","ErrorCode":0,"UserAttrs":[{"To_Account":"a","Attrs":{"city":"x"}}],"AttrNames":{"0":"city"},"AttrTypes":{"0":1}}`)
	f.Add(`{"ActionStatus":"OK","ErrorCode":0,"UserAttrs":[{"To_Account":"a","Attrs":null},null],"AttrNames":{"x":"city"},"AttrTypes":[]}`)
	f.Add(`{"ActionStatus":"OK","ErrorCode":"0","UserAttrs":null,"AttrNames":null,"AttrTypes":{"0":"1","1":7}}`)
	f.Fuzz(func(t *testing.T, body string) {
		c := newClient(t, timpush.WithLimiter(unlimited{}), timpush.WithMaxAttempts(1), through(answering(body)))
		attrs, err := c.GetAttr(t.Context(), []string{"a", "b"})
		var p *timpush.PartialError
		if err == nil {
			assert.ElementsMatch(t, []string{"a", "b"}, slices.Collect(maps.Keys(attrs)))
		} else if assert.ErrorAs(t, err, &p) {
			for u := range p.Users() {
				assert.NotContains(t, attrs, u.ToAccount)
			}
		}
		names, err := c.AttrNames(t.Context())
		if err == nil {
			assert.True(t, slices.IsSortedFunc(names, func(a, b timpush.AttrName) int { return a.Index - b.Index }))
		} else {
			assert.Empty(t, names)
		}
	})
}

func TestVerifyDoesNotTakeTheCodeOfAnotherAccount(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithVariant(timpushtest.Variant{ErrorListUnrelated: true}))
		users := someUsers(1)
		_, _ = client(s).SetAttr(t.Context(), users)
		result, err := client(s).Verify(t.Context(), users)
		p := partial(t, users, result, err)
		assert.Equal(t, map[string]timpush.Outcome{"user-0": timpush.Unknown}, outcomes(p))
		assert.NotErrorIs(t, err, timpush.ErrNotStored)
	})
}

func TestRefusalAfterALostAnswerSettlesNothing(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithVariant(timpushtest.Variant{AbsentRefused: true, SameNameRefused: true}))
		c := client(s)
		_, err := c.SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)
		s.Inject(timpushtest.CutAfter())
		_, err = c.RemoveAttr(t.Context(), []timpush.UserAttrNames{{ToAccount: "user-0", Names: []string{"city"}}})
		requireUser(t, err, timpush.Unknown, timpush.ErrInvalidAttr)
		s.Inject(timpushtest.CutAfter())
		err = c.SetAttrNames(t.Context(), []timpush.AttrName{{Index: 5, Name: "new"}})
		require.ErrorIs(t, err, timpush.ErrInvalidAttr)
		var lost *url.Error
		require.ErrorAs(t, err, &lost, "the lost answer is in the error too")
	})
}

func TestNamesReadBeforeTheyWereSetAreNotUsed(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithAttrNames("city"))
		hobby := []timpush.UserAttrs{{ToAccount: "a", Attrs: timpush.Attrs{"hobby": "chess"}}}
		old := `{"ActionStatus":"OK","ErrorCode":0,"AttrNames":{"0":"city"}}`
		s.Inject(timpushtest.Delay(2*time.Second, timpushtest.Answer(http.StatusOK, old)))
		c := client(s)
		var both sync.WaitGroup
		both.Go(func() { assert.NoError(t, c.Preflight(t.Context(), hobby)) })
		time.Sleep(time.Second)
		require.NoError(t, c.SetAttrNames(t.Context(), []timpush.AttrName{{Index: 1, Name: "hobby"}}))
		both.Wait()
		require.NoError(t, c.Preflight(t.Context(), hobby))
	})
}

func TestPreflightOfNobody(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		_, err := client(s, timpush.WithPreflight()).SetAttr(t.Context(), nil)
		require.NoError(t, err)
		assert.Empty(t, s.Calls(), "nothing is sent")
	})
}

func TestPreflightThatFailsDoesNotSlowDown(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for fault, others := range map[int]int{91000: 5, 70009: 0} {
			s := fake(t, timpushtest.WithLatency(100*time.Millisecond, 0))
			asked := 0
			var mu sync.Mutex
			s.Handle(func(c timpushtest.Call) timpushtest.Fault {
				if !strings.HasSuffix(c.Path, "get_attr_name") {
					return timpushtest.Fault{}
				}
				mu.Lock()
				defer mu.Unlock()
				asked++
				return timpushtest.ErrorCode(fault)
			})
			all := drain(t, client(s, timpush.WithPreflight()).SetAttrSeq(t.Context(), from(someUsers(500))))
			assert.Equal(t, 1, asked)
			assert.Len(t, s.Calls(), 1+others)
			assert.Equal(t, others*100, all.last.Progress.Done)
			if fault == 70009 {
				require.ErrorIs(t, all.errs[0], timpush.ErrUserSigMismatch, "a code that would stop set_attr stops the call here")
			}
		}
	})
}

// TestPreflightTriesAgainAfterAReasonToStop tries a single stray code, which stops one call and not those after it.
func TestPreflightTriesAgainAfterAReasonToStop(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(100*time.Millisecond, 0))
		s.Inject(timpushtest.ErrorCode(60002))
		c := client(s, timpush.WithPreflight())
		result, err := c.SetAttr(t.Context(), someUsers(1))
		require.ErrorIs(t, partial(t, someUsers(1), result, err), timpush.ErrBadRequest)
		_, err = c.SetAttr(t.Context(), someUsers(1))
		require.NoError(t, err)

		s = fake(t, timpushtest.WithLatency(100*time.Millisecond, 0))
		s.Inject(timpushtest.ErrorCode(60002))
		c = client(s, timpush.WithPreflight())
		var waiting sync.WaitGroup
		for range 2 {
			waiting.Go(func() {
				_, err := c.SetAttr(t.Context(), someUsers(1))
				assert.ErrorIs(t, err, timpush.ErrBadRequest)
			})
			time.Sleep(50 * time.Millisecond)
		}
		waiting.Wait()
		assert.Len(t, s.Calls(), 1, "the code stops those too that waited for it")
	})
}

// TestManyPreflightsWithoutAnAnswer: one reads the names for all that wait, also where it gets none.
func TestManyPreflightsWithoutAnAnswer(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, through(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		began := time.Now()
		var calls sync.WaitGroup
		for range 50 {
			calls.Go(func() { assert.ErrorIs(t, c.Preflight(t.Context(), someUsers(1)), context.DeadlineExceeded) })
		}
		calls.Wait()
		assert.Less(t, time.Since(began), 45*time.Second)
	})
}

// TestPreflightThatGetsNoAnswer leaves time to send the users, also those who wait for another to read the names.
func TestPreflightThatGetsNoAnswer(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Handle(func(c timpushtest.Call) timpushtest.Fault {
			if strings.HasSuffix(c.Path, "get_attr_name") {
				return timpushtest.Hang()
			}
			return timpushtest.Fault{}
		})
		c := client(s, timpush.WithPreflight())
		var calls sync.WaitGroup
		for i := range 10 {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				_, err := c.SetAttr(ctx, someUsers(i+1))
				assert.NoError(t, err)
			})
		}
		calls.Wait()
	})
}

func TestReadingIsTolerantOfFormOnly(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		get := func(users string) (map[string]timpush.Attrs, error) {
			body := `{"ActionStatus":"OK","ErrorCode":0,"UserAttrs":[` + users + `]}`
			return newClient(t, timpush.WithLimiter(unlimited{}), timpush.WithMaxAttempts(2), through(answering(body))).GetAttr(t.Context(), []string{"a"})
		}
		attrs, err := get(`{"To_Account":"a","Attrs":{"city":"` + "\xff" + `","age":33}}`)
		require.NoError(t, err)
		assert.Equal(t, timpush.Attrs{"city": "\ufffd", "age": "33"}, attrs["a"])
		_, err = get(`{"To_Account":"a","Attrs":{"city":"x"}},{"To_Account":"a","Attrs":{"city":"y"}}`)
		requireUser(t, err, timpush.Unknown, timpush.ErrNotAnswered)
		_, err = get(`{"To_Account":"a","Attrs":{"city":{"x":"y"}}}`)
		var page *timpush.HTTPError
		require.ErrorAs(t, err, &page)

		body := `{"ActionStatus":"OK","ErrorCode":0,"AttrNames":{"99":"far","0":"city","00":"again","-1":"less"},"AttrTypes":[1]}`
		names, err := newClient(t, through(answering(body))).AttrNames(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []timpush.AttrName{{Name: "city"}}, names)
	})
}

func TestEachUserReadHasAMapOfItsOwn(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		accounts := func(yield func(string, error) bool) {
			for range 2 {
				yield("a", nil)
			}
		}
		for b, err := range client(fake(t)).GetAttrSeq(t.Context(), accounts) {
			require.NoError(t, err)
			b.Users[0].Attrs["city"] = "changed"
			assert.Empty(t, b.Users[1].Attrs)
		}
	})
}

func TestEscapedLength(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithVariant(timpushtest.Variant{EscapedLength: true}))
		user := func(value string) timpush.UserAttrs {
			return timpush.UserAttrs{ToAccount: "mary", Attrs: timpush.Attrs{"city": value, "sex": "f"}}
		}
		fits, long := user(strings.Repeat(`"`, 25)), user(strings.Repeat(`"`, 26))
		_, err := client(s).SetAttr(t.Context(), []timpush.UserAttrs{long})
		require.ErrorIs(t, err, timpush.ErrInvalidAttr, "without the option it is sent")

		c, calls := client(s, timpush.WithEscapedLength()), len(s.Calls())
		batcher := timpush.NewBatcher(c)
		for name, call := range map[string]func(timpush.UserAttrs) error{
			"SetAttr":   func(u timpush.UserAttrs) error { _, err := c.SetAttr(t.Context(), []timpush.UserAttrs{u}); return err },
			"Preflight": func(u timpush.UserAttrs) error { return c.Preflight(t.Context(), []timpush.UserAttrs{u}) },
			"Batcher":   func(u timpush.UserAttrs) error { return batcher.SetAttr(t.Context(), u) },
			"SetAttrSeq": func(u timpush.UserAttrs) (err error) {
				for _, err = range c.SetAttrSeq(t.Context(), func(yield func(timpush.UserAttrs, error) bool) { yield(u, nil) }) {
				}
				return err
			},
		} {
			fault, ok := errors.AsType[*timpush.InputError](call(long))
			require.True(t, ok, name)
			assert.Equal(t, "city", fault.Attr)
			assert.Equal(t, "the value has 52 bytes in JSON, at most 50 are allowed", fault.Reason)
			require.Len(t, s.Calls(), calls, name)
		}
		_, err = c.SetAttr(t.Context(), []timpush.UserAttrs{fits})
		require.NoError(t, err)
		require.Error(t, c.Preflight(t.Context(), []timpush.UserAttrs{user(strings.Repeat("a", 51))}), "a long value has one fault")
	})
}

// TestNamesAreReadAgainAfterAFailureLongAgo: also by calls that wait for another one that reads them.
func TestNamesAreReadAgainAfterAFailureLongAgo(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var fails atomic.Bool
		c := newClient(t, timpush.WithPreflight(), through(func(r *http.Request) (*http.Response, error) {
			switch {
			case !strings.Contains(r.URL.Path, "get_attr_name"):
				return alwaysOK(r)
			case fails.Load():
				return response(http.StatusServiceUnavailable, ""), nil
			}
			time.Sleep(time.Second)
			return answering(`{"ActionStatus":"OK","ErrorCode":0,"AttrNames":{"0":"city"}}`)(r)
		}))
		for _, failing := range []bool{true, false} {
			fails.Store(failing)
			_, err := c.SetAttr(t.Context(), someUsers(1))
			require.NoError(t, err)
			time.Sleep(20 * time.Minute)
		}
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() {
				result, err := c.SetAttr(t.Context(), []timpush.UserAttrs{{ToAccount: "a", Attrs: timpush.Attrs{"unknown": "x"}}})
				assert.ErrorIs(t, err, timpush.ErrInvalidAttr)
				assert.Zero(t, result.Requests, "predicted")
			})
		}
		calls.Wait()
	})
}

// TestNamesAreReadAfterACallInAHurry, whose deadline came too early for the limiter: the calls that follow have time for them.
func TestNamesAreReadAfterACallInAHurry(t *testing.T) {
	t.Parallel()
	inOtherWords := func(l timpush.Limiter) timpush.Limiter {
		return limiterFunc(func(ctx context.Context) error {
			if err := l.Wait(ctx); err != nil {
				return fmt.Errorf("the next slot is past the deadline: %w", context.DeadlineExceeded)
			}
			return nil
		})
	}
	for name, limiter := range map[string]func() timpush.Limiter{
		"of the package": func() timpush.Limiter { return timpush.NewLimiter(1) },
		"another":        func() timpush.Limiter { return inOtherWords(timpush.NewLimiter(1)) },
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				c := s.Client(timpush.WithLimiter(limiter()), timpush.WithPreflight())
				_, err := c.AttrNames(t.Context()) // the next call may start in a second
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
				defer cancel()
				_, err = c.SetAttr(ctx, someUsers(1))
				require.NoError(t, err)
				result, err := c.SetAttr(t.Context(), []timpush.UserAttrs{{ToAccount: "a", Attrs: timpush.Attrs{"unknown": "x"}}})
				require.ErrorIs(t, err, timpush.ErrInvalidAttr)
				assert.Zero(t, result.Requests, "predicted")
			})
		})
	}
}

// TestNamesThatALimiterDoesNotLetThrough: calls without a deadline share a timeout of the limiter's own, as they share other failures.
func TestNamesThatALimiterDoesNotLetThrough(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		limiter := limiterFunc(func(context.Context) error {
			time.Sleep(time.Second)
			return fmt.Errorf("the server of the limiter does not answer: %w", context.DeadlineExceeded)
		})
		c := fake(t).Client(timpush.WithLimiter(limiter), timpush.WithPreflight())
		began := time.Now()
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() {
				_, err := c.SetAttr(t.Context(), someUsers(1))
				assert.Error(t, err)
			})
		}
		calls.Wait()
		assert.Less(t, time.Since(began), 10*time.Second)
	})
}

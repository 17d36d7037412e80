package timpush_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

var hello = timpush.Push{Notification: timpush.Notification{Title: "secret title", Desc: "secret text"}}

// pusher returns a fake of the advanced plan, without a quota of calls, and a client of it.
func pusher(t *testing.T, opts ...timpush.Option) (*timpushtest.Server, *timpush.Client) {
	t.Helper()
	s := fake(t, timpushtest.WithPlan(timpushtest.PlanAdvanced), duplicatesFor7Days)
	return s, client(s, append([]timpush.Option{timpush.WithRecipientRate(800)}, opts...)...)
}

// duplicatesFor7Days is the stricter of what the documentation says of a push with the MsgRandom of another: it is dropped.
var duplicatesFor7Days = timpushtest.WithVariant(timpushtest.Variant{MsgRandomWindow: 7 * 24 * time.Hour})

func TestPushToThoseWhoMatch(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s, c := pusher(t)
		_, err := c.SetAttr(t.Context(), []timpush.UserAttrs{userIn("a", "Rome"), userIn("b", "Bonn"), userIn("c", "Rome")})
		require.NoError(t, err)
		receipt, err := c.Push(t.Context(), timpush.Audience{AttrsAnd: timpush.Attrs{"city": "Rome"}}, hello)
		require.NoError(t, err)
		pushes := s.Pushes()
		require.Len(t, pushes, 1)
		assert.Equal(t, []string{"a", "c"}, pushes[0].Accounts)
		assert.Equal(t, pushes[0].TaskID, receipt.TaskID)
		var sent struct {
			From      string `json:"From_Account"`
			MsgRandom uint32
		}
		require.NoError(t, json.Unmarshal(pushes[0].Body, &sent))
		assert.Equal(t, "administrator", sent.From)
		assert.Equal(t, sent.MsgRandom, receipt.MsgRandom)
		assert.NotZero(t, receipt.MsgRandom)

		require.NoError(t, c.Revoke(t.Context(), receipt.TaskID, nil))
		assert.True(t, s.Pushes()[0].Revoked)
		require.ErrorIs(t, c.Revoke(t.Context(), receipt.TaskID, nil), timpush.ErrAlreadyRevoked)
		require.ErrorIs(t, c.Revoke(t.Context(), "never was", &hello.Notification), timpush.ErrNoSuchPush)
		receipt, err = c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
		require.NoError(t, err)
		time.Sleep(25 * time.Hour)
		require.ErrorIs(t, c.Revoke(t.Context(), receipt.TaskID, nil), timpush.ErrPushTooOld)
	})
}

func TestBadPushes(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s, c := pusher(t)
		for name, test := range map[string]struct {
			to     timpush.Audience
			push   timpush.Push
			fields []string
		}{
			"no one and nothing": {timpush.Audience{}, timpush.Push{}, []string{"Audience", "Notification"}},
			"an empty list":      {timpush.Audience{TagsOr: []string{}}, hello, []string{"Audience.TagsOr"}},
			"an empty map beside": {
				timpush.Audience{AttrsAnd: timpush.Attrs{"a": "b"}, AttrsOr: timpush.Attrs{}}, hello, []string{"Audience.AttrsOr"},
			},
			"too large": {
				timpush.Audience{Everybody: true}, timpush.Push{Notification: timpush.Notification{Desc: fmt.Sprint(make([]int, 6000))}}, []string{""},
			},
		} {
			receipt, err := c.Push(t.Context(), test.to, test.push)
			assert.Nil(t, receipt, name)
			var faulty *timpush.InputErrors
			require.ErrorAs(t, err, &faulty, name)
			var fields []string
			for _, fault := range faulty.Faults {
				assert.Equal(t, -1, fault.Index)
				fields = append(fields, fault.Field)
			}
			assert.Equal(t, test.fields, fields, name)
		}
		for _, test := range []struct {
			accounts []string
			push     timpush.Push
			faults   int
		}{
			{[]string{"a", ""}, hello, 1},
			{[]string{"a"}, timpush.Push{Notification: hello.Notification, MsgRandom: 1}, 1},
			{[]string{"a", ""}, timpush.Push{MsgRandom: 1}, 3},
		} {
			result, err := c.PushTo(t.Context(), test.accounts, test.push)
			assert.Nil(t, result)
			var faulty *timpush.InputErrors
			require.ErrorAs(t, err, &faulty)
			assert.Len(t, faulty.Faults, test.faults, "all at once: %v", err)
		}
		var input *timpush.InputError
		require.ErrorAs(t, c.Revoke(t.Context(), "", nil), &input)
		require.ErrorAs(t, c.Revoke(t.Context(), "\xff", nil), &input)
		assert.Equal(t, "TaskID", input.Field)
		require.ErrorAs(t, c.Revoke(t.Context(), "task", &timpush.Notification{}), &input)
		assert.Equal(t, "Replacement", input.Field)
		assert.Empty(t, s.Calls())
	})
}

// everyFault has each kind of fault that the fake knows, with what a push that met it may have done.
var everyFault = map[string]struct {
	fault  timpushtest.Fault
	want   timpush.Outcome
	reason string
}{
	"60007":           {timpushtest.ErrorCode(60007), timpush.Done, "a throttle code is waited out"},
	"90024":           {timpushtest.ErrorCode(90024), timpush.Done, ""},
	"70001":           {timpushtest.ErrorCode(70001), timpush.Done, "newly signed"},
	"429":             {timpushtest.Status(429), timpush.Done, "a gateway that throttles has passed nothing on"},
	"91000":           {timpushtest.ErrorCode(91000), timpush.Unknown, "it may have gone out"},
	"91000 applied":   {timpushtest.ErrorCodeApplied(91000), timpush.Unknown, ""},
	"60008 applied":   {timpushtest.ErrorCodeApplied(60008), timpush.Unknown, ""},
	"60014":           {timpushtest.ErrorCode(60014), timpush.Unknown, ""},
	"60004":           {timpushtest.ErrorCode(60004), timpush.Unknown, ""},
	"502 applied":     {timpushtest.StatusApplied(502), timpush.Unknown, ""},
	"503":             {timpushtest.Status(503), timpush.Unknown, ""},
	"cut before":      {timpushtest.CutBefore(), timpush.Unknown, ""},
	"cut after":       {timpushtest.CutAfter(), timpush.Unknown, ""},
	"truncated":       {timpushtest.TruncateBody(10), timpush.Unknown, ""},
	"garbage":         {timpushtest.Garbage(), timpush.Unknown, ""},
	"hang":            {timpushtest.Hang(), timpush.Unknown, ""},
	"hang applied":    {timpushtest.HangApplied(), timpush.Unknown, ""},
	"90047":           {timpushtest.ErrorCode(90047), timpush.Rejected, "the pushes of the day are used up"},
	"90001":           {timpushtest.ErrorCode(90001), timpush.Rejected, ""},
	"90018":           {timpushtest.ErrorCode(90018), timpush.Rejected, "a probe would notify people"},
	"90011":           {timpushtest.ErrorCode(90011), timpush.Rejected, ""},
	"413":             {timpushtest.Status(413), timpush.Rejected, ""},
	"90033":           {timpushtest.ErrorCode(90033), timpush.Rejected, ""},
	"undocumented":    {timpushtest.ErrorCode(60999), timpush.Rejected, ""},
	"not the API":     {timpushtest.Status(404), timpush.Rejected, ""},
	"no fault at all": {timpushtest.Fault{}, timpush.Done, ""},
}

// TestPushIsNeverRepeated: what may have gone out goes out once, and is not worth sending again.
func TestPushIsNeverRepeated(t *testing.T) {
	t.Parallel()
	for name, test := range everyFault {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s, c := pusher(t)
				s.Inject(test.fault)
				receipt, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
				outcome := timpush.Done
				var call *timpush.CallError
				if errors.As(err, &call) {
					outcome = call.Outcome
				}
				assert.Equal(t, test.want, outcome, "%s: %v", test.reason, err)
				assert.NotNil(t, receipt)
				assert.Equal(t, outcome == timpush.Done, receipt.TaskID != "")
				requireRecorded(t, s, outcome, err)

				s, c = pusher(t)
				s.Inject(test.fault)
				accounts := []string{"a", "b", "a"}
				result, err := c.PushTo(t.Context(), accounts, hello)
				outcome = timpush.Done
				for u := range usersOf(err) {
					outcome = u.Outcome
				}
				assert.Equal(t, test.want, outcome, "%v", err)
				assert.Equal(t, outcome == timpush.Done, result.TaskIDs[2] != "")
				assert.Len(t, timpush.Remaining(err, accounts), map[bool]int{true: 3}[outcome == timpush.Rejected && timpush.Code(90018) == codeIn(err)], "%v", err)
				requireRecorded(t, s, outcome, err)
			})
		})
	}
}

func codeIn(err error) timpush.Code {
	var code timpush.Code
	errors.As(err, &code)
	if code == 90011 {
		code = 90018 // both say that fewer accounts are worth a try
	}
	return code
}

func usersOf(err error) func(func(*timpush.UserError) bool) {
	var p *timpush.PartialError
	if errors.As(err, &p) {
		return p.Users()
	}
	return func(func(*timpush.UserError) bool) {}
}

// requireRecorded checks that the fake has a push exactly once if it is Done, at most once if it is Unknown, and else not at all.
func requireRecorded(t *testing.T, s *timpushtest.Server, outcome timpush.Outcome, err error) {
	t.Helper()
	switch n := len(s.Pushes()); outcome {
	case timpush.Done:
		require.Equal(t, 1, n)
	case timpush.Unknown:
		require.LessOrEqual(t, n, 1)
	default:
		require.Zero(t, n)
	}
	if err != nil {
		printed := fmt.Sprintf("%v %+v %#v", err, err, err)
		assert.NotContains(t, printed, "secret")
	}
}

// TestPushThatDidNotLeaveIsRepeated, and its MsgRandom stays.
func TestPushThatDidNotLeaveIsRepeated(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		n := 0
		c := client(s, through(func(r *http.Request) (*http.Response, error) {
			if n++; n < 4 {
				return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
			}
			return s.HTTPClient().Transport.RoundTrip(r)
		}))
		p := hello
		p.MsgRandom = 7
		receipt, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, p)
		require.NoError(t, err)
		assert.Equal(t, uint32(7), receipt.MsgRandom)
		assert.Len(t, s.Pushes(), 1)

		s.Inject(timpushtest.ErrorCode(60007), timpushtest.ErrorCode(60007))
		_, err = c.PushTo(t.Context(), []string{"a"}, hello)
		require.NoError(t, err)
		randoms := map[uint32]bool{}
		for _, call := range s.Calls() {
			var body struct {
				MsgRandom uint32
				ToAccount []string `json:"To_Account"`
			}
			require.NoError(t, json.Unmarshal(call.Body, &body))
			if body.ToAccount != nil {
				randoms[body.MsgRandom] = true
			}
		}
		assert.Len(t, randoms, 1)
	})
}

// TestRevocationThatMayBeDone: a refusal as already done after a lost answer tells nothing.
func TestRevocationThatMayBeDone(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s, c := pusher(t)
		receipt, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
		require.NoError(t, err)
		s.Inject(timpushtest.CutAfter())
		err = c.Revoke(t.Context(), receipt.TaskID, nil)
		var call *timpush.CallError
		require.ErrorAs(t, err, &call)
		assert.Equal(t, timpush.Unknown, call.Outcome)
		require.ErrorIs(t, err, timpush.ErrAlreadyRevoked)
		assert.True(t, s.Pushes()[0].Revoked)
	})
}

// TestPushToGoesOnAndStops as documented.
func TestPushToGoesOnAndStops(t *testing.T) {
	t.Parallel()
	const size, requests = 400, 6
	all := accounts(size * requests)
	first := all[:size]
	for name, test := range map[string]struct {
		faults []timpushtest.Fault
		want   timpush.Result
	}{
		"a data code":                     {[]timpushtest.Fault{timpushtest.ErrorCode(70107)}, timpush.Result{Rejected: 400, Done: 2000, Requests: 6}},
		"a list that names every account": {[]timpushtest.Fault{timpushtest.AccountCode(70107, first...)}, timpush.Result{Rejected: 400, Done: 2000, Requests: 6}},
		"some accounts":                   {[]timpushtest.Fault{timpushtest.AccountCode(70107, first[:3]...)}, timpush.Result{Rejected: 3, Done: 2397, Requests: 6}},
		"an item with a throttle code":    {[]timpushtest.Fault{timpushtest.AccountCode(60007, first[:3]...)}, timpush.Result{Done: 2400, Requests: 7}},
		"all items with a throttle code":  {[]timpushtest.Fault{timpushtest.AccountCode(60007, first...)}, timpush.Result{Done: 2400, Requests: 7}},
		"an item with a transient code":   {[]timpushtest.Fault{timpushtest.AccountCode(91000, first[:3]...)}, timpush.Result{Unknown: 3, Done: 2397, Requests: 6}},
		"an item with too many accounts":  {[]timpushtest.Fault{timpushtest.AccountCode(90018, first[:3]...)}, timpush.Result{Rejected: 3, Done: 2397, Requests: 6}},
		"another refusal":                 {[]timpushtest.Fault{{}, timpushtest.ErrorCode(60999)}, timpush.Result{Done: 400, Rejected: 400, NotSent: 1600, Requests: 2}},
		"a malformed request":             {[]timpushtest.Fault{timpushtest.ErrorCode(90001)}, timpush.Result{Rejected: 400, NotSent: 2000, Requests: 1}},
		"too many accounts":               {[]timpushtest.Fault{timpushtest.ErrorCode(90018)}, timpush.Result{Rejected: 400, NotSent: 2000, Requests: 1}},
		"too many accounts, 90011":        {[]timpushtest.Fault{timpushtest.ErrorCode(90011)}, timpush.Result{Rejected: 400, NotSent: 2000, Requests: 1}},
		"two unknown": {
			[]timpushtest.Fault{timpushtest.CutAfter(), timpushtest.ErrorCode(91000), {}, timpushtest.Status(502)},
			timpush.Result{Unknown: 1200, Done: 1200, Requests: 6},
		},
		"three unknown": {
			[]timpushtest.Fault{{}, timpushtest.CutAfter(), timpushtest.ErrorCode(91000), timpushtest.Status(502)},
			timpush.Result{Done: 400, Unknown: 1200, NotSent: 800, Requests: 4},
		},
		"three unknown, by their lists": {
			[]timpushtest.Fault{timpushtest.AccountCode(91000, first...), {}, timpushtest.AccountCode(91000, all[2*size:3*size]...), timpushtest.CutAfter(), timpushtest.AccountCode(91000, all[4*size:5*size]...)},
			timpush.Result{Done: 400, Unknown: 1600, NotSent: 400, Requests: 5},
		},
		"a fatal code": {[]timpushtest.Fault{timpushtest.ErrorCode(90045)}, timpush.Result{Rejected: 400, NotSent: 2000, Requests: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s, c := pusher(t)
				s.Inject(test.faults...)
				result, err := c.PushTo(t.Context(), all, hello)
				assert.Equal(t, test.want, result.Result, "%v", err)
				assert.Equal(t, test.want.NotSent, len(timpush.Remaining(err, all))-retryableRejections(err))
				requireOnce(t, s, all, err)
			})
		})
	}
}

// TestPushToWhereAllOfARequestFail: OK with a list of all, or FAIL with it, under both readings of the documentation.
func TestPushToWhereAllOfARequestFail(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprint("FAIL=", fails), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t, timpushtest.WithPlan(timpushtest.PlanAdvanced), timpushtest.WithVariant(timpushtest.Variant{FailWhenAllFail: fails}))
				all := accounts(1200)
				s.Refuse(70107, all[400:800]...)
				result, err := client(s, timpush.WithRecipientRate(800)).PushTo(t.Context(), all, hello)
				assert.Equal(t, timpush.Result{Rejected: 400, Done: 800, Requests: 3}, result.Result, "%v", err)
				requireOnce(t, s, all, err)
			})
		})
	}
}

func retryableRejections(err error) (n int) {
	for u := range usersOf(err) {
		var code timpush.Code
		if u.Outcome == timpush.Rejected && errors.As(u, &code) && code.Retryable() {
			n++
		}
	}
	return n
}

// requireOnce checks what the fake recorded against the outcomes: no account gets a push twice from one call.
func requireOnce(t *testing.T, s *timpushtest.Server, accounts []string, err error) {
	t.Helper()
	got := map[string]int{}
	for _, p := range s.Pushes() {
		for _, a := range p.Accounts {
			got[a]++
		}
	}
	outcome := map[string]timpush.Outcome{}
	for u := range usersOf(err) {
		outcome[u.ToAccount] = u.Outcome
	}
	for _, a := range accounts {
		o, failed := outcome[a]
		switch {
		case !failed:
			require.Equal(t, 1, got[a], "%s is Done", a)
		case o == timpush.Unknown:
			require.LessOrEqual(t, got[a], 1, "%s is Unknown", a)
		default:
			require.Zero(t, got[a], "%s is %v", a, o)
		}
	}
}

// TestNoOneGetsAPushTwice makes random pushes against random faults.
func TestNoOneGetsAPushTwice(t *testing.T) {
	t.Parallel()
	for n := range *seeds {
		number := *seed + uint64(n)
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(number, 3))
				s := fake(t, timpushtest.WithPlan(timpushtest.PlanAdvanced), timpushtest.WithLatency(50*time.Millisecond, 40*time.Millisecond), timpushtest.WithVariant(randomVariant(r)))
				disturbAnswers(s, r, randomFault)
				c := client(s, timpush.WithRecipientRate(1+r.IntN(800)), timpush.WithMaxAttempts(1+r.IntN(4)))
				ctx := t.Context()
				if r.IntN(3) == 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Duration(r.Int64N(int64(20*time.Second))))
					defer cancel()
				}
				all := accounts(1 + r.IntN(1500))
				for range r.IntN(20) {
					all = append(all, all[r.IntN(len(all))])
				}
				result, err := c.PushTo(ctx, all, hello)
				require.Equal(t, len(all), result.Done+result.Rejected+result.Unknown+result.NotSent)
				require.Equal(t, err == nil, result.Done == len(all))
				synctest.Wait()
				requireOnce(t, s, all, err)
			})
		})
	}
}

// TestRequestsThatWaitForAQuotaLeaveSlotsToOthers has as many calls of each quota wait as could take all slots several times.
func TestRequestsThatWaitForAQuotaLeaveSlotsToOthers(t *testing.T) {
	t.Parallel()
	now := time.Now()
	calls := map[timpush.Quota]func(ctx context.Context, c *timpush.Client) error{
		timpush.QuotaUsers: func(ctx context.Context, c *timpush.Client) error {
			_, err := c.SetAttr(ctx, someUsers(1))
			return err
		},
		timpush.QuotaPush: func(ctx context.Context, c *timpush.Client) error {
			_, err := c.Push(ctx, timpush.Audience{Everybody: true}, hello)
			return err
		},
		timpush.QuotaRecipients: func(ctx context.Context, c *timpush.Client) error {
			_, err := c.PushTo(ctx, []string{"user-0"}, hello)
			return err
		},
		timpush.QuotaRevoke: func(ctx context.Context, c *timpush.Client) error { return c.Revoke(ctx, "task", nil) },
		timpush.QuotaTasks:  func(ctx context.Context, c *timpush.Client) error { return c.DeleteTask(ctx, 1, timpush.TaskAll) },
		timpush.QuotaStats: func(ctx context.Context, c *timpush.Client) error {
			_, err := c.ChatStats(ctx, now.Add(-time.Hour), now)
			return err
		},
	}
	for free := range calls {
		t.Run(free.String(), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				var opts []timpush.Option
				for q := range calls {
					if q != free {
						opts = append(opts, timpush.WithQuota(q, exhausted{}))
					}
				}
				c := fake(t).Client(opts...)
				ctx, cancel := context.WithCancel(t.Context())
				var waiting sync.WaitGroup
				for q, call := range calls {
					for range 64 {
						if q != free {
							waiting.Go(func() { assert.ErrorIs(t, call(ctx, c), context.Canceled) })
						}
					}
				}
				synctest.Wait()
				began := time.Now()
				err := calls[free](t.Context(), c)
				assert.NotErrorIs(t, err, context.DeadlineExceeded)
				assert.Zero(t, time.Since(began), "a call waits for its own quota only")
				cancel()
				waiting.Wait()
			})
		})
	}
}

// exhausted is a Limiter that lets nothing through.
type exhausted struct{}

func (exhausted) Wait(ctx context.Context) error { return exhausted{}.WaitN(ctx, 1) }

func (exhausted) WaitN(ctx context.Context, _ int) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestPushesHaveQuotasOfTheirOwn: a throttle code of a push never slows SetAttr.
func TestPushesHaveQuotasOfTheirOwn(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s, c := pusher(t)
		began := time.Now()
		_, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
		require.NoError(t, err)
		refusals := 2
		s.Handle(func(call timpushtest.Call) timpushtest.Fault {
			if refusals > 0 && strings.HasSuffix(call.Path, "/push") {
				refusals--
				return timpushtest.ErrorCode(90024)
			}
			return timpushtest.Fault{}
		})
		var pushing sync.WaitGroup
		pushing.Go(func() {
			_, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
			assert.NoError(t, err)
		})
		time.Sleep(1500 * time.Millisecond) // the first of the two has come
		before := time.Now()
		_, err = c.SetAttr(t.Context(), someUsers(100))
		require.NoError(t, err)
		assert.Less(t, time.Since(before), 50*time.Millisecond)
		pushing.Wait()
		assert.GreaterOrEqual(t, time.Since(began), 3*time.Second)

		tenCalls := func() time.Duration {
			began := time.Now()
			for range 10 {
				_, err := c.SetAttr(t.Context(), someUsers(1))
				require.NoError(t, err)
			}
			return time.Since(began)
		}
		fast := tenCalls()
		for code, slows := range map[int]bool{60007: false, 60011: true} { // the latter is about the whole app
			t.Log(code)
			time.Sleep(time.Minute)
			s.Inject(timpushtest.ErrorCode(code))
			_, err = c.Push(t.Context(), timpush.Audience{Everybody: true}, hello)
			require.NoError(t, err)
			assert.Equal(t, slows, tenCalls() > fast)
		}
	})
}

// TestRateOfRecipients: 20,000 accounts at 800 a second.
func TestRateOfRecipients(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithPlan(timpushtest.PlanAdvanced), timpushtest.WithLatency(100*time.Millisecond, 0))
		type start struct {
			at time.Time
			n  int
		}
		var starts []start
		c := client(s, timpush.WithRecipientRate(800), through(func(r *http.Request) (*http.Response, error) {
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			var sent struct {
				ToAccount []string `json:"To_Account"`
			}
			if err := json.NewDecoder(body).Decode(&sent); err != nil {
				return nil, err
			}
			starts = append(starts, start{time.Now(), len(sent.ToAccount)})
			return s.HTTPClient().Transport.RoundTrip(r)
		}))
		all := accounts(20_000)
		began := time.Now()
		result, err := c.PushTo(t.Context(), all, hello)
		require.NoError(t, err)
		assert.Equal(t, timpush.Result{Done: 20_000, Requests: 50}, result.Result, "requests of 400")
		took := starts[len(starts)-1].at.Sub(began).Seconds()
		share := (20_000 - 400) / took / 800
		t.Logf("%.1f %% of 800 recipients a second used", 100*share)
		t.Attr("recipients", fmt.Sprint(share))
		assert.GreaterOrEqual(t, share, 0.97)
		for i, s := range starts {
			sum := 0
			for _, later := range starts[i:] {
				if later.at.Sub(s.at) < time.Second {
					sum += later.n
				}
			}
			require.LessOrEqual(t, sum, 800)
		}
		assert.False(t, slices.Contains(result.TaskIDs, ""))
	})
}

// TestPushesThatNameOtherAccountsAreCounted: three answers in a row that leave open whom they mean stop the call.
func TestPushesThatNameOtherAccountsAreCounted(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, timpush.WithRecipientRate(800), through(answering(
			`{"ActionStatus":"OK","ErrorCode":0,"TaskId":"t","ErrorList":[{"To_Account":"no one we asked for","ErrorCode":70107}]}`)))
		result, err := c.PushTo(t.Context(), accounts(2000), hello)
		require.Error(t, err)
		assert.Equal(t, timpush.Result{Unknown: 1200, NotSent: 800, Requests: 3}, result.Result)
	})
}

// TestPushToSendsOneRequestAtATime, also where an answer takes longer than the next request has to wait.
func TestPushToSendsOneRequestAtATime(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var inFlight atomic.Int64
		_, c := pusher(t, through(func(r *http.Request) (*http.Response, error) {
			assert.EqualValues(t, 1, inFlight.Add(1))
			defer inFlight.Add(-1)
			time.Sleep(5 * time.Second)
			return alwaysOK(r)
		}))
		result, err := c.PushTo(t.Context(), accounts(1200), hello)
		require.NoError(t, err)
		assert.Equal(t, 3, result.Requests)
	})
}

// TestAccountThatMayHaveGotAPush is not sent to again with another of its request that certainly has not.
func TestAccountThatMayHaveGotAPush(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for name, first := range map[string]string{
			"listed":     `{"ActionStatus":"OK","ErrorCode":0,"TaskId":"t","ErrorList":[{"To_Account":"user-0","ErrorCode":91000},{"To_Account":"user-1","ErrorCode":60007}]}`,
			"not listed": `{"ActionStatus":"OK","ErrorCode":91000,"TaskId":"t","ErrorList":[{"To_Account":"user-1","ErrorCode":60007}]}`,
		} {
			var bodies []string
			_, c := pusher(t, through(func(r *http.Request) (*http.Response, error) {
				body, err := io.ReadAll(r.Body)
				bodies = append(bodies, string(body))
				if len(bodies) == 1 {
					return response(http.StatusOK, first), err
				}
				return response(http.StatusOK, `{"ActionStatus":"OK","ErrorCode":0,"TaskId":"t"}`), err
			}))
			result, err := c.PushTo(t.Context(), []string{"user-0", "user-1"}, hello)
			require.Error(t, err, name)
			assert.Equal(t, timpush.Result{Done: 1, Unknown: 1, Requests: 2}, result.Result, name)
			require.Len(t, bodies, 2, name)
			assert.NotContains(t, bodies[1], "user-0", name)
		}
	})
}

// TestRecipientsOfOneRequest are never more than it can have: 501 a second take two requests.
func TestRecipientsOfOneRequest(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s, c := pusher(t, timpush.WithRecipientRate(501))
		result, err := c.PushTo(t.Context(), accounts(501), hello)
		require.NoError(t, err)
		assert.Equal(t, timpush.Result{Done: 501, Requests: 3}, result.Result)
		assert.Equal(t, []int{1, 250, 250}, sizes(s.Calls()))
	})
}

// TestRevokeWithoutAReplacement says so with PushFlag 1.
func TestRevokeWithoutAReplacement(t *testing.T) {
	t.Parallel()
	var body string
	c := newClient(t, through(func(r *http.Request) (*http.Response, error) {
		sent, err := io.ReadAll(r.Body)
		body = string(sent)
		return response(http.StatusOK, okAnswer), err
	}))
	require.NoError(t, c.Revoke(t.Context(), "task", nil))
	assert.Contains(t, body, `"PushFlag":1`)
}

// TestLongestPush has as many bytes as a push may have.
func TestLongestPush(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		longest := 0
		c := newClient(t, timpush.WithQuota(timpush.QuotaPush, unlimited{}), through(func(r *http.Request) (*http.Response, error) {
			longest = max(longest, int(r.ContentLength))
			return alwaysOK(r)
		}))
		for n := 9_000; ; n++ {
			long := hello
			long.MsgRandom, long.Notification.Desc = 1, strings.Repeat("x", n)
			if _, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, long); err != nil {
				require.ErrorAs(t, err, new(*timpush.InputErrors))
				break
			}
		}
		assert.Equal(t, 10<<10, longest)
	})
}

// onlyOnce is a value that encodes itself once.
type onlyOnce struct{ before *bool }

func (o onlyOnce) MarshalJSON() ([]byte, error) {
	if *o.before {
		return nil, errors.New("not again")
	}
	*o.before = true
	return []byte("1"), nil
}

// TestValueThatFailsToEncodeItself, after it was found valid: no part of the request is sent, and the error is one of the input.
func TestValueThatFailsToEncodeItself(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		c := newClient(t, through(func(*http.Request) (*http.Response, error) {
			t.Error("a request was sent")
			return nil, errors.New("no")
		}))
		p := func() timpush.Push {
			return timpush.Push{Notification: hello.Notification, Extra: timpush.Extra{"Odd": onlyOnce{new(bool)}}}
		}
		_, err := c.Push(t.Context(), timpush.Audience{Everybody: true}, p())
		require.ErrorAs(t, err, new(*timpush.InputErrors))
		result, err := c.PushTo(t.Context(), accounts(1), p())
		require.ErrorAs(t, err, new(*timpush.InputErrors))
		assert.Nil(t, result)
		_, err = c.AddTask(t.Context(), timpush.Schedule{At: time.Now().Add(time.Hour), TaskContent: timpush.TaskContent{Accounts: accounts(1), Push: p()}})
		require.ErrorAs(t, err, new(*timpush.InputErrors))
	})
}

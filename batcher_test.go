package timpush_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
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

// batcher makes a Batcher that is closed at the end of the test.
func batcher(t *testing.T, c *timpush.Client, opts ...timpush.BatcherOption) *timpush.Batcher {
	t.Helper()
	b := timpush.NewBatcher(c, opts...)
	t.Cleanup(func() { assert.NoError(t, b.Close(context.Background())) }) //nolint:usetesting // t's has ended
	return b
}

// setEach sets the users from a goroutine each, all at once, and returns their errors.
func setEach(t *testing.T, b *timpush.Batcher, users []timpush.UserAttrs) []error {
	t.Helper()
	errs := make([]error, len(users))
	var callers sync.WaitGroup
	for i, user := range users {
		callers.Go(func() { errs[i] = b.SetAttr(t.Context(), user) })
	}
	callers.Wait()
	return errs
}

func TestBatcherFillsRequests(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		users, requests int
		wait            time.Duration
	}{
		{1, 1, 20 * time.Millisecond}, {99, 1, 20 * time.Millisecond}, {100, 1, 0}, {101, 2, 20 * time.Millisecond}, {1000, 10, 0},
	} {
		t.Run(strconv.Itoa(test.users), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				began := time.Now()
				errs := setEach(t, batcher(t, client(s)), someUsers(test.users))
				assert.NoError(t, errors.Join(errs...))
				assert.Equal(t, test.wait, time.Since(began))
				assert.Len(t, s.Calls(), test.requests)
				assertStored(t, s, someUsers(test.users)...)
			})
		})
	}
}

func TestHalfARequestDoesNotLingerWhenNothingElseIsInFlight(t *testing.T) {
	t.Parallel()
	for users, wait := range map[int]time.Duration{150: 1, 149: 20 - 5} {
		t.Run(strconv.Itoa(users), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t, timpushtest.WithLatency(5*time.Millisecond, 0))
				began := time.Now()
				require.NoError(t, errors.Join(setEach(t, batcher(t, client(s)), someUsers(users))...))
				assert.Equal(t, 5*time.Millisecond+wait*time.Millisecond+5*time.Millisecond, time.Since(began))
				assert.Len(t, s.Calls(), 2)
			})
		})
	}
}

func TestBatcherTellsEachCallerItsOwnOutcome(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Refuse(90035, "user-3")
		s.Refuse(91000, "user-5")
		errs := setEach(t, batcher(t, client(s)), someUsers(10))
		for i, err := range errs {
			switch i {
			case 3:
				requireUser(t, err, timpush.Rejected, timpush.ErrAccountType)
			case 5:
				requireUser(t, err, timpush.Unknown, timpush.ErrInternal)
			default:
				assert.NoError(t, err)
			}
		}
	})
}

func requireUser(t *testing.T, err error, outcome timpush.Outcome, cause error) {
	t.Helper()
	var u *timpush.UserError
	require.ErrorAs(t, err, &u)
	require.Equal(t, outcome, u.Outcome, err)
	require.Zero(t, u.Index, "a Batcher is given one user")
	require.ErrorIs(t, err, cause)
}

func TestBatcherRefusesWhatIsInvalid(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		err := batcher(t, client(s)).SetAttr(t.Context(), timpush.UserAttrs{})
		var fault *timpush.InputError
		require.ErrorAs(t, err, &fault)
		assert.ErrorContains(t, err, "2 faults")
		assert.Empty(t, s.Calls())
	})
}

func TestBatcherMergesTheValuesOfAnAccount(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		b := batcher(t, client(s), timpush.WithLinger(time.Second))
		var callers sync.WaitGroup
		for i := range 5 {
			callers.Go(func() { assert.NoError(t, b.SetAttr(t.Context(), userIn("a", strconv.Itoa(i)))) })
			synctest.Wait() // so that they arrive in this order
		}
		callers.Go(func() {
			assert.NoError(t, b.SetAttr(t.Context(), timpush.UserAttrs{ToAccount: "a", Attrs: timpush.Attrs{"sex": "f"}}))
		})
		callers.Wait()
		require.Len(t, s.Calls(), 1)
		assert.Equal(t, map[string]string{"city": "4", "sex": "f"}, s.Attrs("a"))
	})
}

// TestBatcherSplitsWhatCannotBeMerged sets more attributes of one account than a request may have for it.
func TestBatcherSplitsWhatCannotBeMerged(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var names []string
		for i := range 25 {
			names = append(names, fmt.Sprint("attr-", i))
		}
		sent := 0
		stored := map[string]string{}
		var mu sync.Mutex
		c := newClient(t, timpush.WithLimiter(unlimited{}), through(applying(t, func(_ string, attrs map[string]string) {
			mu.Lock()
			defer mu.Unlock()
			sent++
			assert.LessOrEqual(t, len(attrs), 10)
			maps.Copy(stored, attrs)
		})))
		b := batcher(t, c)
		var callers sync.WaitGroup
		for n, from := range []int{0, 10, 15, 12} { // 10 + 5 + 5 + 5 attributes, some of them twice
			attrs := timpush.Attrs{}
			for _, name := range names[from : from+map[bool]int{true: 10, false: 5}[n == 0]] {
				attrs[name] = strconv.Itoa(n)
			}
			callers.Go(func() { assert.NoError(t, b.SetAttr(t.Context(), timpush.UserAttrs{ToAccount: "a", Attrs: attrs})) })
			synctest.Wait()
		}
		callers.Go(func() { assert.NoError(t, b.SetAttr(t.Context(), userIn("b", "x"))) })
		callers.Wait()
		assert.Equal(t, 2+1, sent)
		assert.Equal(t, []string{"0", "1", "3", "3", "2"}, []string{stored["attr-9"], stored["attr-11"], stored["attr-12"], stored["attr-16"], stored["attr-17"]})
	})
}

func TestBatcherKeepsTheOrderOfAnAccount(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(100*time.Millisecond, 0))
		s.Inject(timpushtest.ErrorCode(91000), timpushtest.CutBefore())
		b := batcher(t, client(s), timpush.WithLinger(0))
		var callers sync.WaitGroup
		for i := range 50 {
			callers.Go(func() { assert.NoError(t, b.SetAttr(t.Context(), userIn("a", strconv.Itoa(i)))) })
			time.Sleep(10 * time.Millisecond)
		}
		callers.Wait()
		assert.Equal(t, "49", s.Attrs("a")["city"])
		assert.Less(t, len(s.Calls()), 15, "values that wait are merged")
	})
}

func TestCallerOfBatcherGivesUp(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(time.Second, 0))
		b := batcher(t, client(s), timpush.WithLinger(100*time.Millisecond))
		results := map[string]error{}
		var mu sync.Mutex
		var callers sync.WaitGroup
		set := func(name string, user timpush.UserAttrs, timeout time.Duration) {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				began := time.Now()
				err := b.SetAttr(ctx, user)
				mu.Lock()
				defer mu.Unlock()
				results[name] = err
				if err != nil {
					assert.Equal(t, timeout, time.Since(began), "at once")
				}
			})
			synctest.Wait()
		}
		set("before it is sent", userIn("early", "x"), 50*time.Millisecond)
		set("same account before", userIn("b", "gone"), 50*time.Millisecond)
		set("others", userIn("b", "x"), time.Hour)
		set("in flight", userIn("c", "x"), 500*time.Millisecond)
		time.Sleep(200 * time.Millisecond)
		set("behind", userIn("b", "behind"), 500*time.Millisecond)
		set("ended before", userIn("d", "x"), 0)
		callers.Wait()
		requireUser(t, results["before it is sent"], timpush.NotSent, context.DeadlineExceeded)
		requireUser(t, results["same account before"], timpush.NotSent, context.DeadlineExceeded)
		requireUser(t, results["in flight"], timpush.Unknown, context.DeadlineExceeded)
		requireUser(t, results["behind"], timpush.NotSent, context.DeadlineExceeded)
		requireUser(t, results["ended before"], timpush.NotSent, context.DeadlineExceeded)
		assert.NoError(t, results["others"])
		time.Sleep(time.Minute)
		assertStored(t, s, userIn("b", "x"), userIn("c", "x"))
		assert.ElementsMatch(t, []string{"b", "c"}, s.Accounts())
	})
}

func TestBatcherSendsNothingIfAllGiveUp(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		b := batcher(t, client(s), timpush.WithLinger(time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		requireUser(t, b.SetAttr(ctx, userIn("a", "x")), timpush.NotSent, context.DeadlineExceeded)
		time.Sleep(time.Minute)
		assert.Empty(t, s.Calls())
		assert.NoError(t, b.SetAttr(t.Context(), userIn("a", "x")))
	})
}

func TestCallerThatGivesUpLeavesTheRequest(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		b := batcher(t, client(s), timpush.WithLinger(time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var callers sync.WaitGroup
		for i := range 60 {
			callers.Go(func() { assert.Error(t, b.SetAttr(ctx, userIn("impatient "+account(i), "x"))) })
		}
		callers.Wait()
		assert.NoError(t, errors.Join(setEach(t, b, someUsers(100))...))
		assert.Equal(t, []int{100}, sizes(s.Calls()))
	})
}

// TestCallersThatGiveUpAreNotSentAgain: the retries of a request go on for up to a minute, in which other processes set later values.
func TestCallersThatGiveUpAreNotSentAgain(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]timpushtest.Fault{
		"an outage": timpushtest.Hang(), "a throttle code": timpushtest.ErrorCode(int(timpush.ErrRateLimited)),
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				var calls atomic.Int64
				s.Handle(func(timpushtest.Call) timpushtest.Fault {
					if calls.Add(1) == 1 {
						return fault
					}
					return timpushtest.Fault{}
				})
				b := batcher(t, client(s))
				var callers sync.WaitGroup
				for i, u := range someUsers(2) {
					callers.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*25*time.Millisecond)
						defer cancel()
						assert.ErrorIs(t, b.SetAttr(ctx, u), context.DeadlineExceeded)
					})
				}
				callers.Wait()
				assert.NoError(t, batcher(t, client(s)).SetAttr(t.Context(), userIn(account(0), "Oslo")))
				time.Sleep(time.Minute)
				assert.Equal(t, "Oslo", s.Attrs(account(0))["city"])
				assert.Empty(t, s.Attrs(account(1)))
			})
		})
	}
}

// TestCallersThatGiveUpWhileASignerIsSlow: a UserSig is for the requests that follow, too. Otherwise each of them would begin to make one.
func TestCallersThatGiveUpWhileASignerIsSlow(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var asked atomic.Int64
		sg := signerFunc(func(ctx context.Context) (string, time.Time, error) {
			asked.Add(1)
			select {
			case <-time.After(time.Second):
				return "sig", time.Now().Add(10 * time.Hour), nil
			case <-ctx.Done():
				return "", time.Time{}, ctx.Err()
			}
		})
		b := batcher(t, newClient(t, timpush.WithSigner(sg), timpush.WithLimiter(unlimited{}), through(alwaysOK)))
		for n := range 3 { // the first UserSig, and those that take the place of one that is still good
			ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
			defer cancel()
			requireUser(t, b.SetAttr(ctx, userIn("a", "x")), timpush.Unknown, context.DeadlineExceeded)
			ctx, cancel = context.WithTimeout(t.Context(), 600*time.Millisecond)
			defer cancel()
			require.NoError(t, b.SetAttr(ctx, userIn("b", "x")))
			assert.EqualValues(t, n+1, asked.Load())
			time.Sleep(9 * time.Hour)
		}
	})
}

func TestFullBatcherBlocks(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(time.Second, 0))
		b := batcher(t, client(s), timpush.WithMaxWaiting(2), timpush.WithLinger(0))
		var callers sync.WaitGroup
		for i := range 2 {
			callers.Go(func() { assert.NoError(t, b.SetAttr(t.Context(), userIn(account(i), "x"))) })
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		requireUser(t, b.SetAttr(ctx, userIn("late", "x")), timpush.NotSent, context.DeadlineExceeded)
		assert.NoError(t, b.SetAttr(t.Context(), userIn("patient", "x")))
		callers.Wait()
		assert.ElementsMatch(t, []string{"user-0", "user-1", "patient"}, s.Accounts())
	})
}

// TestFullBatcherThatIsClosed refuses callers at once, those that wait for room too.
func TestFullBatcherThatIsClosed(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]timpush.BatcherOption{"waits": nil, "fails fast": {timpush.WithFailFast()}} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t, timpushtest.WithLatency(time.Second, 0))
				b := timpush.NewBatcher(client(s), append(opts, timpush.WithMaxWaiting(1), timpush.WithLinger(0))...)
				var callers sync.WaitGroup
				callers.Go(func() { assert.NoError(t, b.SetAttr(t.Context(), userIn("a", "x"))) })
				synctest.Wait()
				refused := func() {
					requireUser(t, b.SetAttr(t.Context(), userIn("b", "x")), timpush.NotSent, timpush.ErrBatcherClosed)
				}
				if opts == nil {
					callers.Go(refused) // waits for room when the Batcher is closed
					synctest.Wait()
				}
				began := time.Now()
				callers.Go(func() { assert.NoError(t, b.Close(t.Context())) })
				synctest.Wait()
				refused()
				assert.Zero(t, time.Since(began))
				callers.Wait()
			})
		})
	}
}

func TestFatalCodeEndsAllCallersOfBatcher(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(time.Second, 0))
		s.Inject(timpushtest.ErrorCode(70009))
		b := batcher(t, client(s, timpush.WithMaxInFlight(1)), timpush.WithLinger(0))
		began := time.Now()
		users := append(someUsers(500), userIn("user-0", "behind"), userIn("user-1", "behind"))
		outcomes := map[timpush.Outcome]int{}
		for _, err := range setEach(t, b, users) {
			var u *timpush.UserError
			require.ErrorAs(t, err, &u)
			require.ErrorIs(t, err, timpush.ErrUserSigMismatch)
			outcomes[u.Outcome]++
		}
		assert.Equal(t, time.Second, time.Since(began))
		assert.Len(t, s.Calls(), 1)
		assert.Positive(t, outcomes[timpush.Rejected])
		assert.Equal(t, 502, outcomes[timpush.Rejected]+outcomes[timpush.NotSent])
		assert.NoError(t, b.SetAttr(t.Context(), userIn("a", "x")), "later calls try again")
	})
}

// TestFatalCodeEndsItsOwnCallOnly lets a user join between the fatal answer and that of another request that was in
// flight at the same time.
func TestFatalCodeEndsItsOwnCallOnly(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.Delay(time.Second, timpushtest.ErrorCode(70009)), timpushtest.Delay(3*time.Second, timpushtest.ErrorCode(70009)))
		b := batcher(t, client(s), timpush.WithLinger(10*time.Second))
		began := time.Now()
		var callers sync.WaitGroup
		callers.Go(func() {
			time.Sleep(2 * time.Second)
			assert.NoError(t, b.SetAttr(t.Context(), userIn("later", "x")))
			assert.Equal(t, 12*time.Second, time.Since(began))
		})
		for _, err := range setEach(t, b, someUsers(200)) {
			requireUser(t, err, timpush.Rejected, timpush.ErrUserSigMismatch)
		}
		callers.Wait()
	})
}

func TestBatcherCloses(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(time.Second, 0))
		b := timpush.NewBatcher(client(s), timpush.WithLinger(time.Hour))
		var callers sync.WaitGroup
		callers.Go(func() { assert.NoError(t, b.SetAttr(t.Context(), userIn("a", "x"))) })
		synctest.Wait()
		began := time.Now()
		require.NoError(t, b.Close(t.Context()))
		assert.Equal(t, time.Second, time.Since(began), "it does not linger")
		callers.Wait()
		requireUser(t, b.SetAttr(t.Context(), userIn("b", "x")), timpush.NotSent, timpush.ErrBatcherClosed)
		require.NoError(t, b.Close(t.Context()))
	})
}

func TestBatcherClosesInTime(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.Hang())
		b := timpush.NewBatcher(client(s, timpush.WithMaxInFlight(1)), timpush.WithLinger(0))
		var callers sync.WaitGroup
		callers.Go(func() {
			requireUser(t, b.SetAttr(t.Context(), userIn("a", "x")), timpush.Unknown, timpush.ErrBatcherClosed)
		})
		synctest.Wait()
		callers.Go(func() {
			requireUser(t, b.SetAttr(t.Context(), userIn("b", "x")), timpush.NotSent, timpush.ErrBatcherClosed)
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		require.ErrorIs(t, b.Close(ctx), context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(began))
		callers.Wait()
	})
}

// TestMoreUsersThanTheQuotaWithDeadlines: users that are put into requests have the time for them, and the others are NotSent.
func TestMoreUsersThanTheQuotaWithDeadlines(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(20*time.Millisecond, 0))
		b := timpush.NewBatcher(client(s, timpush.WithLimiter(timpush.NewLimiter(5)), timpush.WithMaxInFlight(2))) // 500 users a second
		var done, unknown atomic.Int64
		var callers sync.WaitGroup
		for i := range 10 * 700 {
			callers.Go(func() {
				time.Sleep(time.Duration(i) * time.Second / 700)
				ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
				defer cancel()
				err := b.SetAttr(ctx, timpush.UserAttrs{ToAccount: fmt.Sprint("user", i), Attrs: timpush.Attrs{"city": "x"}})
				if failed, ok := errors.AsType[*timpush.UserError](err); !ok {
					done.Add(1)
				} else if failed.Outcome == timpush.Unknown {
					unknown.Add(1)
				}
			})
		}
		callers.Wait()
		assert.Less(t, unknown.Load(), int64(50))
		assert.Greater(t, done.Load(), int64(3000), "the quota is 5000")
		require.NoError(t, b.Close(t.Context()))
	})
}

// TestLingerWithDeadlinesAfterASlowRequest: also where a request took long once, users with deadlines have the time to wait for others.
func TestLingerWithDeadlinesAfterASlowRequest(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(20*time.Millisecond, 0))
		b := batcher(t, client(s), timpush.WithLinger(time.Second))
		set := func(account string) error {
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			defer cancel()
			return b.SetAttr(ctx, userIn(account, "x"))
		}
		require.NoError(t, set("before"))
		s.Inject(timpushtest.Delay(5*time.Second, timpushtest.Fault{}))
		requireUser(t, set("slow"), timpush.Unknown, context.DeadlineExceeded)
		time.Sleep(10 * time.Second)
		for i := range 10 {
			require.NoError(t, set(account(i)))
		}
	})
}

// TestCloseLeavesNothingBehind, also with a transport that runs for a while after its request was canceled.
func TestCloseLeavesNothingBehind(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		ended := make(chan struct{})
		b := timpush.NewBatcher(newClient(t, through(func(r *http.Request) (*http.Response, error) {
			defer close(ended)
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			time.Sleep(time.Second)
			return nil, r.Context().Err()
		})), timpush.WithLinger(0))
		var callers sync.WaitGroup
		callers.Go(func() {
			requireUser(t, b.SetAttr(t.Context(), userIn("a", "x")), timpush.Unknown, timpush.ErrBatcherClosed)
		})
		synctest.Wait()
		over, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, b.Close(over), context.Canceled)
		select {
		case <-ended:
		default:
			assert.Fail(t, "the request is still in flight")
		}
		callers.Wait()
	})
}

// TestCallerGivesUpWhenTheAnswerComes: whichever comes first, the user is never NotSent.
func TestCallerGivesUpWhenTheAnswerComes(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var cancel context.CancelFunc
		b := batcher(t, newClient(t, timpush.WithLimiter(unlimited{}), through(func(r *http.Request) (*http.Response, error) {
			cancel()
			return alwaysOK(r)
		})), timpush.WithLinger(0))
		for range 300 {
			var ctx context.Context
			ctx, cancel = context.WithCancel(t.Context())
			if err := b.SetAttr(ctx, userIn("a", "x")); err != nil {
				requireUser(t, err, timpush.Unknown, context.Canceled)
			}
			synctest.Wait()
			cancel()
		}
	})
}

// TestMapOfACallerThatGaveUp changes it while the names are still being read for its request.
func TestMapOfACallerThatGaveUp(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(time.Second, 0))
		b := batcher(t, client(s, timpush.WithPreflight()))
		var other sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		user := timpush.UserAttrs{ToAccount: "a", Attrs: timpush.Attrs{"sex": "f"}}
		other.Go(func() { assert.NoError(t, b.SetAttr(t.Context(), userIn("a", "x"))) })
		requireUser(t, b.SetAttr(ctx, user), timpush.Unknown, context.DeadlineExceeded)
		user.Attrs["no such name"] = "x"
		other.Wait()
		assert.Equal(t, map[string]string{"sex": "f", "city": "x"}, s.Attrs("a"))
	})
}

func TestIdleBatcherClosesWithAnyContext(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		b := timpush.NewBatcher(client(fake(t)))
		require.NoError(t, b.SetAttr(t.Context(), userIn("a", "x")))
		synctest.Wait() // the caller returns a moment before the Batcher is idle
		over, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, b.Close(over))
		require.NoError(t, b.Close(over))
	})
}

// TestRequestThatTakesNoMoreUsers fills a request that has to wait with more users than are merged at once. Those that wait
// for it keep their order when users of it give up.
func TestRequestThatTakesNoMoreUsers(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(time.Second, 0))
		b := batcher(t, client(s, timpush.WithMaxInFlight(1)), timpush.WithLinger(0))
		var callers sync.WaitGroup
		set := func(account, city string, patience time.Duration) {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_ = b.SetAttr(ctx, userIn(account, city))
			})
			synctest.Wait()
		}
		set("first", "x", time.Hour)
		time.Sleep(100 * time.Millisecond)
		set("b", "gives up", 200*time.Millisecond)
		for range 999 {
			set("a", "gives up", 200*time.Millisecond)
		}
		set("a", "behind", time.Hour)
		set("b", "behind", time.Hour)
		time.Sleep(500 * time.Millisecond)
		set("a", "last", time.Hour)
		set("b", "last", time.Hour)
		callers.Wait()
		assertStored(t, s, userIn("a", "last"), userIn("b", "last"))
		assert.LessOrEqual(t, len(s.Calls()), 4)
	})
}

// TestFatalCodeEndsACallerThatWaitsForItsAccount, although it is the only one.
func TestFatalCodeEndsACallerThatWaitsForItsAccount(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(time.Second, 0))
		s.Inject(timpushtest.ErrorCode(90009))
		b := batcher(t, client(s))
		errs := make([]error, 2)
		var callers sync.WaitGroup
		for i := range errs {
			callers.Go(func() { errs[i] = b.SetAttr(t.Context(), userIn("a", "Rome")) })
			time.Sleep(100 * time.Millisecond)
		}
		callers.Wait()
		requireUser(t, errs[0], timpush.Rejected, timpush.ErrNotAdmin)
		requireUser(t, errs[1], timpush.NotSent, timpush.ErrNotAdmin)
		assert.Len(t, s.Calls(), 1)
	})
}

// TestBatcherStoppedWhileItLooksForAFault: of a refused request, only a user that was refused alone is known to be at fault.
func TestBatcherStoppedWhileItLooksForAFault(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{"code": timpush.ErrUnavailable, "closed": timpush.ErrBatcherClosed} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t, timpushtest.WithLatency(50*time.Millisecond, 0))
				s.Poison(90033, account(99))
				b := timpush.NewBatcher(client(s))
				var requests atomic.Int64
				s.Handle(func(timpushtest.Call) timpushtest.Fault {
					if requests.Add(1) == 2 && name == "code" {
						return timpushtest.ErrorCode(60020)
					}
					return timpushtest.Fault{}
				})
				var callers sync.WaitGroup
				for i := range 100 {
					callers.Go(func() {
						err := b.SetAttr(t.Context(), userIn(account(i), "x"))
						assert.ErrorIs(t, err, cause)
						assert.NotErrorIs(t, err, timpush.ErrInvalidAttr)
					})
				}
				if name == "closed" {
					ctx, cancel := context.WithTimeout(t.Context(), 75*time.Millisecond)
					defer cancel()
					synctest.Wait()
					assert.Error(t, b.Close(ctx))
				}
				callers.Wait()
			})
		})
	}
}

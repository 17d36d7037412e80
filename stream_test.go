package timpush_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
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

// from yields users without an error.
func from(users []timpush.UserAttrs) iter.Seq2[timpush.UserAttrs, error] {
	return func(yield func(timpush.UserAttrs, error) bool) {
		for _, u := range users {
			if !yield(u, nil) {
				return
			}
		}
	}
}

// steps is what a stream has yielded for each position.
type steps struct {
	outcomes map[int64]timpush.Outcome
	errs     map[int64]error
	others   []error // not of users
	last     *timpush.BatchResult
	checked  int64            // the last checkpoint
	of       map[string]int64 // the last position of an account
}

// drain ranges over a stream to its end and checks what holds for every stream.
func drain(t *testing.T, stream iter.Seq2[*timpush.BatchResult, error]) steps {
	t.Helper()
	all := steps{outcomes: map[int64]timpush.Outcome{}, errs: map[int64]error{}, of: map[string]int64{}}
	final := map[int64]bool{}
	for b, err := range stream {
		all.add(t, b, err, final)
	}
	return all
}

func (all *steps) add(t *testing.T, b *timpush.BatchResult, err error, final map[int64]bool) {
	t.Helper()
	require.NotNil(t, b)
	require.Len(t, b.Outcomes, len(b.Users))
	require.Len(t, b.Positions, len(b.Users))
	require.Equal(t, len(b.Users), b.Done+b.Rejected+b.Unknown+b.NotSent)
	failed := map[int64]*timpush.UserError{}
	if p := new(timpush.PartialError); errors.As(err, &p) {
		for u := range p.Users() {
			failed[int64(u.Index)] = u
		}
		for _, again := range p.Remaining(b.Users) {
			require.NotEmpty(t, again.ToAccount)
		}
	} else if err != nil {
		require.Empty(t, b.Users)
		all.others = append(all.others, err)
	}
	for k, position := range b.Positions {
		_, twice := all.outcomes[position]
		require.False(t, twice, "a position is yielded once")
		all.outcomes[position] = b.Outcomes[k]
		if u := failed[position]; u != nil {
			require.Equal(t, b.Outcomes[k], u.Outcome)
			require.Equal(t, b.Users[k].ToAccount, u.ToAccount)
			all.errs[position] = u.Err
			delete(failed, position)
		} else {
			require.Equal(t, timpush.Done, b.Outcomes[k])
		}
		if b.Requests > 0 || b.Outcomes[k] != timpush.Rejected {
			account := b.Users[k].ToAccount
			before, known := all.of[account]
			require.False(t, known && before > position, "%d of %s comes behind a later one", position, account)
			all.of[account] = position
		}
		final[position] = b.Outcomes[k] == timpush.Done || b.Outcomes[k] == timpush.Rejected
	}
	require.Empty(t, failed, "the error is about users of the batch")
	for ; all.checked < b.Checkpoint(); all.checked++ {
		require.True(t, final[all.checked], "checkpoint %d claims %d", b.Checkpoint(), all.checked)
	}
	require.Equal(t, all.checked, b.Checkpoint(), "a checkpoint never goes back")
	require.Equal(t, len(all.outcomes), b.Progress.Done+b.Progress.Rejected+b.Progress.Unknown+b.Progress.NotSent)
	all.last = b
}

func TestStream(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		users := someUsers(1050)
		all := drain(t, client(s).SetAttrSeq(t.Context(), from(users)))
		require.Len(t, all.outcomes, len(users))
		assert.Empty(t, all.errs)
		assert.Empty(t, all.others)
		assert.EqualValues(t, len(users), all.last.Checkpoint())
		assert.Equal(t, timpush.Result{Done: 1050, Requests: 11}, all.last.Progress.Result)
		assert.Len(t, s.Calls(), 11)
		assertStored(t, s, users...)
	})
}

func TestStreamOfNothing(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for b, err := range client(fake(t)).SetAttrSeq(t.Context(), from(nil)) {
			t.Fatal("there is nothing to yield", b, err)
		}
	})
}

func TestStreamWithASlowSource(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		began := time.Now()
		slow := func(yield func(timpush.UserAttrs, error) bool) {
			for _, u := range someUsers(3) {
				time.Sleep(time.Second)
				if !yield(u, nil) {
					return
				}
			}
			time.Sleep(time.Second)
		}
		var at []time.Duration
		for b, err := range client(s).SetAttrSeq(t.Context(), slow) {
			require.NoError(t, err)
			require.Equal(t, 1, b.Done)
			at = append(at, time.Since(began))
		}
		const linger = 20 * time.Millisecond
		assert.Equal(t, []time.Duration{time.Second + linger, 2*time.Second + linger, 3*time.Second + linger}, at)
	})
}

func TestStreamRejectsAnInvalidUserAlone(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		users := someUsers(250)
		users[7].ToAccount = ""
		users[120].Attrs = nil
		all := drain(t, client(s).SetAttrSeq(t.Context(), from(users)))
		require.Len(t, all.outcomes, 250)
		assert.Len(t, all.errs, 2)
		var fault *timpush.InputError
		require.ErrorAs(t, all.errs[120], &fault)
		assert.Equal(t, 120, fault.Index)
		assert.Equal(t, timpush.Result{Done: 248, Rejected: 2, Requests: 3}, all.last.Progress.Result)
		assert.EqualValues(t, 250, all.last.Checkpoint())
	})
}

func TestStreamEndsWithTooManyInvalidUsers(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		taken := 0
		endless := func(yield func(timpush.UserAttrs, error) bool) {
			for yield(timpush.UserAttrs{}, nil) {
				taken++
			}
		}
		all := drain(t, client(fake(t)).SetAttrSeq(t.Context(), endless, timpush.WithMaxInvalid(5)))
		require.Len(t, all.others, 1)
		assert.ErrorIs(t, all.others[0], timpush.ErrTooManyInvalid)
		assert.Len(t, all.outcomes, 6)
	})
}

func TestStreamPassesErrorsOfItsSourceOn(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		bad := errors.New("row 2 is damaged")
		source := func(yield func(timpush.UserAttrs, error) bool) {
			_ = yield(userIn("a", "x"), nil) && yield(timpush.UserAttrs{}, bad) && yield(userIn("b", "x"), nil)
		}
		all := drain(t, client(fake(t)).SetAttrSeq(t.Context(), source))
		assert.Equal(t, []error{bad}, all.others)
		assert.Equal(t, map[int64]timpush.Outcome{0: timpush.Done, 1: timpush.Done}, all.outcomes)
	})
}

// TestStreamKeepsTheOrderOfAnAccount sends many values of few accounts with faults that make requests be retried and halved.
func TestStreamKeepsTheOrderOfAnAccount(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(50*time.Millisecond, 50*time.Millisecond))
		s.Inject(timpushtest.ErrorCode(91000), timpushtest.ErrorCode(90018), timpushtest.Status(503), timpushtest.CutBefore(), timpushtest.ErrorCode(60008))
		source := func(yield func(timpush.UserAttrs, error) bool) {
			for i := range 1500 {
				if i%50 == 0 {
					time.Sleep(time.Millisecond)
				}
				if !yield(userIn(account(i%7*i%31), strconv.Itoa(i)), nil) {
					return
				}
			}
		}
		all := drain(t, client(s, timpush.WithMaxAttempts(9)).SetAttrSeq(t.Context(), source))
		require.Empty(t, all.errs)
		last := map[string]string{}
		for i := range 1500 {
			last[account(i%7*i%31)] = strconv.Itoa(i)
		}
		for account, city := range last {
			assert.Equal(t, city, s.Attrs(account)["city"], account)
		}
		assert.Less(t, len(s.Calls()), 500, "values that wait together are merged")
	})
}

func TestStreamDoesNotStallForOneAccount(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(50*time.Millisecond, 0))
		var refused atomic.Int64
		s.Handle(func(call timpushtest.Call) timpushtest.Fault {
			if slices.Contains(call.Accounts, "hot") && refused.Add(1) <= 3 {
				return timpushtest.ErrorCode(91000)
			}
			return timpushtest.Fault{}
		})
		users := someUsers(1000)
		users[0], users[555], users[777] = userIn("hot", "first"), userIn("hot", "second"), userIn("hot", "third")
		var order []int64
		for b, err := range client(s).SetAttrSeq(t.Context(), from(users)) {
			require.NoError(t, err)
			order = append(order, b.Positions...)
			if b.Positions[0] == 0 {
				assert.Len(t, order, 998, "all users except those that wait for it are done before")
			} else if len(order) < 1000 {
				assert.Zero(t, b.Checkpoint())
			}
		}
		assert.Equal(t, []int64{555, 777}, order[998:])
		assert.Equal(t, "third", s.Attrs("hot")["city"])
	})
}

func TestStreamEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, blocked := range map[string]func(context.Context, chan struct{}){
		"source watches ctx": func(ctx context.Context, _ chan struct{}) { <-ctx.Done() },
		"source blocks":      func(_ context.Context, never chan struct{}) { <-never },
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				s.Inject(timpushtest.HangApplied())
				ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, errors.New("that's enough"))
				defer cancel()
				never := make(chan struct{})
				began := time.Now()
				all := drain(t, client(s).SetAttrSeq(ctx, func(yield func(timpush.UserAttrs, error) bool) {
					for _, u := range someUsers(150) {
						if !yield(u, nil) {
							return
						}
					}
					blocked(ctx, never)
					for yield(userIn("late", "x"), nil) {
					}
				}))
				assert.LessOrEqual(t, time.Since(began), 3*time.Second+100*time.Millisecond)
				require.Len(t, all.others, 1)
				assert.ErrorIs(t, all.others[0], context.DeadlineExceeded)
				assert.ErrorContains(t, all.others[0], "that's enough")
				require.GreaterOrEqual(t, len(all.outcomes), 150)
				assert.Equal(t, timpush.Unknown, all.outcomes[0])
				assert.Equal(t, timpush.Done, all.outcomes[149])
				assert.Zero(t, all.last.Checkpoint())
				close(never)
				synctest.Wait()
			})
		})
	}
}

func TestStreamStopsAtAFatalCode(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.ErrorCode(70009))
		yielded := 0
		all := drain(t, client(s, timpush.WithMaxInFlight(1)).SetAttrSeq(t.Context(), func(yield func(timpush.UserAttrs, error) bool) {
			for i := 0; ; i++ {
				yielded++
				if !yield(userIn(account(i), "x"), nil) {
					return
				}
			}
		}))
		require.Len(t, all.others, 1)
		assert.ErrorIs(t, all.others[0], timpush.ErrUserSigMismatch)
		assert.Len(t, all.outcomes, yielded, "each user that was yielded is accounted for")
		assert.Equal(t, 100, all.last.Progress.Rejected)
		assert.Equal(t, yielded-100, all.last.Progress.NotSent)
		assert.Zero(t, all.last.Checkpoint(), "none of them was refused for its own data")
	})
}

// The stream says that a code has stopped it also where its source had been read to its end, whichever request ends last.
func TestStreamIsStoppedAfterItsSource(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string][]timpushtest.Fault{
		"refused last": {{}, timpushtest.Delay(time.Second, timpushtest.ErrorCode(70009))},
		"done last":    {timpushtest.Delay(time.Millisecond, timpushtest.ErrorCode(70009)), timpushtest.Delay(time.Second, timpushtest.Fault{})},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t)
				s.Inject(faults...)
				all := drain(t, client(s).SetAttrSeq(t.Context(), func(yield func(timpush.UserAttrs, error) bool) {
					for i := range 200 {
						yield(userIn(account(i), "x"), nil)
					}
				}))
				require.Len(t, all.others, 1)
				assert.ErrorIs(t, all.others[0], timpush.ErrUserSigMismatch)
				assert.Len(t, all.outcomes, 200)
				assert.Equal(t, 100, all.last.Progress.Done)
				assert.Equal(t, 100, all.last.Progress.Rejected)
			})
		})
	}
}

func TestStreamLeftEarly(t *testing.T) {
	t.Parallel()
	leave := map[string]func(stream iter.Seq2[*timpush.BatchResult, error]){
		"break": func(stream iter.Seq2[*timpush.BatchResult, error]) {
			for range stream {
				break
			}
		},
		"panic": func(stream iter.Seq2[*timpush.BatchResult, error]) {
			defer func() { _ = recover() }()
			for range stream {
				panic("in the loop")
			}
		},
		"exit": func(stream iter.Seq2[*timpush.BatchResult, error]) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range stream {
					runtime.Goexit()
				}
			}()
			<-done
		},
	}
	for name, leave := range leave {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t, timpushtest.WithLatency(time.Second, 900*time.Millisecond))
				ended := false
				leave(client(s).SetAttrSeq(t.Context(), func(yield func(timpush.UserAttrs, error) bool) {
					defer func() { ended = true }()
					for i := 0; yield(userIn(account(i), "x"), nil); i++ {
					}
				}))
				assert.True(t, ended, "the source has returned")
				requests := len(s.Calls())
				time.Sleep(time.Minute)
				assert.Len(t, s.Calls(), requests, "nothing more is sent")
			})
		})
	}
}

func TestPanicInTheSourceComesOutOfTheLoop(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		seen := 0
		assert.PanicsWithValue(t, "broken cursor", func() {
			for b, err := range client(fake(t)).SetAttrSeq(t.Context(), func(yield func(timpush.UserAttrs, error) bool) {
				yield(userIn("a", "x"), nil)
				panic("broken cursor")
			}) {
				assert.NoError(t, err)
				seen += b.Done
			}
		})
		assert.Equal(t, 1, seen)
	})
}

func TestStreamBoundsPendingUsers(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		taken := 0
		for _, err := range client(s, timpush.WithMaxInFlight(2)).SetAttrSeq(t.Context(), func(yield func(timpush.UserAttrs, error) bool) {
			for i := range 3000 {
				taken++
				if !yield(userIn(account(i), "x"), nil) {
					return
				}
			}
		}) {
			require.NoError(t, err)
			synctest.Wait()
			break
		}
		assert.LessOrEqual(t, taken, 2*2*100+100+1)
	})
}

func TestProgressReadsWell(t *testing.T) {
	p := timpush.Progress{Result: timpush.Result{Done: 12, Rejected: 3, Unknown: 1, Requests: 7}, Retries: 2, Rate: 9750.4}
	assert.Equal(t, "12 done, 3 rejected, 1 unknown, 0 not sent; 9750 users/s; 7 requests, 2 retries", fmt.Sprint(p))
}

// FuzzMerging streams values of few accounts. Whatever is merged and whatever has to wait, the attributes must be the
// same as if each user had been set by itself, and no account twice in a request or with more than ten attributes.
func FuzzMerging(f *testing.F) {
	f.Add([]byte("abcabcabc"))
	f.Add([]byte("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"))
	f.Add([]byte{0, 255, 1, 254, 2, 253, 3, 252, 0, 0, 0, 8, 16, 24, 32})
	f.Fuzz(func(t *testing.T, data []byte) {
		var users []timpush.UserAttrs
		for i, b := range data[:min(len(data), 2000)] {
			attrs := timpush.Attrs{}
			for k := range 1 + int(b>>3)%10 {
				attrs[fmt.Sprint("attr-", (i*7+k)%23)] = strconv.Itoa(i)
			}
			users = append(users, timpush.UserAttrs{ToAccount: account(int(b & 7)), Attrs: attrs})
		}
		want := map[string]map[string]string{}
		for _, u := range merge(users) {
			want[u.ToAccount] = u.Attrs
		}
		stored := map[string]map[string]string{}
		var mu sync.Mutex
		c := newClient(t, timpush.WithLimiter(unlimited{}), through(applying(t, func(account string, attrs map[string]string) {
			mu.Lock()
			defer mu.Unlock()
			assert.LessOrEqual(t, len(attrs), timpush.MaxAttrsPerUser)
			if stored[account] == nil {
				stored[account] = map[string]string{}
			}
			maps.Copy(stored[account], attrs)
		})))
		for _, err := range c.SetAttrSeq(t.Context(), from(users)) {
			require.NoError(t, err)
		}
		require.Equal(t, want, stored)
	})
}

func TestCheckpointPassesUsersRejectedForTheirData(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Refuse(12345, "user-0") // whatever the code
		all := drain(t, client(s).SetAttrSeq(t.Context(), from(someUsers(300))))
		assert.Equal(t, timpush.Rejected, all.outcomes[0])
		assert.EqualValues(t, 300, all.last.Checkpoint())
	})
}

func TestCheckpointStaysBelowUsersWorthSendingAgain(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Refuse(60007, "user-120")
		all := drain(t, client(s, timpush.WithMaxAttempts(1)).SetAttrSeq(t.Context(), from(someUsers(300))))
		assert.Equal(t, timpush.Rejected, all.outcomes[120])
		assert.EqualValues(t, 120, all.last.Checkpoint())
	})
}

func TestPanicOfASourceThatCleansUp(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		assert.PanicsWithValue(t, "cleanup", func() {
			for _, err := range client(fake(t)).SetAttrSeq(t.Context(), func(yield func(timpush.UserAttrs, error) bool) {
				defer func() { panic("cleanup") }()
				for i := 0; yield(userIn(account(i), "x"), nil); i++ {
				}
			}) {
				require.NoError(t, err)
				break
			}
		})
	})
}

func TestSourceThatExits(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		stored, over := 0, false
		done := make(chan struct{})
		go func() {
			defer close(done)
			for b := range client(fake(t)).SetAttrSeq(t.Context(), func(yield func(timpush.UserAttrs, error) bool) { //nolint:errcheck // there is none
				yield(userIn("a", "x"), nil)
				runtime.Goexit()
			}) {
				stored += b.Done
			}
			over = true
		}()
		<-done
		assert.Equal(t, 1, stored)
		assert.False(t, over, "the loop's goroutine exits, too")
	})
}

// TestStreamWithTooNearADeadline has a limiter that says at once when the time does not suffice.
func TestStreamWithTooNearADeadline(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		taken := 0
		all := drain(t, client(fake(t), timpush.WithLimiter(timpush.NewLimiter(5)), timpush.WithMaxInFlight(3)).SetAttrSeq(ctx, func(yield func(timpush.UserAttrs, error) bool) {
			for yield(userIn(account(taken), "x"), nil) {
				taken++
			}
		}))
		assert.GreaterOrEqual(t, all.last.Progress.Done, 1400)
		assert.Less(t, taken, 1600+2*3*100, "no more users are taken than can be pending")
		require.Len(t, all.others, 1)
		require.ErrorIs(t, all.others[0], context.DeadlineExceeded)
	})
}

func TestProgressCounts(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(time.Second, 0))
		s.Inject(timpushtest.ErrorCode(91000), timpushtest.ErrorCode(91000))
		all := drain(t, client(s, timpush.WithLimiter(timpush.NewLimiter(1))).SetAttrSeq(t.Context(), from(someUsers(1200))))
		p := all.last.Progress
		assert.Equal(t, 2, p.Retries)
		assert.Equal(t, 14, p.Requests)
		assert.InDelta(t, 14, p.Elapsed.Seconds(), 1)
		assert.InDelta(t, 100, p.Rate, 5)
	})
}

// TestRate follows a source that becomes slower: it is that of the last five to ten seconds.
func TestRate(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		for b := range client(fake(t)).SetAttrSeq(t.Context(), from([]timpush.UserAttrs{{}})) { //nolint:errcheck // it is invalid
			assert.Zero(t, b.Progress.Rate, "there is none at the first moment")
		}
		began := time.Now()
		for b, err := range client(fake(t)).SetAttrSeq(t.Context(), func(yield func(timpush.UserAttrs, error) bool) {
			pause := 10 * time.Millisecond
			for i := 0; yield(userIn(account(i), "x"), nil) && time.Since(began) < 30*time.Second; time.Sleep(pause) {
				if i++; i == 1500 {
					pause = 100 * time.Millisecond
				}
			}
		}) {
			require.NoError(t, err)
			switch at := b.Progress.Elapsed; {
			case at > time.Second && at < 15*time.Second:
				assert.InDelta(t, 100, b.Progress.Rate, 10, at)
			case at > 16*time.Second && at < 20*time.Second:
				assert.Less(t, b.Progress.Rate, 95.0, at)
				assert.Greater(t, b.Progress.Rate, 20.0, at)
			case at > 25*time.Second:
				assert.InDelta(t, 10, b.Progress.Rate, 2, at)
			}
		}
	})
}

// TestSourceThatIgnoresItsContext blocks for a while and then yields one more user, when the stream has ended. Within a tenth of
// a second that user is still yielded, as NotSent.
func TestSourceThatIgnoresItsContext(t *testing.T) {
	t.Parallel()
	for blocks, yielded := range map[time.Duration]int{90 * time.Millisecond: 2, 110 * time.Millisecond: 1} {
		t.Run(blocks.String(), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				more := make(chan bool, 1)
				all := drain(t, client(fake(t)).SetAttrSeq(ctx, func(yield func(timpush.UserAttrs, error) bool) {
					yield(userIn("mary", "x"), nil)
					cancel()
					time.Sleep(blocks)
					more <- yield(userIn("late", "x"), nil)
				}))
				assert.Len(t, all.outcomes, yielded)
				assert.Equal(t, timpush.NotSent, all.outcomes[1])
				assert.False(t, <-more)
			})
		})
	}
}

// TestSourceThatIsQuietWhenTheStreamIsStopped yields one more user while a request is still in flight.
func TestSourceThatIsQuietWhenTheStreamIsStopped(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(timpushtest.Delay(time.Second, timpushtest.Fault{}), timpushtest.ErrorCode(70009))
		all := drain(t, client(s).SetAttrSeq(t.Context(), func(yield func(timpush.UserAttrs, error) bool) {
			yield(userIn("slow", "x"), nil)
			time.Sleep(100 * time.Millisecond)
			yield(userIn("refused", "x"), nil)
			time.Sleep(500 * time.Millisecond)
			assert.False(t, yield(userIn("late", "x"), nil))
		}))
		assert.Equal(t, map[int64]timpush.Outcome{0: timpush.Done, 1: timpush.Rejected, 2: timpush.NotSent}, all.outcomes)
	})
}

// TestSlowLoop is one that takes longer for a step than the stream waits for its source.
func TestSlowLoop(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		rejected := 0
		for b := range client(fake(t)).SetAttrSeq(ctx, func(yield func(timpush.UserAttrs, error) bool) { //nolint:errcheck // each user is invalid
			for yield(timpush.UserAttrs{}, nil) {
			}
		}) {
			rejected += b.Rejected
			cancel()
			time.Sleep(time.Second)
		}
		assert.Equal(t, 2, rejected, "the second was yielded when the stream ended")
	})
}

func TestBatchResultIsInOrder(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t, timpushtest.WithLatency(time.Second, 0))
		users := append(someUsers(100), userIn("user-5", "second"))
		for i := range 50 {
			users = append(users, userIn(account(1000+i), "x"))
		}
		unordered := 0
		for b, err := range client(s).SetAttrSeq(t.Context(), func(yield func(timpush.UserAttrs, error) bool) {
			for i, u := range users {
				if i == 150 {
					time.Sleep(990 * time.Millisecond) // the last joins while the second value of user-5 waits
				}
				yield(u, nil)
			}
			time.Sleep(100 * time.Millisecond)
		}) {
			require.NoError(t, err)
			assert.True(t, slices.IsSorted(b.Positions))
			if slices.Contains(b.Positions, 100) && slices.Contains(b.Positions, 150) {
				unordered++
			}
		}
		assert.Equal(t, 1, unordered, "the one that waited is yielded in its place")
	})
}

// TestUsersOfAnAccountComeInTheirOrder stops streams, by a code or by their contexts, while users wait for the requests of earlier ones of their
// accounts. Whoever sends what is left again, as it came, must not give an account an old value.
func TestUsersOfAnAccountComeInTheirOrder(t *testing.T) {
	t.Parallel()
	for n := range 100 {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				s := fake(t, timpushtest.WithLatency(50*time.Millisecond, 0))
				s.Inject(timpushtest.ErrorCode(70009))
				s.Handle(func(timpushtest.Call) timpushtest.Fault { return timpushtest.ErrorCode(91000) })
				patience, inFlight, accounts, later := time.Minute, 32, 1500, 15
				if n%2 == 0 {
					patience, inFlight, accounts, later = time.Duration(rand.IntN(50))*time.Millisecond, 1, 100, 101
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				var users []timpush.UserAttrs
				for i := range accounts + later {
					users = append(users, userIn(account(i*max(1, accounts*(i/accounts)/later)%accounts), account(i)))
				}
				drain(t, func(yield func(*timpush.BatchResult, error) bool) { // drain checks the order; a slow loop lets results wait
					for batch, err := range client(s, timpush.WithMaxInFlight(inFlight)).SetAttrSeq(ctx, from(users)) {
						time.Sleep(time.Millisecond)
						if !yield(batch, err) {
							return
						}
					}
				})
			})
		})
	}
}

// TestOthersOfAStreamAreSentAgain sends again what is left of a stream, as SetAttrSeq says: with later users of the same accounts.
func TestOthersOfAStreamAreSentAgain(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		s := fake(t)
		s.Inject(slices.Repeat([]timpushtest.Fault{timpushtest.ErrorCode(91000)}, 4)...)
		users := func(yield func(timpush.UserAttrs, error) bool) {
			if yield(userIn("mary", "Rome"), nil) {
				time.Sleep(time.Minute)
				yield(userIn("mary", "Paris"), nil)
			}
		}
		var left []timpush.UserAttrs
		behind := map[string]bool{}
		for batch, err := range client(s).SetAttrSeq(t.Context(), users) {
			for _, u := range timpush.Remaining(err, batch.Users) {
				behind[u.ToAccount] = true
			}
			for i, u := range batch.Users {
				if behind[u.ToAccount] && batch.Outcomes[i] != timpush.Rejected {
					left = append(left, u)
				}
			}
		}
		require.Len(t, left, 2)
		_, err := client(s).SetAttr(t.Context(), left)
		require.NoError(t, err)
		require.Equal(t, "Paris", s.Attrs("mary")["city"])
	})
}

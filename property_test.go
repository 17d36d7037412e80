package timpush_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

var (
	seeds = flag.Int("seeds", 25, "how many random runs of each kind the property test makes")
	seed  = flag.Uint64("seed", 0, "the first seed of the property test: the number in the name of a failed run")
)

// TestOutcomesTellTheTruth makes random calls against random faults, of SetAttr, of a stream and of a Batcher. After each,
// what the fake has of an account is the value of its last entry that is Done, or of a later one that is Unknown.
func TestOutcomesTellTheTruth(t *testing.T) {
	t.Parallel()
	for kind, call := range map[string]func(*testing.T, *disturbed){
		"call": randomCall, "stream": randomStream, "batcher": randomBatcher, "removal": randomRemoval, "reading": randomReading,
	} {
		for n := range *seeds {
			number := *seed + uint64(n)
			t.Run(fmt.Sprint(kind, "/", number), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { call(t, disturb(t, rand.New(rand.NewPCG(number, 1)))) })
			})
		}
	}
}

// disturbed is a fake that has attributes of some users and then answers with random faults, and users to set on it.
type disturbed struct {
	*rand.Rand
	fake   *timpushtest.Server
	before map[string]map[string]string
	users  []timpush.UserAttrs
	client *timpush.Client
	ctx    context.Context
}

func disturb(t *testing.T, r *rand.Rand) *disturbed {
	s := fake(t, timpushtest.WithLatency(50*time.Millisecond, 40*time.Millisecond), timpushtest.WithVariant(randomVariant(r)))
	_, _ = client(s).SetAttr(t.Context(), merge(randomUsers(r))) // some variants refuse some of them
	before := map[string]map[string]string{}
	for _, account := range s.Accounts() {
		before[account] = s.Attrs(account)
	}

	users := randomUsers(r)
	for range r.IntN(4) {
		s.Refuse(pick(r, 90035, 70107, 12345), pickAccount(r, users)...)
		s.Poison(pick(r, 90033, 90001, 70107), pickAccount(r, users)...)
	}
	disturbAnswers(s, r, randomFault)
	c := client(s, timpush.WithMaxInFlight(1+r.IntN(8)), timpush.WithMaxAttempts(1+r.IntN(5)))
	ctx := t.Context()
	if r.IntN(3) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.Int64N(int64(3*time.Second))))
		t.Cleanup(cancel)
	}
	return &disturbed{r, s, before, users, c, ctx}
}

// randomVariant answers some of the questions that the documentation leaves open about valid requests at random.
func randomVariant(r *rand.Rand) timpushtest.Variant {
	now := func() bool { return r.IntN(4) == 0 }
	return timpushtest.Variant{
		QuotedNumbers: now(), EmptyFieldsAbsent: now(), AnswersInOrder: now(), NotFoundOmitted: now(), FailWhenAllFail: now(), OKStatusOnFailure: now(),
		FailStatusOnSuccess: r.IntN(20) == 0, ErrorListUnrelated: r.IntN(20) == 0, ErrorListOtherCase: now(), ErrorListTwice: now(), Gzip: now(),
		ErrorInfo:          pick(r, timpushtest.ErrorInfoTop, timpushtest.ErrorInfoNone, timpushtest.ErrorInfoEverywhere),
		ErrorList:          pick(r, timpushtest.ErrorListAbsent, timpushtest.ErrorListNull, timpushtest.ErrorListEmpty),
		AppliedOnOpenCodes: now(), InvalidAttrPerAccount: now(), ControlsRefused: now(), AbsentRefused: now(), MaxBody: pick(r, 0, 0, 0, 4<<10),
		RepeatedRandomRefused: now(), RefusedCallsFree: now(), ThrottleCode: pick(r, 0, 60011, 60018),
		RecipientsQueued: now(), RecipientsCode: pick(r, 0, 90024), MsgRandomWindow: 7 * 24 * time.Hour,
	}
}

// disturbAnswers lets the fake answer with random faults, in some runs more often than in others.
func disturbAnswers(s *timpushtest.Server, r *rand.Rand, fault func(*rand.Rand, timpushtest.Call) timpushtest.Fault) {
	calm := r.Float64()
	own := rand.New(rand.NewPCG(r.Uint64(), 2))
	var mu sync.Mutex // the fake asks from several goroutines
	s.Handle(func(c timpushtest.Call) timpushtest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if own.Float64() < calm {
			return timpushtest.Fault{}
		}
		return fault(own, c)
	})
}

func randomCall(t *testing.T, d *disturbed) {
	result, err := d.client.SetAttr(d.ctx, d.users)
	requireSum(t, d.users, result, err)
	requireTruth(t, d.fake, d.users, d.before, err)
	if err != nil {
		requireRemaining(t, d, partialOf(t, err))
	}
}

// requireRemaining checks that Remaining leaves out, of those refused for their data, only accounts that are refused again.
func requireRemaining(t *testing.T, d *disturbed, err *timpush.PartialError) {
	t.Helper()
	again := map[string]bool{}
	for _, u := range timpush.Remaining(err, d.users) {
		again[u.ToAccount] = true
	}
	d.fake.Handle(nil)
	time.Sleep(time.Minute) // a cooldown is over
	for u := range err.Users() {
		if again[u.ToAccount] || u.Outcome != timpush.Rejected || !codeIn(u).DataFault() {
			continue
		}
		entries := slices.DeleteFunc(slices.Clone(d.users), func(other timpush.UserAttrs) bool { return other.ToAccount != u.ToAccount })
		_, err := d.client.SetAttr(t.Context(), entries)
		require.Error(t, err, "%v, which Remaining leaves out, is not at fault", u)
	}
}

func randomStream(t *testing.T, d *disturbed) {
	yielded := 0
	all := drain(t, d.client.SetAttrSeq(d.ctx, func(yield func(timpush.UserAttrs, error) bool) {
		for _, u := range d.users {
			if d.IntN(20) == 0 {
				time.Sleep(time.Duration(d.IntN(50)) * time.Millisecond)
			}
			yielded++
			if !yield(u, nil) {
				return
			}
		}
	}))
	require.Len(t, all.outcomes, yielded, "each user that was yielded is accounted for")
	entries := make([]ended, yielded)
	for i := range entries {
		entries[i] = ended{d.users[i], all.outcomes[int64(i)]}
	}
	requireOrder(t, d, entries)
}

// randomBatcher lets each account's values be set one after the other, and all accounts at once.
func randomBatcher(t *testing.T, d *disturbed) {
	b := timpush.NewBatcher(d.client, timpush.WithLinger(time.Duration(d.IntN(50))*time.Millisecond))
	var mu sync.Mutex
	var entries []ended
	ofAccount := map[string][]timpush.UserAttrs{}
	for _, u := range d.users {
		ofAccount[u.ToAccount] = append(ofAccount[u.ToAccount], u)
	}
	var callers sync.WaitGroup
	for _, users := range ofAccount {
		patience := time.Duration(d.Int64N(int64(time.Minute)))
		callers.Go(func() {
			for _, u := range users {
				ctx, cancel := context.WithTimeout(d.ctx, patience)
				err := b.SetAttr(ctx, u)
				cancel()
				e := ended{u, timpush.Done}
				if u := new(timpush.UserError); errors.As(err, &u) {
					e.outcome = u.Outcome
				}
				mu.Lock()
				entries = append(entries, e)
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	require.NoError(t, b.Close(t.Context()))
	requireOrder(t, d, entries)
}

// randomRemoval removes attributes of the users, where it is Done and only there.
func randomRemoval(t *testing.T, d *disturbed) {
	users := make([]timpush.UserAttrNames, len(d.users))
	for i, u := range d.users {
		users[i] = timpush.UserAttrNames{ToAccount: u.ToAccount, Names: slices.Collect(maps.Keys(u.Attrs))}
	}
	result, err := d.client.RemoveAttr(d.ctx, users)
	requireSum(t, d.users, result, err)
	failed := outcomesOf(err)
	for _, u := range merge(d.users) {
		outcome, notDone := failed[u.ToAccount]
		for name := range u.Attrs {
			had, has := d.before[u.ToAccount][name], d.fake.Attrs(u.ToAccount)[name]
			_, still := d.fake.Attrs(u.ToAccount)[name]
			switch {
			case !notDone:
				require.False(t, still, "%s is Done", u.ToAccount)
			case outcome == timpush.Unknown && !still:
			default:
				require.Equal(t, had, has, "%s is %s: %v", u.ToAccount, outcome, err)
			}
		}
	}
}

// randomReading reads the users, and verifies what they had before against what they would have.
func randomReading(t *testing.T, d *disturbed) {
	var accounts []string
	for _, u := range d.users {
		accounts = append(accounts, u.ToAccount)
	}
	attrs, err := d.client.GetAttr(d.ctx, accounts)
	failed := outcomesOf(err)
	for _, account := range accounts {
		if _, notRead := failed[account]; notRead {
			require.NotContains(t, attrs, account)
			continue
		}
		require.Contains(t, attrs, account)
		require.True(t, maps.Equal(d.before[account], attrs[account]), account)
	}
	result, err := d.client.Verify(d.ctx, d.users)
	requireSum(t, d.users, result, err)
	notDone, notStored := outcomesOf(err), map[string]bool{}
	if p := new(timpush.PartialError); errors.As(err, &p) {
		for u := range p.Users() {
			notStored[u.ToAccount] = u.Outcome == timpush.Rejected && errors.Is(u, timpush.ErrNotStored)
		}
	}
	for _, u := range merge(d.users) {
		stored := true
		for name, value := range u.Attrs {
			stored = stored && d.before[u.ToAccount][name] == value
		}
		_, failed := notDone[u.ToAccount]
		require.True(t, failed || stored, "%s is Done", u.ToAccount)
		require.False(t, stored && notStored[u.ToAccount], "%s is said not to be stored", u.ToAccount)
	}
}

// ended is an entry with its outcome.
type ended struct {
	timpush.UserAttrs
	outcome timpush.Outcome
}

// requireOrder checks what the fake has, where entries of one account have outcomes of their own.
func requireOrder(t *testing.T, d *disturbed, entries []ended) {
	t.Helper()
	possible := map[[2]string][]string{} // of an attribute of an account
	for account, attrs := range d.before {
		for name, value := range attrs {
			possible[[2]string{account, name}] = []string{value}
		}
	}
	for _, e := range entries {
		for name, value := range e.Attrs {
			key := [2]string{e.ToAccount, name}
			switch e.outcome {
			case timpush.Done:
				possible[key] = []string{value}
			case timpush.Unknown:
				if possible[key] == nil {
					possible[key] = []string{absent}
				}
				possible[key] = append(possible[key], value)
			}
		}
	}
	for key, values := range possible {
		value, ok := d.fake.Attrs(key[0])[key[1]]
		if !ok {
			value = absent
		}
		require.Contains(t, values, value, "attribute %v", key)
	}
	for _, account := range d.fake.Accounts() {
		for name := range d.fake.Attrs(account) {
			require.Contains(t, possible, [2]string{account, name}, "what was not sent is not there")
		}
	}
}

const absent = "\x00 absent"

func requireTruth(t *testing.T, s *timpushtest.Server, users []timpush.UserAttrs, before map[string]map[string]string, err error) {
	t.Helper()
	failed := outcomesOf(err)
	for _, u := range merge(users) {
		had, has := before[u.ToAccount], s.Attrs(u.ToAccount)
		set := maps.Clone(had)
		if set == nil {
			set = map[string]string{}
		}
		maps.Copy(set, u.Attrs)
		outcome, notDone := failed[u.ToAccount]
		switch {
		case !notDone:
			require.Equal(t, set, has, "%s is Done", u.ToAccount)
		case outcome == timpush.Unknown && maps.Equal(set, has):
		default:
			require.Equal(t, had, has, "%s is %s: %v", u.ToAccount, outcome, err)
		}
	}
}

func outcomesOf(err error) map[string]timpush.Outcome {
	if p, ok := err.(*timpush.PartialError); ok { //nolint:errorlint // calls return it unwrapped
		return outcomes(p)
	}
	return nil
}

func randomUsers(r *rand.Rand) []timpush.UserAttrs {
	users := make([]timpush.UserAttrs, pick(r, 0, 1, 2, 5, 20, 99, 100, 101, 250, 350))
	accounts := 1 + r.IntN(2*len(users)+1)
	for i := range users {
		users[i] = timpush.UserAttrs{ToAccount: fmt.Sprintf("user %d", r.IntN(accounts)), Attrs: timpush.Attrs{}}
		for range 1 + r.IntN(3) {
			users[i].Attrs[pick(r, "sex", "city", "country")] = pick(r, "a", "b", "深圳", `"quoted"`, "\\", "line\nfeed", "") + fmt.Sprint(r.IntN(100))
		}
	}
	return users
}

// merge is the plainest way to say what a list of users means, one after the other.
func merge(users []timpush.UserAttrs) []timpush.UserAttrs {
	all := map[string]map[string]string{}
	for _, u := range users {
		if all[u.ToAccount] == nil {
			all[u.ToAccount] = map[string]string{}
		}
		maps.Copy(all[u.ToAccount], u.Attrs)
	}
	return asUsers(all)
}

func asUsers(all map[string]map[string]string) []timpush.UserAttrs {
	var users []timpush.UserAttrs
	for account, attrs := range all {
		users = append(users, timpush.UserAttrs{ToAccount: account, Attrs: attrs})
	}
	return users
}

func randomFault(r *rand.Rand, c timpushtest.Call) timpushtest.Fault {
	some := c.Accounts
	if len(some) > 0 {
		some = some[:1+r.IntN(len(some))]
	}
	fault := pick(r,
		timpushtest.ErrorCode(60007), timpushtest.ErrorCode(91000), timpushtest.ErrorCode(60014), timpushtest.ErrorCode(70001),
		timpushtest.ErrorCode(60004), timpushtest.ErrorCode(60999), timpushtest.ErrorCode(90018), timpushtest.ErrorCode(93000),
		timpushtest.ErrorCodeApplied(60008), timpushtest.ErrorCodeApplied(91000), timpushtest.AccountCode(91000, some...),
		timpushtest.AccountCode(60007, some...), timpushtest.AccountCode(90018, some...),
		timpushtest.Status(502), timpushtest.StatusApplied(502), timpushtest.Status(429), timpushtest.Status(404), timpushtest.Status(413),
		timpushtest.CutBefore(), timpushtest.CutAfter(), timpushtest.TruncateBody(r.IntN(60)), timpushtest.Garbage(),
		timpushtest.Hang(), timpushtest.HangApplied(),
	)
	if r.IntN(40) == 0 {
		fault = timpushtest.ErrorCode(pick(r, 60020, 90009, 70050))
	}
	return timpushtest.Delay(time.Duration(r.IntN(300))*time.Millisecond, fault)
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func pickAccount(r *rand.Rand, users []timpush.UserAttrs) []string {
	if len(users) == 0 {
		return nil
	}
	return []string{users[r.IntN(len(users))].ToAccount}
}

package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/tencentyun/tls-sig-api-v2-golang/tencentyun"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/redislimiter"
	"github.com/timpush/timpush-go/timpushtest"
)

const (
	runTime        = 700 * time.Millisecond // how long callers start new calls
	attemptTimeout = 500 * time.Millisecond
	quota          = 100
	pace           = 85 // calls of attributes and tags per second of all clients: there are pushes too, and on a busy machine ten calls more may arrive at once
)

// world is what the callers of one run share.
type world struct {
	random  *rand.Rand
	fake    *timpushtest.Server
	clients []*timpush.Client
	spare   *timpush.Client // sees no faults
	stop    time.Time       // of new calls
	closing []func()        // in the end

	mu     sync.Mutex
	log    strings.Builder
	sum    summary
	faults []string
}

// run makes one run and returns its summary and the faults found. A test can wrap the transport of a client to make it
// wrong.
func run(seed uint64, wrap func(http.RoundTripper) http.RoundTripper) (summary, []string) {
	w := &world{random: rand.New(rand.NewPCG(seed, 0)), sum: summary{}}
	late := watchStalls()
	w.begin(wrap)
	all := w.callers(seed)
	stalled := late() > 50*time.Millisecond
	pushed := w.pushed()
	for _, c := range all {
		c.check(stalled, pushed)
	}
	w.end(stalled)
	return w.sum, w.faults
}

func (w *world) count(name string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sum[name] += n
}

func (w *world) fault(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// Write adds to the log.
func (w *world) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(text)
}

// begin starts the fake, the proxy and the clients.
func (w *world) begin(wrap func(http.RoundTripper) http.RoundTripper) {
	r := w.random
	opts := []timpushtest.Option{
		timpushtest.WithLatency(time.Duration(r.IntN(20))*time.Millisecond, time.Duration(r.IntN(20))*time.Millisecond),
		timpushtest.WithVariant(timpushtest.Variant{
			ThrottleCode: pick(r, 60007, 60011, 60018, 60019), QuotedNumbers: pick(r, true, false), Gzip: pick(r, true, false),
			InvalidAttrPerAccount: pick(r, true, false), FailWhenAllFail: pick(r, true, false),
			EmptyFieldsAbsent: pick(r, true, false), ErrorListTwice: pick(r, true, false),
			MsgRandomWindow: time.Nanosecond, // a push that is repeated shows
		}),
	}
	if r.IntN(2) == 0 {
		opts = append(opts, timpushtest.WithHTTP2())
	}
	w.fake = timpushtest.NewServer(opts...)
	base := w.fake.URL
	if r.IntN(2) == 0 {
		p := newProxy(strings.TrimPrefix(base, "https://"), r.Uint64(), 0)
		w.closing = append(w.closing, p.close)
		base = "https://" + p.listener.Addr().String()
	}
	w.fake.Handle(w.disturb(r.Float64()*0.4, r.Uint64()))
	limiter := w.limiter()
	for k := range 2 + r.IntN(2) {
		transport := w.fake.HTTPClient().Transport.(*http.Transport).Clone() //nolint:errcheck // as it is documented
		transport.DialContext = nil                                          // the fake's own bypasses the proxy
		var via http.RoundTripper = transport
		if wrap != nil {
			via = wrap(via)
		}
		config := []timpush.Option{
			timpush.WithBaseURL(base), timpush.WithHTTPClient(&http.Client{Transport: via}), timpush.WithLimiter(limiter()),
			timpush.WithAttemptTimeout(attemptTimeout), timpush.WithMaxAttempts(1 + r.IntN(4)), timpush.WithMaxInFlight(1 + r.IntN(32)),
			timpush.WithRecipientRate(pick(r, 30, 500)),
			timpush.WithLogger(slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))),
		}
		if r.IntN(3) == 0 && k > 0 {
			config = append(config, timpush.WithSigner(w.jumpingSigner(r.Uint64())))
		}
		if r.IntN(4) == 0 {
			config = append(config, timpush.WithPreflight())
		}
		w.clients = append(w.clients, must(timpush.NewClient(w.fake.Config(), config...)))
	}
	w.spare, w.clients = w.clients[0], w.clients[1:]
	w.stop = time.Now().Add(runTime)
}

// limiter returns what gives each client its limiter: the same one, or in every fourth run one that shares the quota through a distant
// Redis.
func (w *world) limiter() func() timpush.Limiter {
	if w.random.IntN(4) > 0 {
		l := timpush.NewLimiter(pace)
		return func() timpush.Limiter { return l }
	}
	memory := must(miniredis.Run())
	p := newProxy(memory.Addr(), w.random.Uint64(), time.Duration(w.random.IntN(100))*time.Millisecond)
	client := redis.NewClient(&redis.Options{Addr: p.listener.Addr().String(), MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}})
	w.closing = append(w.closing, func() { w.logError(client.Close()) }, p.close, memory.Close)
	id, _, _ := w.fake.App()
	return func() timpush.Limiter { return must(redislimiter.New(client, id, redislimiter.WithQuota(pace))) }
}

// disturb returns a function that chooses the fault of a call.
func (w *world) disturb(share float64, seed uint64) func(timpushtest.Call) timpushtest.Fault {
	r := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	return func(c timpushtest.Call) timpushtest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if r.Float64() >= share {
			return timpushtest.Fault{}
		}
		w.count("faulty", 1)
		return timpushtest.Delay(time.Duration(r.IntN(30))*time.Millisecond, randomFault(r, c.Accounts))
	}
}

func randomFault(r *rand.Rand, accounts []string) timpushtest.Fault {
	if len(accounts) > 0 {
		accounts = accounts[:1+r.IntN(len(accounts))]
	}
	if r.IntN(100) == 0 {
		return timpushtest.ErrorCode(pick(r, 60020, 90009, 70009, 70050))
	}
	return pick(r,
		timpushtest.ErrorCode(60007), timpushtest.ErrorCode(91000), timpushtest.ErrorCode(60014), timpushtest.ErrorCode(70001),
		timpushtest.ErrorCode(60999), timpushtest.ErrorCode(90018), timpushtest.ErrorCode(93000),
		timpushtest.ErrorCodeApplied(60008), timpushtest.ErrorCodeApplied(91000), timpushtest.AccountCode(91000, accounts...),
		timpushtest.AccountCode(60007, accounts...), timpushtest.Status(502), timpushtest.StatusApplied(502), timpushtest.Status(429),
		timpushtest.CutBefore(), timpushtest.CutAfter(), timpushtest.TruncateBody(r.IntN(60)), timpushtest.Garbage(),
		timpushtest.EndlessBody(), timpushtest.Hang(), timpushtest.HangApplied(), timpushtest.AccountCode(70398, accounts...),
	)
}

// signerFunc is a timpush.Signer.
type signerFunc func(context.Context) (string, time.Time, error)

func (f signerFunc) UserSig(ctx context.Context) (string, time.Time, error) { return f(ctx) }

// jumpingSigner makes UserSigs as on a machine whose clock jumps: a fifth of them are days old. The service then calls a
// UserSig expired that the client takes for new.
func (w *world) jumpingSigner(seed uint64) timpush.Signer {
	id, admin, key := w.fake.App()
	r := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	return signerFunc(func(context.Context) (string, time.Time, error) {
		mu.Lock()
		life := pick(r, 1, 1, 1, 1, -2) * 24 * int(time.Hour/time.Second)
		mu.Unlock()
		sig, err := tencentyun.GenUserSig(id, key, admin, life)
		// A tenth of a second: the clock is right again when the client asks next.
		return sig, time.Now().Add(100 * time.Millisecond), err
	})
}

// end checks what must hold when all calls have ended, and closes everything.
func (w *world) end(stalled bool) {
	w.count("calls", len(w.fake.Calls()))
	if stalled {
		w.count("stalled", 1)
	}
	// Calls that wait for a stalled machine arrive at once, whatever the limiter.
	if peak := w.fake.PeakRate(); peak > quota && !stalled {
		w.fault("%d calls in one second", peak)
	}
	w.secrets()
	for _, end := range w.closing {
		end()
	}
	w.fake.Close()
}

// secrets looks for the key and for every UserSig that was sent.
func (w *world) secrets() {
	_, _, key := w.fake.App()
	w.mu.Lock()
	text := w.log.String() + strings.Join(w.faults, "\n")
	w.mu.Unlock()
	secrets := map[string]bool{key: true}
	for _, call := range w.fake.Calls() {
		secrets[call.Query.Get("usersig")] = true
	}
	for secret := range secrets {
		if secret != "" && strings.Contains(text, secret) {
			w.fault("a secret is in a log or an error: %s...", secret[:min(len(secret), 12)])
		}
	}
}

// logError keeps the text of an error, which must not have secrets.
func (w *world) logError(err error) {
	if err != nil {
		_, _ = fmt.Fprintf(w, "%v %+v %#v\n", err, err, err)
	}
}

// watchStalls measures the longest stall of the machine until the returned function is called.
func watchStalls() (longest func() time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan time.Duration)
	go func() {
		var most time.Duration
		for last := time.Now(); ctx.Err() == nil; {
			time.Sleep(2 * time.Millisecond) //nolint:forbidigo // it ends soon
			now := time.Now()
			most, last = max(most, now.Sub(last)-2*time.Millisecond), now
		}
		end <- most
	}()
	return func() time.Duration { cancel(); return <-end }
}

// goroutinesLeft returns how many more goroutines than before do not end.
func goroutinesLeft(before int) int {
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return 0
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // it ends soon
	}
	return runtime.NumGoroutine() - before
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// must is for what fails only on a machine on which nothing can be tested.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

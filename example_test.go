package timpush_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

func Example() {
	server := timpushtest.NewServer() // stands for the service
	defer server.Close()

	cfg := server.Config()
	client, err := timpush.NewClient(timpush.Config{
		SDKAppID:   1400000000,
		Identifier: "administrator",
		SecretKey:  cfg.SecretKey, // from a vault or the environment, never from the code
		Region:     timpush.RegionSingapore,
	}, timpush.WithBaseURL(server.URL), timpush.WithHTTPClient(server.HTTPClient()))
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := client.SetAttr(context.Background(), []timpush.UserAttrs{
		{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": "ShenZhen", "sex": "male"}},
		{ToAccount: "mary", Attrs: timpush.Attrs{"city": "Singapore"}},
	})
	fmt.Println(result.Done, err)
	// Output: 2 <nil>
}

func ExampleClient_SetAttr_partialFailure() {
	server := timpushtest.NewServer(timpushtest.WithRegistrationAttrNames("model"))
	defer server.Close()
	users := []timpush.UserAttrs{
		{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": "ShenZhen"}},
		{ToAccount: "mary", Attrs: timpush.Attrs{"model": "Phone 9"}}, // for RegistrationIDs, and mary is a UserID
	}
	result, err := server.Client().SetAttr(context.Background(), users)
	fmt.Printf("%+v\n", *result)

	var partial *timpush.PartialError
	if errors.As(err, &partial) {
		for user := range partial.Users() {
			fmt.Println(user.Index, user.ToAccount, user.Outcome, errors.Is(user, timpush.ErrAccountType))
		}
	}
	// Output:
	// 1 done, 1 rejected, 0 unknown, 0 not sent; 1 requests
	// 1 mary rejected true
}

func ExampleClient_SetAttr_invalidInput() {
	server := timpushtest.NewServer()
	defer server.Close()
	_, err := server.Client().SetAttr(context.Background(), []timpush.UserAttrs{
		{ToAccount: "mary", Attrs: timpush.Attrs{"city": strings.Repeat("x", 60)}},
		{ToAccount: "", Attrs: timpush.Attrs{"city": "Rome"}},
	})
	fmt.Println(err)
	fmt.Println(len(server.Calls()), "requests")
	// Output:
	// timpush: 2 faults in the input, nothing was sent: user 0 "mary" attribute "city": the value has 60 bytes, at most 50 are allowed; item 1: ToAccount is empty
	// 0 requests
}

func ExampleInputErrors() {
	server := timpushtest.NewServer()
	defer server.Close()
	_, err := server.Client().SetAttr(context.Background(), []timpush.UserAttrs{
		{ToAccount: "mary", Attrs: timpush.Attrs{"city": strings.Repeat("x", 60)}},
		{ToAccount: "", Attrs: timpush.Attrs{"city": "Rome"}},
	})
	var invalid *timpush.InputErrors
	if errors.As(err, &invalid) {
		for _, fault := range invalid.Faults {
			fmt.Println(fault)
		}
	}
	// Output:
	// user 0 "mary" attribute "city": the value has 60 bytes, at most 50 are allowed
	// item 1: ToAccount is empty
}

func ExampleRemaining() {
	server := timpushtest.NewServer()
	defer server.Close()
	server.Inject(timpushtest.CutAfter()) // the answer is lost
	client, ctx := server.Client(timpush.WithMaxAttempts(1)), context.Background()
	users := []timpush.UserAttrs{{ToAccount: "mary", Attrs: timpush.Attrs{"city": "Singapore"}}}

	result, err := client.SetAttr(ctx, users)
	var partial *timpush.PartialError
	var invalid *timpush.InputErrors
	switch {
	case err == nil: // every user is done
	case errors.As(err, &partial): // some are not
		for user := range partial.Users() {
			fmt.Println(user.Index, user.ToAccount, user.Outcome, user.Err)
		}
		again := timpush.Remaining(err, users) // for a later call: the client has made its retries
		fmt.Println(result, "and", len(again), "are worth sending again")
	case errors.As(err, &invalid): // the input is not valid, and nothing was sent
		for _, fault := range invalid.Faults {
			fmt.Println(fault)
		}
	}
}

func ExampleClient_SetAttrSeq() {
	server := timpushtest.NewServer()
	defer server.Close()
	server.Refuse(70107, "gone")
	client, ctx := server.Client(), context.Background()
	file := strings.NewReader("xiaoming,ShenZhen\ngone,Rome\nmary,Singapore\n")

	users := func(yield func(timpush.UserAttrs, error) bool) {
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			account, city, _ := strings.Cut(lines.Text(), ",")
			if !yield(timpush.UserAttrs{ToAccount: account, Attrs: timpush.Attrs{"city": city}}, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(timpush.UserAttrs{}, err)
		}
	}
	for batch, err := range client.SetAttrSeq(ctx, users) {
		var partial *timpush.PartialError
		switch {
		case errors.As(err, &partial): // some users of this batch are not done
			for user := range partial.Users() {
				fmt.Println(user.Index, user.ToAccount, user.Outcome)
			}
		case err != nil: // an error that users yielded, or why the stream has ended early
			fmt.Println(err)
		}
		fmt.Println(batch.Progress.Done, "done; another run would begin at user", batch.Checkpoint())
	}
	// Output:
	// 1 gone rejected
	// 2 done; another run would begin at user 3
}

func ExampleBatcher() {
	server := timpushtest.NewServer()
	defer server.Close()
	client, ctx := server.Client(), context.Background()

	batcher := timpush.NewBatcher(client)
	login := func(account, city string) error { // of many goroutines
		return batcher.SetAttr(ctx, timpush.UserAttrs{ToAccount: account, Attrs: timpush.Attrs{"city": city}})
	}

	var logins sync.WaitGroup
	for i := range 100 {
		logins.Go(func() {
			if err := login(fmt.Sprint("user-", i), "Rome"); err != nil {
				fmt.Println(err)
			}
		})
	}
	logins.Wait()
	if err := batcher.Close(ctx); err != nil {
		fmt.Println("some users were not sent:", err)
	}
	fmt.Println(len(server.Accounts()), len(server.Calls()) < 50)
	// Output: 100 true
}

// From a new app to the first attribute.
func ExampleClient_SetAttrNames() {
	server := timpushtest.NewServer(timpushtest.WithAttrNames()) // an app without any names
	defer server.Close()
	client, ctx := server.Client(), context.Background()

	err := client.SetAttrNames(ctx, []timpush.AttrName{
		{Index: 0, Name: "city", AccountType: timpush.AccountTypeUserID},
		{Index: 1, Name: "model", AccountType: timpush.AccountTypeRegistrationID},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	users := []timpush.UserAttrs{{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": "ShenZhen"}}}
	if _, err := client.SetAttr(ctx, users); err != nil {
		fmt.Println(err)
		return
	}
	attrs, err := client.GetAttr(ctx, []string{"xiaoming"})
	fmt.Println(attrs["xiaoming"], err)
	// Output: map[city:ShenZhen] <nil>
}

func ExampleClient_Push() {
	server := timpushtest.NewServer()
	defer server.Close()
	client, ctx := server.Client(), context.Background()

	users := []timpush.UserAttrs{{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": "ShenZhen"}}}
	if _, err := client.SetAttr(ctx, users); err != nil {
		fmt.Println(err)
		return
	}
	audience := timpush.Audience{AttrsAnd: timpush.Attrs{"city": "ShenZhen"}}
	receipt, err := client.Push(ctx, audience, timpush.Push{
		Notification: timpush.Notification{Title: "Rain in ShenZhen", Desc: "Take an umbrella today"},
	})
	if err != nil { // *InputErrors, or *CallError with the outcome
		fmt.Println(err)
		return
	}
	fmt.Println(server.Pushes()[0].Accounts, receipt.TaskID == server.Pushes()[0].TaskID)
	// Output: [xiaoming] true
}

func ExampleClient_PushTo() {
	server := timpushtest.NewServer()
	defer server.Close()
	client, ctx := server.Client(), context.Background()

	result, err := client.PushTo(ctx, []string{"mary", "xiaoming"}, timpush.Push{
		Notification: timpush.Notification{Title: "Your order", Desc: "It arrives today"},
	})
	fmt.Println(result, len(result.TaskIDs), err)
	// Output: 2 done, 0 rejected, 0 unknown, 0 not sent; 1 requests 2 <nil>
}

func ExampleClient_AddTags() {
	server := timpushtest.NewServer()
	defer server.Close()
	client, ctx := server.Client(), context.Background()

	result, err := client.AddTags(ctx, []timpush.UserTags{{ToAccount: "mary", Tags: []string{"vip", "beta"}}})
	fmt.Println(result.Done, err)
	tags, err := client.GetTags(ctx, []string{"mary"})
	fmt.Println(tags["mary"], err)
	// Output:
	// 1 <nil>
	// [beta vip] <nil>
}

// profile is a type of the program's own: a method maps it to attributes, and the compiler checks the names.
type profile struct {
	City string
	Age  int
}

func (p profile) Attrs() timpush.Attrs {
	return timpush.Attrs{"city": p.City, "age": strconv.Itoa(p.Age)}
}

func ExampleAttrs() {
	server := timpushtest.NewServer(timpushtest.WithAttrNames("city", "age"))
	defer server.Close()
	result, err := server.Client().SetAttr(context.Background(), []timpush.UserAttrs{
		{ToAccount: "mary", Attrs: profile{City: "Rome", Age: 33}.Attrs()},
	})
	fmt.Println(result.Done, err, server.Attrs("mary"))
	// Output: 1 <nil> map[age:33 city:Rome]
}

func ExampleClient_Preflight() {
	server := timpushtest.NewServer()
	defer server.Close()
	users := []timpush.UserAttrs{
		{ToAccount: "mary", Attrs: timpush.Attrs{"city": "Rome"}},
		{ToAccount: "xiaoming", Attrs: timpush.Attrs{"hobby": "chess"}}, // the app has no such attribute
	}
	var partial *timpush.PartialError
	if err := server.Client().Preflight(context.Background(), users); errors.As(err, &partial) {
		for user := range partial.Users() {
			fmt.Println(user.Index, user.ToAccount, errors.Is(user, timpush.ErrInvalidAttr))
		}
	}
	// Output: 1 xiaoming true
}

func ExampleClient_Verify() {
	server := timpushtest.NewServer()
	defer server.Close()
	server.Inject(timpushtest.CutAfter()) // the attributes are set, but the answer is lost
	client, ctx := server.Client(timpush.WithMaxAttempts(1)), context.Background()
	users := []timpush.UserAttrs{{ToAccount: "mary", Attrs: timpush.Attrs{"city": "Rome"}}}

	result, err := client.SetAttr(ctx, users)
	fmt.Println("unknown:", result.Unknown)
	var partial *timpush.PartialError
	if errors.As(err, &partial) {
		stored, err := client.Verify(ctx, partial.Remaining(users))
		fmt.Println("stored:", stored.Done, err)
	}
	// Output:
	// unknown: 1
	// stored: 1 <nil>
}

func ExamplePartialError_Remaining() {
	server := timpushtest.NewServer()
	defer server.Close()
	server.Inject(timpushtest.CutAfter()) // the answer is lost
	client := server.Client(timpush.WithMaxAttempts(1))
	users := []timpush.UserAttrs{{ToAccount: "mary", Attrs: timpush.Attrs{"city": "Singapore"}}}

	result, err := client.SetAttr(context.Background(), users)
	fmt.Println("unknown:", result.Unknown)
	var partial *timpush.PartialError
	if errors.As(err, &partial) {
		result, err = client.SetAttr(context.Background(), partial.Remaining(users))
	}
	fmt.Println("done:", result.Done, err)
	// Output:
	// unknown: 1
	// done: 1 <nil>
}

func ExampleParseRegion() {
	region, err := timpush.ParseRegion("Silicon Valley")
	fmt.Println(region, region.Host(), err)
	_, err = timpush.ParseRegion("moon")
	fmt.Println(err)
	// Output:
	// siliconvalley adminapiusa.im.qcloud.com <nil>
	// timpush: unknown region "moon", want one of china, singapore, seoul, frankfurt, siliconvalley, jakarta, tokyo, mumbai, saudiarabia
}

func ExampleCode() {
	fmt.Println(timpush.ErrNotAdmin)
	fmt.Println(timpush.ErrInternal.Retryable(), timpush.ErrNotAdmin.Retryable())
	// Output:
	// 90009: the Identifier is not an app administrator; make it an administrator in the console
	// true false
}

func ExampleConfig() {
	fmt.Println(timpush.Config{SDKAppID: 1400000000, Identifier: "administrator", SecretKey: "hush", Region: timpush.RegionSeoul})
	// Output: {SDKAppID:1400000000 Identifier:"administrator" SecretKey:REDACTED Region:"seoul"}
}

// Clients of one app share its quota: give each the same limiter. Here half of the quota is left to other programs.
func ExampleWithLimiter() {
	half := timpush.NewLimiter(timpush.DefaultQPS / 2 * 0.975)
	server := timpushtest.NewServer()
	defer server.Close()
	a, b := server.Client(timpush.WithLimiter(half)), server.Client(timpush.WithLimiter(half))
	for _, client := range []*timpush.Client{a, b} {
		result, err := client.SetAttr(context.Background(), []timpush.UserAttrs{{ToAccount: "mary", Attrs: timpush.Attrs{"city": "Rome"}}})
		fmt.Println(result.Done, err)
	}
	// Output:
	// 1 <nil>
	// 1 <nil>
}

// vault makes UserSigs where the key is.
type vault struct{}

func (vault) UserSig(context.Context) (string, time.Time, error) {
	return "eJwtzFELgjAUBeD", time.Now().Add(24 * time.Hour), nil
}

func ExampleWithSigner() {
	_, err := timpush.NewClient(timpush.Config{SDKAppID: 1400000000, Identifier: "administrator", Region: timpush.RegionSeoul},
		timpush.WithSigner(vault{}))
	fmt.Println(err)
	// Output: <nil>
}

// waits adds up how long calls had to wait for the quota.
type waits struct{ total time.Duration }

func (w *waits) Observe(ctx context.Context, e timpush.Event) context.Context {
	if e.Kind == timpush.WaitEnd && e.Wait == timpush.WaitQuota {
		w.total += e.Duration
	}
	return ctx
}

func ExampleWithObserver() {
	server := timpushtest.NewServer()
	defer server.Close()
	observer := &waits{}
	client := server.Client(timpush.WithObserver(observer), timpush.WithMaxInFlight(1)) // one request at a time: no lock
	_, err := client.SetAttr(context.Background(), []timpush.UserAttrs{{ToAccount: "mary", Attrs: timpush.Attrs{"city": "Rome"}}})
	fmt.Println(observer.total < time.Second, err)
	// Output: true <nil>
}

func ExampleWithLogger() {
	server := timpushtest.NewServer()
	defer server.Close()
	server.Refuse(90035, "mary")
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case slog.TimeKey, "host", "duration":
				return slog.Attr{}
			}
			return a
		},
	}))
	_, err := server.Client(timpush.WithLogger(logger)).SetAttr(context.Background(), []timpush.UserAttrs{
		{ToAccount: "mary", Attrs: timpush.Attrs{"city": "Rome"}},
	})
	fmt.Println(errors.Is(err, timpush.ErrAccountType))
	// Output:
	// level=WARN msg="timpush call" timpush.endpoint=v4/timpush/set_attr timpush.users=1 done=0 rejected=1 unknown=0 not_sent=0 requests=1 status=0 code=90035 failure=api
	// true
}

func ExampleWithHTTPClient() {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64 // no less than MaxInFlight
	_, err := timpush.NewClient(timpush.Config{SDKAppID: 1400000000, Identifier: "administrator", SecretKey: "hush", Region: timpush.RegionSeoul},
		timpush.WithHTTPClient(&http.Client{Transport: transport}), timpush.WithMaxInFlight(64))
	fmt.Println(err)
	// Output: <nil>
}

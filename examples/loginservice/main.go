// Loginservice is an HTTP service that sets attributes of a user at login. One Batcher serves all requests: the
// service allows 100 calls a second, so one call for each login would limit it to 100 logins a second, whereas calls that
// each carry the users of several logins limit it to 10,000.
//
// It needs TIMPUSH_SDKAPPID, TIMPUSH_IDENTIFIER, TIMPUSH_SECRET_KEY and TIMPUSH_REGION, and uses the server that
// TIMPUSH_BASE_URL names, if any. With -fake it needs none of them, and uses a fake of the service that it starts itself:
//
//	go run ./examples/loginservice -fake
//	curl -i -X POST 'localhost:8080/login?user=xiaoming&city=ShenZhen'
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

func main() {
	useFake := flag.Bool("fake", false, "use a fake of the service, which needs no account and no network")
	flag.Parse()
	if err := run(*useFake); err != nil {
		slog.Error("loginservice", "error", err)
		os.Exit(1)
	}
}

func run(useFake bool) error {
	client, done, err := newClient(useFake)
	if err != nil {
		return err
	}
	defer done()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "localhost:8080")
	if err != nil {
		return err
	}
	slog.Info("listening", "address", listener.Addr(), "service", client, "try", "curl -i -X POST 'localhost:8080/login?user=xiaoming&city=ShenZhen'")
	return serve(ctx, listener, client)
}

const (
	loginTime    = 5 * time.Second // how long a login may wait for its attribute
	shutdownTime = 2 * loginTime
)

// serve serves until ctx ends, and then waits for the logins in progress.
func serve(ctx context.Context, listener net.Listener, client *timpush.Client) error {
	batcher := timpush.NewBatcher(client)
	server := &http.Server{Handler: handler(batcher), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	// Serve returns as soon as Shutdown begins: it is Shutdown that waits for the logins. They need the Batcher to the end.
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	return errors.Join(server.Shutdown(limit), batcher.Close(limit))
}

// newClient makes the client, and what is to be called when the program ends.
func newClient(useFake bool) (client *timpush.Client, done func(), err error) {
	if useFake {
		fake := timpushtest.NewServer()
		return fake.Client(timpush.WithLogger(slog.Default())), fake.Close, nil
	}
	client, err = clientOfEnvironment()
	return client, func() {}, err
}

func clientOfEnvironment() (*timpush.Client, error) {
	id, err := strconv.Atoi(os.Getenv("TIMPUSH_SDKAPPID"))
	if err != nil {
		return nil, errors.New("TIMPUSH_SDKAPPID is not the number that the console shows")
	}
	region, err := timpush.ParseRegion(os.Getenv("TIMPUSH_REGION"))
	if err != nil {
		return nil, err
	}
	options := []timpush.Option{timpush.WithLogger(slog.Default())}
	if base := os.Getenv("TIMPUSH_BASE_URL"); base != "" {
		options = append(options, timpush.WithBaseURL(base))
	}
	return timpush.NewClient(timpush.Config{
		SDKAppID:   id,
		Identifier: os.Getenv("TIMPUSH_IDENTIFIER"),
		SecretKey:  os.Getenv("TIMPUSH_SECRET_KEY"),
		Region:     region,
	}, options...)
}

func handler(batcher *timpush.Batcher) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		user, city := r.FormValue("user"), r.FormValue("city")
		if city == "" { // what an empty value does is not documented
			http.Error(w, "city is empty", http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), loginTime)
		defer cancel()
		err := batcher.SetAttr(ctx, timpush.UserAttrs{ToAccount: user, Attrs: timpush.Attrs{"city": city}})
		if err != nil {
			status, text := explain(err)
			http.Error(w, text, status)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// explain returns the status that says whose fault an error is. The client has logged what the service answered.
func explain(err error) (status int, text string) {
	var input *timpush.InputError
	var failed *timpush.UserError
	switch {
	case errors.As(err, &input):
		return http.StatusBadRequest, input.Error()
	case errors.Is(err, timpush.ErrNoSuchAccount), errors.Is(err, timpush.ErrAccountType), errors.Is(err, timpush.ErrInvalidAttr):
		return http.StatusUnprocessableEntity, "this user cannot have the attribute"
	case errors.As(err, &failed) && failed.Outcome == timpush.Unknown:
		return http.StatusGatewayTimeout, "the attribute may or may not be set: log in again, that does no harm"
	}
	return http.StatusServiceUnavailable, "the attribute is not set, log in again later"
}

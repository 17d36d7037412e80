// Loginservice is an HTTP service that sets attributes of a user at login. One client serves all requests.
//
// It needs TIMPUSH_SDKAPPID, TIMPUSH_IDENTIFIER, TIMPUSH_SECRET_KEY and TIMPUSH_REGION. Try it with:
//
//	curl -X POST 'localhost:8080/login?user=xiaoming&city=ShenZhen'
package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/timpush/timpush-go"
)

func main() {
	if err := run(); err != nil {
		slog.Error("loginservice", "error", err)
		os.Exit(1)
	}
}

func run() error {
	client, err := newClient()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	server := &http.Server{Addr: "localhost:8080", Handler: handler(client), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Shutdown(context.WithoutCancel(ctx)) // lets logins under way finish
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func newClient() (*timpush.Client, error) {
	id, err := strconv.Atoi(os.Getenv("TIMPUSH_SDKAPPID"))
	if err != nil {
		return nil, errors.New("TIMPUSH_SDKAPPID is not the number that the console shows")
	}
	region, err := timpush.ParseRegion(os.Getenv("TIMPUSH_REGION"))
	if err != nil {
		return nil, err
	}
	return timpush.NewClient(timpush.Config{
		SDKAppID:   id,
		Identifier: os.Getenv("TIMPUSH_IDENTIFIER"),
		SecretKey:  os.Getenv("TIMPUSH_SECRET_KEY"),
		Region:     region,
	}, timpush.WithLogger(slog.Default()))
}

func handler(client *timpush.Client) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		user := timpush.UserAttrs{ToAccount: r.FormValue("user"), Attrs: timpush.Attrs{"city": r.FormValue("city")}}
		// The attribute is worth a moment of a login, not more.
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if _, err := client.SetAttr(ctx, []timpush.UserAttrs{user}); err != nil {
			status, text := explain(err)
			http.Error(w, text, status)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// explain tells whose fault an error is. The client has logged it already.
func explain(err error) (status int, text string) {
	var input *timpush.InputError
	switch {
	case errors.As(err, &input):
		return http.StatusBadRequest, input.Error()
	case errors.Is(err, timpush.ErrNoSuchAccount), errors.Is(err, timpush.ErrAccountType):
		return http.StatusConflict, "this user cannot have the attribute"
	}
	return http.StatusServiceUnavailable, "the attribute is not set yet, log in again later"
}

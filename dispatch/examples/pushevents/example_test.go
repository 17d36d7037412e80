package pushevents_test

import (
	"context"
	"database/sql"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/lib/pq"

	"github.com/timpush/timpush-go/dispatch/examples/pushevents"
)

// The program: TIMPUSH_SDKAPPID is the number of the app, DATABASE_URL has the database, and TIMPUSH_CALLBACK_TOKEN the token of the
// console if there is one. The service must reach the address, through a proxy with TLS for example.
func Example() {
	app, err := strconv.Atoi(os.Getenv("TIMPUSH_SDKAPPID"))
	if err != nil {
		log.Fatal("TIMPUSH_SDKAPPID is not the number of the app")
	}
	token, given := os.LookupEnv("TIMPUSH_CALLBACK_TOKEN")
	if given && token == "" { // as from a secret that is missing: everybody could post events
		log.Fatal("TIMPUSH_CALLBACK_TOKEN is empty: set it to the token, or unset it if there is none")
	}
	connector, err := pq.NewConnector(os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal("DATABASE_URL is not valid") // the text of err may have its password
	}
	connector.Dialer(&pushevents.Dialer{})
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(10) // a burst of callbacks waits here, not in PostgreSQL
	if _, err := db.ExecContext(context.Background(), pushevents.Schema); err != nil {
		log.Fatal(err)
	}
	handler, err := pushevents.Handler(app, token, db)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: "127.0.0.1:7171", Handler: handler, ReadTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	stopped := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = server.Shutdown(context.Background()) // it waits until the requests that are there have their answer
	})
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-stopped
}

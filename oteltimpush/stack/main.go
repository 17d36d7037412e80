// Stack is a program whose timpush client is watched: its metrics are there for a Prometheus to scrape, and its logs are
// JSON with the ids of the traces. It sets attributes all the time, also by a queue, on a fake of the service that now and then
// fails, so that alerts and dashboards have something to show. It needs no account and no network. See README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/dispatch"
	"github.com/timpush/timpush-go/oteltimpush"
)

const sdkAppID = 1400000000 // of the fake, by default

func main() {
	listen := flag.String("listen", "127.0.0.1:9464", "`address` to serve /metrics at")
	debug := flag.Bool("debug", false, "log each attempt and wait, not only calls that leave users undone")
	flag.Parse()
	level := slog.LevelInfo
	if *debug {
		level = slog.LevelDebug
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *listen, newLogger(os.Stderr, level)); err != nil {
		fmt.Fprintln(os.Stderr, "stack:", err)
		stop()
		os.Exit(1)
	}
}

// run serves metrics and makes calls until ctx ends.
func run(ctx context.Context, address string, log *slog.Logger) error {
	observer, metrics, err := newObserver()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "timpush-stack")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	queue, err := openQueue(ctx, folder, observer)
	if err != nil {
		return err
	}
	defer func() {
		observer.WatchQueue(nil)
		_ = queue.Close()
	}()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	log.Info("metrics are served", "url", "http://"+listener.Addr().String()+"/metrics")

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	limiter := observer.WatchLimiter("users", timpush.NewLimiter(97.5))
	go func() {
		work(ctx, queue, timpush.WithLimiter(limiter), timpush.WithObserver(observer), timpush.WithLogger(log))
		close(ended)
	}()
	select {
	case err = <-failed:
	case <-ctx.Done():
		err = server.Close()
	}
	cancel()
	<-ended
	return err
}

// openQueue opens a queue of durable updates in the process, and lets the Observer watch it.
func openQueue(ctx context.Context, folder string, observer *oteltimpush.Observer) (*dispatch.Queue, error) {
	queue, err := dispatch.OpenEmbedded(ctx, folder, sdkAppID)
	if err != nil {
		return nil, err
	}
	observer.WatchQueue(func(ctx context.Context) (oteltimpush.QueueStats, error) {
		s, err := queue.Stats(ctx)
		return oteltimpush.QueueStats{Backlog: s.Backlog, Oldest: s.Oldest, Waiting: s.Waiting, DeadLetters: s.DeadLetters,
			Lost: s.Lost, Bytes: s.Bytes, MaxBytes: s.MaxBytes, Paused: s.Paused != ""}, err
	})
	return queue, nil
}

// newObserver returns an Observer and a handler that serves its metrics. A program that exports traces gives its provider
// an exporter; here they are made for their ids in the logs.
func newObserver() (*oteltimpush.Observer, http.Handler, error) {
	registry := prom.NewRegistry()
	exporter, err := prometheus.New(prometheus.WithRegisterer(registry), prometheus.WithoutScopeInfo(),
		prometheus.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes)) // what also a Prometheus before 3.0 reads
	if err != nil {
		return nil, nil, err
	}
	observer, err := oteltimpush.New(
		oteltimpush.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(exporter))),
		oteltimpush.WithTracerProvider(sdktrace.NewTracerProvider()),
	)
	return observer, promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}), err
}

func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(traced{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})})
}

// traced is a handler that adds the ids of the span in the context, so that a record and its trace find each other.
type traced struct{ slog.Handler }

func (h traced) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r = r.Clone()
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }

func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }

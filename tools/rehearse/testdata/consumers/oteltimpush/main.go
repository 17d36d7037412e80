package main

import (
	"context"
	"fmt"
	"log"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/oteltimpush"
	"github.com/timpush/timpush-go/timpushtest"
)

func main() {
	fake := timpushtest.NewServer()
	defer fake.Close()
	spans := tracetest.NewInMemoryExporter()
	observer, err := oteltimpush.New(oteltimpush.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))))
	if err != nil {
		log.Fatal(err)
	}
	users := []timpush.UserAttrs{{ToAccount: "mary", Attrs: timpush.Attrs{"city": "Rome"}}}
	if _, err := fake.Client(timpush.WithObserver(observer)).SetAttr(context.Background(), users); err != nil {
		log.Fatal(err)
	}
	if n := len(spans.GetSpans()); n != 2 {
		log.Fatalf("%d spans, want one of the call and one of its request", n)
	}
	fmt.Println(fake.Calls()[0].Header.Get("User-Agent"))
}

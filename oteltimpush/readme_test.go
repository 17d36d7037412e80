package oteltimpush_test

import (
	"log"

	timpush "github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/oteltimpush"
)

// What README.md shows, word for word, so that it compiles: `make docs` looks for it here.
var _ = func(config timpush.Config) *timpush.Client {
	observer, err := oteltimpush.New()
	if err != nil {
		log.Fatal(err)
	}
	client, err := timpush.NewClient(config, timpush.WithObserver(observer))
	if err != nil {
		log.Fatal(err)
	}
	return client
}

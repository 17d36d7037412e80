// Package unittest shows how to test code that sets attributes: see greeter_test.go.
package unittest

import (
	"context"
	"fmt"

	"github.com/timpush/timpush-go"
)

// Greeter stores in the push service which language its users speak.
type Greeter struct {
	Push *timpush.Client
}

// SetLanguage sets the language of each user.
func (g *Greeter) SetLanguage(ctx context.Context, languages map[string]string) error {
	var users []timpush.UserAttrs
	for user, language := range languages {
		users = append(users, timpush.UserAttrs{ToAccount: user, Attrs: timpush.Attrs{"language": language}})
	}
	if _, err := g.Push.SetAttr(ctx, users); err != nil {
		return fmt.Errorf("set language: %w", err)
	}
	return nil
}

// Package beforesend lets a module of this repository ask a question immediately before each request of a call leaves.
package beforesend

import "context"

type key struct{}

// With returns a context for a call of a client. The client calls check immediately before each request leaves: after the
// UserSig is made and the limiter has let the request through, with nothing between. An error of check means that the
// request is not sent, its users are NotSent, and the call stops. It is called concurrently.
func With(ctx context.Context, check func() error) context.Context {
	return context.WithValue(ctx, key{}, check)
}

// Check calls the check of ctx, if it has one.
func Check(ctx context.Context) error {
	if check, ok := ctx.Value(key{}).(func() error); ok {
		return check()
	}
	return nil
}

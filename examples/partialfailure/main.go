// Partialfailure shows what to do about each kind of failure: correct the user, send the user again later, or call an
// operator. It runs on a fake of the service.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

func main() {
	server := timpushtest.NewServer()
	defer server.Close()
	server.Refuse(70107, "gone")                              // an account that the app does not know
	server.Inject(timpushtest.AccountCode(91000, "xiaohong")) // a temporary error of the server
	client := server.Client(timpush.WithMaxAttempts(1))       // by default the client repeats the request itself

	if err := setAll(context.Background(), client, someUsers(), time.Second); err != nil {
		fmt.Println("needs an operator:", err)
	}
	fmt.Println("stored:", server.Accounts())
}

func someUsers() []timpush.UserAttrs {
	return []timpush.UserAttrs{
		{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": "ShenZhen"}},
		{ToAccount: "xiaohong", Attrs: timpush.Attrs{"city": "Chengdu"}},
		{ToAccount: "gone", Attrs: timpush.Attrs{"city": "Rome"}},
		{ToAccount: "mary", Attrs: timpush.Attrs{}},
	}
}

const maxAttempts = 5

// setAll sends users until each is done or given up, and waits longer after each attempt. It returns nil if no user is left;
// otherwise its error names those who are, and why.
func setAll(ctx context.Context, client *timpush.Client, users []timpush.UserAttrs, wait time.Duration) error {
	for try := 1; ; try++ {
		_, err := client.SetAttr(ctx, users)
		var input *timpush.InputError
		var partial *timpush.PartialError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &input): // nothing was sent, for the faults of some
			return setAll(ctx, client, withoutInvalid(users, err), wait)
		case !errors.As(err, &partial), needsOperator(partial):
			return err
		}
		users = partial.Remaining(users)
		switch {
		case len(users) == 0:
			return nil
		case try == maxAttempts, ctx.Err() != nil:
			return err
		}
		pause := max(wait, timpush.RetryAfter(err)) // as a gateway asks
		fmt.Printf("%d of them again in %v\n", len(users), pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done(): // the next attempt returns who is left
		}
		wait *= 2
	}
}

// withoutInvalid gives up the users that are not valid, and returns the others.
func withoutInvalid(users []timpush.UserAttrs, err error) (valid []timpush.UserAttrs) {
	invalid := map[int]bool{}
	var faults interface{ Unwrap() []error }
	if errors.As(err, &faults) {
		for _, fault := range faults.Unwrap() {
			var input *timpush.InputError
			if errors.As(fault, &input) {
				fmt.Println("correct", input)
				invalid[input.Index] = true
			}
		}
	}
	for i, user := range users {
		if !invalid[i] {
			valid = append(valid, user)
		}
	}
	return valid
}

// needsOperator gives up the users that were refused for their own data; a program would mark them in its database. It
// reports whether a user was refused for another reason that is not temporary: a wrong key is no reason to forget a user.
func needsOperator(partial *timpush.PartialError) bool {
	needed := false
	for user := range partial.Users() {
		var code timpush.Code
		switch {
		case user.Outcome != timpush.Rejected:
		case errors.Is(user, timpush.ErrNoSuchAccount):
			fmt.Println("forget", user.ToAccount, "- it is no longer known to the app")
		case errors.Is(user, timpush.ErrAccountType), errors.Is(user, timpush.ErrInvalidAttr):
			fmt.Println("correct", user)
		case !errors.As(user, &code), !code.Retryable():
			needed = true
		}
	}
	return needed
}

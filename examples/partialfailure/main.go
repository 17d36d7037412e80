// Partialfailure shows what to do with each kind of failure: some users are mended by the caller, some are sent again
// after a while, and some faults need an operator. It runs on a fake of the service.
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
	server.Inject(timpushtest.AccountCode(91000, "xiaohong")) // an internal error of the server that passes
	client := server.Client(timpush.WithMaxAttempts(1))       // by default the client would have tried again itself

	users := []timpush.UserAttrs{
		{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": "ShenZhen"}},
		{ToAccount: "xiaohong", Attrs: timpush.Attrs{"city": "Chengdu"}},
		{ToAccount: "gone", Attrs: timpush.Attrs{"city": "Rome"}},
	}
	if err := setAll(context.Background(), client, users, time.Second); err != nil {
		fmt.Println("needs an operator:", err)
	}
	fmt.Println("stored:", server.Accounts())
}

// setAll sends users until none is left that is worth another try, and waits longer each time.
func setAll(ctx context.Context, client *timpush.Client, users []timpush.UserAttrs, wait time.Duration) error {
	for try := 1; len(users) > 0 && try <= 5; try++ {
		_, err := client.SetAttr(ctx, users)
		var partial *timpush.PartialError
		if !errors.As(err, &partial) {
			return err // nil: all are done; or an InputError: nothing was sent
		}
		if errors.Is(err, timpush.ErrNotAdmin) || errors.Is(err, timpush.ErrUnavailable) || ctx.Err() != nil {
			return err
		}
		for user := range partial.Users() {
			if user.Outcome == timpush.Rejected {
				giveUp(user)
			}
		}
		users = partial.Remaining(users)
		fmt.Printf("%d of them again in %v\n", len(users), wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait *= 2
	}
	return nil
}

// giveUp is where a program would mark the user in its own database.
func giveUp(user *timpush.UserError) {
	switch {
	case errors.Is(user, timpush.ErrNoSuchAccount):
		fmt.Println("forget", user.ToAccount, "- it is not known to the app any more")
	case errors.Is(user, timpush.ErrAccountType), errors.Is(user, timpush.ErrInvalidAttr):
		fmt.Println("correct", user.ToAccount, "-", user.Err)
	default:
		fmt.Println("refused:", user)
	}
}

// Campaign sends a push to the users whose attribute level is gold, and one to listed accounts, and revokes the first.
//
// It uses a fake of the push service that it starts itself, and needs no network. With TIMPUSH_SDKAPPID,
// TIMPUSH_IDENTIFIER, TIMPUSH_SECRET_KEY and TIMPUSH_REGION set it uses the service, or the server that TIMPUSH_BASE_URL
// names, and there sends nothing without -yes:
//
//	go run ./examples/campaign -accounts xiaoming,xiaohong -yes
//
// That sets level to gold for these accounts, which the app must have as an attribute, and the first push goes to all users
// of the app that have it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

func main() {
	accounts := flag.String("accounts", "", "accounts to set level=gold for and to push to, on the service, separated by commas; another push goes to all that have level=gold")
	yes := flag.Bool("yes", false, "send to the service, where real users get the pushes: all of the app whose level is gold, too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *accounts, *yes, flag.Args()...); err != nil {
		fmt.Fprintln(os.Stderr, "campaign:", err)
		stop()
		os.Exit(1)
	}
}

// run refuses what follows the flags: of -accounts mary bob the push would go to mary alone.
func run(ctx context.Context, accounts string, yes bool, rest ...string) error {
	cfg, base, live, err := configFromEnvironment()
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q: no flag takes it; put a text with spaces into quotation marks, and commas between accounts", strings.Join(rest, " "))
	case err != nil:
		return err
	case live:
		return onService(ctx, cfg, base, accounts, yes)
	case accounts != "" || yes:
		return errors.New("-accounts and -yes are for the service: set the four TIMPUSH_... variables too, or give no flags")
	}
	return onFake(ctx)
}

// configFromEnvironment reports whether the environment asks for the service, and the URL if it is not the region's.
func configFromEnvironment() (cfg timpush.Config, base string, live bool, err error) {
	base = os.Getenv("TIMPUSH_BASE_URL")
	values := map[string]string{}
	var missing []string
	for _, name := range []string{"TIMPUSH_SDKAPPID", "TIMPUSH_IDENTIFIER", "TIMPUSH_SECRET_KEY", "TIMPUSH_REGION"} {
		if values[name] = os.Getenv(name); values[name] == "" {
			missing = append(missing, name)
		}
	}
	switch {
	case len(missing) == len(values) && base == "":
		return cfg, "", false, nil
	case len(missing) > 0:
		return cfg, base, true, fmt.Errorf("to use the service, set %s too; to use the fake, set no TIMPUSH_ variable", strings.Join(missing, " and "))
	}
	cfg.Identifier, cfg.SecretKey = values["TIMPUSH_IDENTIFIER"], values["TIMPUSH_SECRET_KEY"]
	if cfg.SDKAppID, err = strconv.Atoi(values["TIMPUSH_SDKAPPID"]); err != nil {
		return cfg, base, true, errors.New("TIMPUSH_SDKAPPID is not the number that the console shows")
	}
	if cfg.Region, err = timpush.ParseRegion(values["TIMPUSH_REGION"]); err != nil {
		return cfg, base, true, fmt.Errorf("TIMPUSH_REGION: %w", err)
	}
	return cfg, base, true, nil
}

// onService sends nothing unless the flags say so: the variables may be set for other programs.
func onService(ctx context.Context, cfg timpush.Config, base, list string, yes bool) error {
	if list == "" || !yes {
		return errors.New("the TIMPUSH_... variables are for the service, where users get the pushes, and the first goes to all of the app whose level is gold: if you mean that, say so with -accounts ACCOUNT,ACCOUNT -yes")
	}
	var options []timpush.Option
	if base != "" {
		options = append(options, timpush.WithBaseURL(base))
	}
	client, err := timpush.NewClient(cfg, options...)
	if err != nil {
		return err
	}
	fmt.Printf("Sending with %v ...\n", client)
	accounts := strings.Split(list, ",")
	users := make([]timpush.UserAttrs, len(accounts))
	for i, account := range accounts {
		if strings.TrimSpace(account) != account { // it would be another account
			return fmt.Errorf("-accounts: %q has white space around it: give a,b without any", account)
		}
		users[i] = timpush.UserAttrs{ToAccount: account, Attrs: timpush.Attrs{"level": "gold"}}
	}
	return campaign(ctx, client, users, accounts, func() {})
}

func onFake(ctx context.Context) error {
	server := timpushtest.NewServer(timpushtest.WithAttrNames("level"))
	defer server.Close()
	fmt.Println("No TIMPUSH_... in the environment: this runs on a fake of the service at", server.URL)
	users := []timpush.UserAttrs{
		{ToAccount: "xiaoming", Attrs: timpush.Attrs{"level": "gold"}},
		{ToAccount: "xiaohong", Attrs: timpush.Attrs{"level": "gold"}},
		{ToAccount: "mary", Attrs: timpush.Attrs{"level": "silver"}},
	}
	return campaign(ctx, server.Client(), users, []string{"mary", "xiaohong"}, func() { printPushes(server) })
}

// printPushes prints what the fake has carried out. On the service the statistics and the callbacks say it.
func printPushes(server *timpushtest.Server) {
	for _, push := range server.Pushes() {
		state := "sent"
		if push.Revoked {
			state = "withdrawn"
		}
		fmt.Printf("   the fake: %s push %s to %s: %s\n", push.Kind, push.TaskID, strings.Join(push.Accounts, " and "), state)
	}
}

// campaign sets attributes of users, pushes to those who match and to the listed accounts, and revokes the first push.
// After each step report prints what the service has.
func campaign(ctx context.Context, client *timpush.Client, users []timpush.UserAttrs, listed []string, report func()) error {
	fmt.Printf("\n1. Set the level of %d users.\n", len(users))
	if _, err := client.SetAttr(ctx, users); err != nil {
		return err
	}
	fmt.Println("\n2. Push to those whose level is gold.")
	taskID, err := pushToGold(ctx, client)
	if err != nil {
		return err
	}
	report()
	fmt.Printf("\n3. Push to %s.\n", strings.Join(listed, " and "))
	if err := pushToListed(ctx, client, listed); err != nil {
		return err
	}
	report()
	fmt.Println("\n4. Revoke the first push:", taskID)
	if err := client.Revoke(ctx, taskID, nil); err != nil { // nil: nothing takes its place
		return err
	}
	fmt.Println("   revoked")
	report()
	return nil
}

// pushToGold sends a push and returns its TaskID.
func pushToGold(ctx context.Context, client *timpush.Client) (string, error) {
	audience := timpush.Audience{AttrsAnd: timpush.Attrs{"level": "gold"}}
	receipt, err := client.Push(ctx, audience, timpush.Push{
		Notification: timpush.Notification{Title: "A gift for gold members", Desc: "Open the app until Sunday"},
	})
	// An Unknown push may have gone out to the whole audience: the answer was lost. Do not repeat it: whoever has it would get
	// it twice. PushStats, or the events of a NewCallbackHandler, show whether it went out.
	if failed, ok := errors.AsType[*timpush.CallError](err); ok && failed.Outcome == timpush.Unknown {
		return "", fmt.Errorf("the push may have gone out; look at the statistics or the callbacks, do not repeat it: %w", err)
	}
	if err != nil {
		return "", err
	}
	fmt.Println("   TaskID:", receipt.TaskID)
	return receipt.TaskID, nil
}

// pushToListed sends a push to accounts and prints the outcome of each.
func pushToListed(ctx context.Context, client *timpush.Client, accounts []string) error {
	result, err := client.PushTo(ctx, accounts, timpush.Push{
		Notification: timpush.Notification{Title: "Your order", Desc: "It is on its way"},
	})
	if result != nil {
		fmt.Println("  ", result)
	}
	partial, ok := errors.AsType[*timpush.PartialError](err)
	if !ok {
		return err
	}
	for user := range partial.Users() {
		fmt.Println("   -", user)
	}
	// Remaining leaves out who is Unknown, since these accounts may have the push: look at the statistics or the callbacks, and
	// do not repeat it for them.
	fmt.Println("   certainly not reached and worth another try:", timpush.Remaining(err, accounts))
	return err
}

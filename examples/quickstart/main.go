// Quickstart sets attributes for users and shows the outcomes that there can be.
//
// It talks to a fake of the push service that it starts itself, and needs no network. With TIMPUSH_SDKAPPID,
// TIMPUSH_IDENTIFIER, TIMPUSH_SECRET_KEY and TIMPUSH_REGION set it talks to the real service, and sets there the one attribute
// of one account that the flags name:
//
//	go run ./examples/quickstart -account xiaoming -attr city=ShenZhen
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

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

func main() {
	account := flag.String("account", "", "account to set the attribute of, on the real service")
	attr := flag.String("attr", "", "`name=value` of the attribute to set, on the real service: the name must exist in the app")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *account, *attr); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, account, attr string) error {
	cfg, live, err := configFromEnvironment()
	switch {
	case err != nil:
		return err
	case live:
		return onRealService(ctx, cfg, account, attr)
	case account != "" || attr != "":
		return errors.New("-account and -attr are for the real service: set the four TIMPUSH_... variables too, or give no flags")
	}
	return onFake(ctx)
}

// configFromEnvironment reports whether the environment asks for the real service.
func configFromEnvironment() (cfg timpush.Config, live bool, err error) {
	var missing []string
	get := func(name string) string {
		value := os.Getenv(name)
		if value == "" {
			missing = append(missing, name)
		}
		return value
	}
	id, identifier := get("TIMPUSH_SDKAPPID"), get("TIMPUSH_IDENTIFIER")
	key, place := get("TIMPUSH_SECRET_KEY"), get("TIMPUSH_REGION")
	switch len(missing) {
	case 0:
	case 4:
		return timpush.Config{}, false, nil
	default:
		return cfg, true, fmt.Errorf("to use the real service, set %s too; to use the fake, set none of the four", strings.Join(missing, " and "))
	}
	appID, err := strconv.Atoi(id)
	if err != nil {
		return cfg, true, fmt.Errorf("TIMPUSH_SDKAPPID is %q, want the number that the console shows", id)
	}
	region, err := timpush.ParseRegion(place)
	if err != nil {
		return cfg, true, fmt.Errorf("TIMPUSH_REGION: %w", err)
	}
	return timpush.Config{SDKAppID: appID, Identifier: identifier, SecretKey: key, Region: region}, true, nil
}

// onRealService changes nothing that it was not asked to: who has the variables set may only want to look around.
func onRealService(ctx context.Context, cfg timpush.Config, account, attr string) error {
	name, value, ok := strings.Cut(attr, "=")
	if account == "" || !ok {
		return errors.New("the TIMPUSH_... variables are for the real service: say what to set there with -account ACCOUNT -attr NAME=VALUE")
	}
	client, err := timpush.NewClient(cfg)
	if err != nil {
		return err
	}
	fmt.Printf("Setting %s of %s through %s ...\n", name, account, cfg.Region.Host())
	users := []timpush.UserAttrs{{ToAccount: account, Attrs: timpush.Attrs{name: value}}}
	if _, err := client.SetAttr(ctx, users); err != nil {
		return err
	}
	fmt.Println("Done.")
	return nil
}

func onFake(ctx context.Context) error {
	server := timpushtest.NewServer(timpushtest.WithRegistrationAttrNames("model"))
	defer server.Close()
	client := server.Client(timpush.WithMaxAttempts(1)) // one attempt, to have the lost answer below stay lost
	fmt.Println("No TIMPUSH_... in the environment: this runs on a fake of the service at", server.URL)

	fmt.Println("\n1. Three users, all well.")
	users := []timpush.UserAttrs{
		{ToAccount: "xiaoming", Attrs: timpush.Attrs{"city": "ShenZhen", "sex": "male"}},
		{ToAccount: "xiaohong", Attrs: timpush.Attrs{"city": "Chengdu"}},
		{ToAccount: "mary", Attrs: timpush.Attrs{"city": "Singapore"}},
	}
	if _, err := set(ctx, client, users); err != nil {
		return err
	}
	fmt.Println("   stored for xiaoming:", server.Attrs("xiaoming"))

	fmt.Println("\n2. One user is refused: \"model\" is an attribute for RegistrationIDs, and mary is a UserID.")
	users[2].Attrs = timpush.Attrs{"model": "Phone 9"}
	if _, err := set(ctx, client, users); err == nil {
		return errors.New("the fake has not refused it")
	}
	fmt.Println("   Remedy: set it for the RegistrationID of her device.")
	users[2].ToAccount = "379C2F0D-290D-47AE-94D1-919058C39C77"
	if _, err := set(ctx, client, users[2:]); err != nil {
		return err
	}

	fmt.Println("\n3. The answer gets lost on its way: nobody knows whether the attributes were set.")
	server.Inject(timpushtest.CutAfter())
	remaining, err := set(ctx, client, users)
	if err == nil {
		return errors.New("the answer has not got lost")
	}
	fmt.Println("   Remedy: send again what remains. To set the same value twice does no harm.")
	_, err = set(ctx, client, remaining)
	return err
}

// set sets attributes, prints what became of each user, and returns the users that are worth sending again.
func set(ctx context.Context, client *timpush.Client, users []timpush.UserAttrs) ([]timpush.UserAttrs, error) {
	result, err := client.SetAttr(ctx, users)
	if result != nil {
		fmt.Printf("   done %d, rejected %d, unknown %d, not sent %d\n", result.Done, result.Rejected, result.Unknown, result.NotSent)
	}
	var partial *timpush.PartialError
	if !errors.As(err, &partial) {
		return nil, err
	}
	for user := range partial.Users() {
		fmt.Println("   -", user)
	}
	return partial.Remaining(users), err
}

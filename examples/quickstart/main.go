// Quickstart sets attributes of users and shows the possible outcomes.
//
// It uses a fake of the push service that it starts itself, and needs no network. With TIMPUSH_SDKAPPID,
// TIMPUSH_IDENTIFIER, TIMPUSH_SECRET_KEY and TIMPUSH_REGION set it uses the service, or the server that TIMPUSH_BASE_URL
// names, and sets there the one attribute of one account that the flags name:
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
	"syscall"

	"github.com/timpush/timpush-go"
	"github.com/timpush/timpush-go/timpushtest"
)

func main() {
	account := flag.String("account", "", "account to set the attribute of, on the service")
	attr := flag.String("attr", "", "`name=value` of the attribute to set, on the service: the app must have the name")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *account, *attr, flag.Args()...); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		stop()
		os.Exit(1)
	}
}

// run refuses what follows the flags: of -attr city=New York the city would be New.
func run(ctx context.Context, account, attr string, rest ...string) error {
	cfg, base, live, err := configFromEnvironment()
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q: no flag takes it; put a text with spaces into quotation marks", strings.Join(rest, " "))
	case err != nil:
		return err
	case live:
		return onService(ctx, cfg, base, account, attr)
	case account != "" || attr != "":
		return errors.New("-account and -attr are for the service: set the four TIMPUSH_... variables too, or give no flags")
	}
	return onFake(ctx)
}

// configFromEnvironment reports whether the environment asks for the service, and the URL if it is not the region's.
func configFromEnvironment() (cfg timpush.Config, base string, live bool, err error) {
	base = os.Getenv("TIMPUSH_BASE_URL")
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
	switch {
	case len(missing) == 4 && base == "":
		return timpush.Config{}, "", false, nil
	case len(missing) > 0:
		return cfg, base, true, fmt.Errorf("to use the service, set %s too; to use the fake, set no TIMPUSH_ variable", strings.Join(missing, " and "))
	}
	appID, err := strconv.Atoi(id)
	if err != nil {
		return cfg, base, true, errors.New("TIMPUSH_SDKAPPID is not the number that the console shows")
	}
	region, err := timpush.ParseRegion(place)
	if err != nil {
		return cfg, base, true, fmt.Errorf("TIMPUSH_REGION: %w", err)
	}
	return timpush.Config{SDKAppID: appID, Identifier: identifier, SecretKey: key, Region: region}, base, true, nil
}

// onService changes nothing unless the flags say what: the variables may be set for other programs.
func onService(ctx context.Context, cfg timpush.Config, base, account, attr string) error {
	name, value, ok := strings.Cut(attr, "=")
	if account == "" || !ok {
		return errors.New("the TIMPUSH_... variables are for the service: say what to set there with -account ACCOUNT -attr NAME=VALUE")
	}
	var options []timpush.Option
	if base != "" {
		options = append(options, timpush.WithBaseURL(base))
	}
	client, err := timpush.NewClient(cfg, options...)
	if err != nil {
		return err
	}
	fmt.Printf("Setting %s of %s with %v ...\n", name, account, client)
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
	client := server.Client(timpush.WithMaxAttempts(1)) // one attempt, so that the lost answer below stays lost
	fmt.Println("No TIMPUSH_... in the environment: this runs on a fake of the service at", server.URL)

	fmt.Println("\n1. Three users, all done.")
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

	fmt.Println("\n3. The answer is lost: whether the attributes were set is not known.")
	server.Inject(timpushtest.CutAfter())
	remaining, err := set(ctx, client, users)
	if err == nil {
		return errors.New("the answer was not lost")
	}
	fmt.Println("   Remedy: send again what remains. Setting the same value twice does no harm.")
	_, err = set(ctx, client, remaining)
	return err
}

// set sets attributes, prints the outcomes, and returns the users that are worth sending again.
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

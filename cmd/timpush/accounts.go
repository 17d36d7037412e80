package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/timpush/timpush-go"
)

const getAttrExample = `  timpush get-attr mary bob
  timpush get-attr --file accounts.txt > attributes.ndjson    # which set-attr can read`

const removeAttrExample = `  timpush remove-attr --names city,sex mary bob
  timpush remove-attr --names city --file accounts.txt`

// maxAccount bounds a line of a file of accounts.
const maxAccount = 4096

func newGetAttr() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "get-attr [ACCOUNT...]", Short: "Read attributes of accounts", Example: getAttrExample,
		Long: "Read the attributes of accounts, given as arguments or, one a line, in a file.\n\nEach line of the output is an object, {\"To_Account\":\"mary\",\"Attrs\":{\"city\":\"Rome\"}}. What cannot be read is said on standard error.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return withAccounts(cmd, args, file, getAttr)
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "`file` with an account on each line, - for standard input")
	appFlags(cmd.Flags())
	return cmd
}

// withAccounts does something with the accounts of the arguments or of a file.
func withAccounts(cmd *cobra.Command, args []string, file string, do func(*cobra.Command, *timpush.Client, iter.Seq2[string, error]) error) error {
	accounts, closes, err := accountsOf(cmd, args, file)
	if err != nil {
		return err
	}
	defer closes()
	client, _, err := newClient(cmd)
	if err != nil {
		return err
	}
	return do(cmd, client, accounts)
}

func getAttr(cmd *cobra.Command, client *timpush.Client, accounts iter.Seq2[string, error]) error {
	out := plainJSON(cmd.OutOrStdout())
	some := false
	for batch, err := range client.GetAttrSeq(cmd.Context(), accounts) {
		for i, user := range batch.Users {
			if batch.Outcomes[i] != timpush.Done {
				continue
			}
			if err := out.Encode(struct {
				ToAccount string        `json:"To_Account"`
				Attrs     timpush.Attrs `json:"Attrs"`
			}{user.ToAccount, user.Attrs}); err != nil {
				return fatal(err)
			}
		}
		var partial *timpush.PartialError
		switch {
		case errors.As(err, &partial):
			some = true
			tellUsers(cmd.ErrOrStderr(), partial)
		case err != nil:
			return fatal(err)
		}
	}
	return verdict(some)
}

// verdict is the exit code where some users may not be done.
func verdict(some bool) error {
	if some {
		return &exitError{code: exitSome}
	}
	return nil
}

func tellUsers(out io.Writer, partial *timpush.PartialError) {
	for u := range partial.Users() {
		_, _ = fmt.Fprintf(out, "%q %s: %v\n", u.ToAccount, u.Outcome, u.Err)
	}
}

func newRemoveAttr() *cobra.Command {
	var file string
	var names []string
	cmd := &cobra.Command{
		Use: "remove-attr --names NAME,... [ACCOUNT...]", Short: "Remove attributes of accounts", Example: removeAttrExample,
		Long: "Remove the named attributes of accounts, given as arguments or, one a line, in a file.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(names) == 0 {
				return usage(errors.New("which attributes? give --names, and see --help"))
			}
			return withAccounts(cmd, args, file, func(cmd *cobra.Command, client *timpush.Client, accounts iter.Seq2[string, error]) error {
				return removeAttr(cmd, client, names, accounts)
			})
		},
	}
	cmd.Flags().StringSliceVar(&names, "names", nil, "`names` of the attributes")
	cmd.Flags().StringVar(&file, "file", "", "`file` with an account on each line, - for standard input")
	appFlags(cmd.Flags())
	return cmd
}

// removeAttr removes in parts, so that a file of any size does.
func removeAttr(cmd *cobra.Command, client *timpush.Client, names []string, accounts iter.Seq2[string, error]) error {
	const part = 50 * timpush.MaxUsersPerRequest
	var users []timpush.UserAttrNames
	var total int
	var some bool
	flush := func() error {
		result, err := client.RemoveAttr(cmd.Context(), users)
		users = users[:0]
		var partial *timpush.PartialError
		switch {
		case result == nil && err != nil:
			return fatal(err)
		case errors.As(err, &partial):
			some = true
			tellUsers(cmd.ErrOrStderr(), partial)
		}
		total += result.Done
		if result.Done == 0 && result.NotSent+result.Unknown > 0 {
			return fatal(errors.New("nothing goes through: the rest was not tried"))
		}
		return nil
	}
	for account, err := range accounts {
		if err != nil {
			return fatal(err)
		}
		if users = append(users, timpush.UserAttrNames{ToAccount: account, Names: names}); len(users) == part {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(users) > 0 {
		if err := flush(); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%d done\n", total)
	return verdict(some)
}

// accountsOf returns the accounts of the arguments or of a file.
func accountsOf(cmd *cobra.Command, args []string, file string) (accounts iter.Seq2[string, error], closes func(), err error) {
	switch {
	case file == "" && len(args) == 0:
		return nil, nil, usage(errors.New("whose? give accounts, or --file FILE with one on each line"))
	case file != "" && len(args) > 0:
		return nil, nil, usage(errors.New("give either accounts or --file, not both"))
	case file == "":
		return func(yield func(string, error) bool) {
			for _, account := range args {
				if !yield(account, nil) {
					return
				}
			}
		}, func() {}, nil
	case file == "-":
		return linesOf("stdin", cmd.InOrStdin()), func() {}, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, fatal(err)
	}
	return linesOf(file, f), func() { _ = f.Close() }, nil
}

// linesOf returns the lines that are not empty.
func linesOf(name string, r io.Reader) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		scanner := bufio.NewScanner(r)
		scanner.Buffer(nil, maxAccount)
		for scanner.Scan() {
			account := strings.TrimSpace(strings.TrimPrefix(scanner.Text(), "\ufeff"))
			if account != "" && !yield(account, nil) {
				return
			}
		}
		if err := scanner.Err(); err != nil {
			yield("", fmt.Errorf("%s: %w", name, err))
		}
	}
}

const namesLong = `The attributes of an app: at most 10, by an index from 0 to 9. Each is for one type of accounts, UserIDs or RegistrationIDs, for ever.`

const namesExample = `  timpush names get
  timpush names set 0=city 1=model:registrationid          # shows what would change
  timpush names set --yes 0=city 1=model:registrationid    # changes it`

func newNames() *cobra.Command {
	names := &cobra.Command{
		Use: "names", Short: "The names of the app's attributes", Long: namesLong, Example: namesExample, Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	get := &cobra.Command{
		Use: "get", Short: "Show them", Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, _, err := newClient(cmd)
			if err != nil {
				return err
			}
			return showNames(cmd, client)
		},
	}
	get.Flags().Bool("json", false, "for a program")
	appFlags(get.Flags())
	set := &cobra.Command{
		Use: "set INDEX=NAME[:TYPE]...", Short: "Set some; the others stay", Example: namesExample, Args: usageArgs(cobra.MinimumNArgs(1)),
		Long: namesLong + "\n\nTYPE is userid or registrationid; it can never be changed. Without --yes nothing is changed, and the exit code is 2.",
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := parseNames(args)
			if err != nil {
				return usage(err)
			}
			client, _, err := newClient(cmd)
			if err != nil {
				return err
			}
			return setNames(cmd.Context(), cmd, client, wanted)
		},
	}
	set.Flags().Bool("yes", false, "really set them")
	appFlags(set.Flags())
	names.AddCommand(get, set)
	return names
}

func showNames(cmd *cobra.Command, client *timpush.Client) error {
	names, err := client.AttrNames(cmd.Context())
	if err != nil {
		return fatal(err)
	}
	asJSON, _ := cmd.Flags().GetBool("json")
	for _, n := range names {
		if asJSON {
			text, err := json.Marshal(map[string]any{"index": n.Index, "name": n.Name, "type": strings.ToLower(n.AccountType.String())})
			if err != nil {
				return fatal(err)
			}
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
			continue
		}
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%d  %-50s  %s\n", n.Index, n.Name, n.AccountType)
	}
	if len(names) == 0 && !asJSON {
		_, _ = fmt.Fprintln(cmd.OutOrStdout(), "The app has no attributes. See: timpush names set --help")
	}
	return nil
}

// parseNames reads INDEX=NAME[:TYPE].
func parseNames(args []string) (names []timpush.AttrName, err error) {
	for _, arg := range args {
		index, name, ok := strings.Cut(arg, "=")
		if !ok || len(index) != 1 || index[0] < '0' || index[0] > '9' {
			return nil, fmt.Errorf("%q: want INDEX=NAME or INDEX=NAME:TYPE with an index from 0 to 9", arg)
		}
		n := timpush.AttrName{Index: int(index[0] - '0'), Name: name}
		for suffix, t := range map[string]timpush.AccountType{":userid": timpush.AccountTypeUserID, ":registrationid": timpush.AccountTypeRegistrationID} {
			if before, ok := strings.CutSuffix(name, suffix); ok {
				n.Name, n.AccountType = before, t
			}
		}
		names = append(names, n)
	}
	return names, nil
}

func setNames(ctx context.Context, cmd *cobra.Command, client *timpush.Client, wanted []timpush.AttrName) error {
	if yes, _ := cmd.Flags().GetBool("yes"); yes {
		if err := client.SetAttrNames(ctx, wanted); err != nil {
			return fatal(err)
		}
		return showNames(cmd, client)
	}
	has, err := client.AttrNames(ctx)
	if err != nil {
		return fatal(err)
	}
	for _, n := range wanted {
		was := "none"
		if i := slices.IndexFunc(has, func(h timpush.AttrName) bool { return h.Index == n.Index }); i >= 0 {
			was = fmt.Sprintf("%q for %ss", has[i].Name, has[i].AccountType)
		}
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%d: %s becomes %q\n", n.Index, was, n.Name)
	}
	return usage(errors.New("nothing was changed: give --yes to do it"))
}

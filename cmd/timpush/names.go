package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/timpush/timpush-go"

	"github.com/timpush/timpush-go/cmd/timpush/internal/text"
)

const namesLong = `The attributes of an app: at most 10, by an index from 0 to 9. Each is for one type of accounts, UserIDs or RegistrationIDs,
which can never be changed.`

const namesExample = `  timpush names get
  timpush names set 0=city 1=model:registrationid          # shows what would change
  timpush names set --yes 0=city 1=model:registrationid    # changes it`

func newNames() *cobra.Command {
	names := &cobra.Command{
		Use: "names", Short: "The names of the app's attributes", Long: namesLong, Example: namesExample, Args: usageArgs(known),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	get := &cobra.Command{
		Use: "get", Short: "Show the names", Args: usageArgs(noArguments),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, _, err := newClient(cmd)
			if err != nil {
				return err
			}
			return showNames(cmd, client)
		},
	}
	get.Flags().Bool("json", false, "write an object on each line, for a program")
	appFlags(get.Flags())
	set := &cobra.Command{
		Use: "set INDEX=NAME[:TYPE]...", Short: "Set names; the others do not change", Example: namesExample, Args: usageArgs(cobra.MinimumNArgs(1)),
		Long: namesLong + "\n\nTYPE is userid or registrationid. For a new attribute without TYPE it is userid.\nWithout --yes the command only shows what would change, and the exit code is 2.",
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := parseNames(args)
			if err != nil {
				return usage(err)
			}
			client, _, err := newClient(cmd)
			if err != nil {
				return err
			}
			return setNames(cmd, client, wanted)
		},
	}
	set.Flags().Bool("yes", false, "set them")
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
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%d  %-50s  %s\n", n.Index, text.Plain(n.Name), n.AccountType)
	}
	if len(names) == 0 && !asJSON {
		_, _ = fmt.Fprintln(cmd.OutOrStdout(), "The app has no attributes. See: timpush names set --help")
	}
	return nil
}

var accountTypes = map[string]timpush.AccountType{"userid": timpush.AccountTypeUserID, "registrationid": timpush.AccountTypeRegistrationID}

// parseNames reads INDEX=NAME[:TYPE].
func parseNames(args []string) (names []timpush.AttrName, err error) {
	for _, arg := range args {
		index, name, ok := strings.Cut(arg, "=")
		if !ok || len(index) != 1 || index[0] < '0' || index[0] > '9' {
			return nil, fmt.Errorf("%q: want INDEX=NAME or INDEX=NAME:TYPE with an index from 0 to 9", arg)
		}
		n := timpush.AttrName{Index: int(index[0] - '0'), Name: name}
		if i := strings.LastIndexByte(name, ':'); i >= 0 {
			n.Name = name[:i]
			if n.AccountType, ok = accountTypes[strings.ToLower(name[i+1:])]; !ok {
				return nil, fmt.Errorf("%q: %q is no type, want userid or registrationid; a name with a colon needs its type behind it", arg, name[i+1:])
			}
		}
		if text.Trim(n.Name) != n.Name {
			return nil, fmt.Errorf("%q: there is white space around the name, and no column of a file would have it", arg)
		}
		if slices.ContainsFunc(names, func(earlier timpush.AttrName) bool { return earlier.Index == n.Index }) {
			return nil, fmt.Errorf("%q: the index %d has a name already", arg, n.Index)
		}
		names = append(names, n)
	}
	return names, nil
}

func setNames(cmd *cobra.Command, client *timpush.Client, wanted []timpush.AttrName) error {
	if yes, _ := cmd.Flags().GetBool("yes"); yes {
		if err := client.SetAttrNames(cmd.Context(), wanted); err != nil {
			return callFailed(err, "")
		}
		if err := showNames(cmd, client); err != nil {
			return fatal(fmt.Errorf("the names are set, but cannot be shown: %w", err))
		}
		return nil
	}
	has, err := client.AttrNames(cmd.Context())
	if err != nil {
		return fatal(err)
	}
	for _, n := range wanted {
		_, _ = fmt.Fprintln(cmd.OutOrStdout(), changeOf(n, has))
	}
	return usage(errors.New("nothing was changed: give --yes to change it"))
}

// changeOf describes the change of a name. The type of a new attribute is part of it, as it is decided by this change.
func changeOf(wanted timpush.AttrName, has []timpush.AttrName) string {
	kind := wanted.AccountType
	i := slices.IndexFunc(has, func(h timpush.AttrName) bool { return h.Index == wanted.Index })
	if i < 0 {
		if kind == timpush.AccountTypeUnknown {
			kind = timpush.AccountTypeUserID // the service's default
		}
		return fmt.Sprintf("%d: new attribute %q for %ss; this type can never be changed", wanted.Index, wanted.Name, kind)
	}
	text := fmt.Sprintf("%d: %q for %ss becomes %q", wanted.Index, has[i].Name, has[i].AccountType, wanted.Name)
	if kind != timpush.AccountTypeUnknown && has[i].AccountType != timpush.AccountTypeUnknown && kind != has[i].AccountType {
		text += fmt.Sprintf(" for %ss, which the service will refuse: the type can never be changed", kind)
	}
	return text
}

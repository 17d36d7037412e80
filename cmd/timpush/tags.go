package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/timpush/timpush-go"
)

func newTags() *cobra.Command {
	cmd := &cobra.Command{
		Use: "tags", Short: "Add, replace, remove, read and clear tags of accounts",
		Long: "Add, replace, remove, read and clear tags of accounts, given as arguments or in a file with one on each line.",
		Args: usageArgs(known), RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Example: "  timpush tags add --tags gold,beta mary bob\n  timpush tags get --file accounts.txt\n" +
			"  timpush tags clear mary",
	}
	cmd.AddCommand(
		newTagging("add", "Add tags to accounts", (*timpush.Client).AddTags),
		newTagging("replace", "Give accounts these tags and no others", (*timpush.Client).ReplaceTags),
		newTagging("remove", "Remove tags from accounts", (*timpush.Client).RemoveTags),
		newTagsGet(), newTagsClear(),
	)
	return cmd
}

// newTagging returns a command that sends the same tags for each account.
func newTagging(name, short string, send func(*timpush.Client, context.Context, []timpush.UserTags) (*timpush.Result, error)) *cobra.Command {
	var tags []string
	cmd := &cobra.Command{Use: name + " --tags TAG,... [ACCOUNT...]", Short: short}
	list := &accountList{cmd: cmd}
	list.flags()
	cmd.Flags().StringSliceVar(&tags, "tags", nil, "`tags`, separated by commas")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(tags) == 0 {
			return usage(errors.New("which tags? give --tags, and see --help"))
		}
		return list.inParts(args, func(ctx context.Context, client *timpush.Client, accounts []string) (*timpush.Result, error) {
			users := make([]timpush.UserTags, len(accounts))
			for i, account := range accounts {
				users[i] = timpush.UserTags{ToAccount: account, Tags: tags}
			}
			return send(client, ctx, users)
		})
	}
	return cmd
}

func newTagsClear() *cobra.Command {
	cmd := &cobra.Command{Use: "clear [ACCOUNT...]", Short: "Remove all tags from accounts"}
	list := &accountList{cmd: cmd}
	list.flags()
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return list.inParts(args, func(ctx context.Context, client *timpush.Client, accounts []string) (*timpush.Result, error) {
			return client.ClearTags(ctx, accounts)
		})
	}
	return cmd
}

func newTagsGet() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get [ACCOUNT...]", Short: "Read the tags of accounts",
		Long: "Read the tags of accounts. Each line of the output is an object, {\"To_Account\":\"mary\",\"Tags\":[\"gold\"]}.",
	}
	list := &accountList{cmd: cmd, shows: true}
	list.flags()
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return list.inParts(args, func(ctx context.Context, client *timpush.Client, accounts []string) (*timpush.Result, error) {
			found, err := client.GetTags(ctx, accounts)
			return nil, errors.Join(printTags(cmd, accounts, found), err)
		})
	}
	return cmd
}

func printTags(cmd *cobra.Command, accounts []string, found map[string][]string) error {
	out := plainJSON(cmd.OutOrStdout())
	for _, account := range accounts {
		tags, ok := found[account]
		if !ok {
			continue
		}
		delete(found, account) // an account that comes twice is printed once
		if err := out.Encode(struct {
			ToAccount string   `json:"To_Account"`
			Tags      []string `json:"Tags"`
		}{account, append([]string{}, tags...)}); err != nil {
			return fatal(err)
		}
	}
	return nil
}

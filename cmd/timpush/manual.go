package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newManual() *cobra.Command {
	return &cobra.Command{
		Use: "man [DIRECTORY]", Short: "Write the manual pages to a directory, or the main one to standard output", Args: usageArgs(cobra.MaximumNArgs(1)),
		Example: "  timpush man > timpush.1\n  timpush man /usr/local/share/man/man1",
		RunE: func(cmd *cobra.Command, args []string) error {
			header := &doc.GenManHeader{Title: "TIMPUSH", Section: "1", Source: "timpush", Manual: "timpush"}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			if len(args) == 0 {
				return fatal(doc.GenMan(root, header, cmd.OutOrStdout()))
			}
			header.Title = ""
			return fatal(doc.GenManTree(root, header, args[0]))
		},
	}
}

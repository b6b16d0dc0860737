package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version, and the commit that it was built from", Args: cobra.NoArgs,
		Example: "  keyturn version\n  keyturn version --output json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			build := keyturn.CurrentBuild()
			return show(cmd, build, func(w io.Writer) { fmt.Fprintln(w, "keyturn "+build.String()) })
		},
	}
}

package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/drill"
)

func newDrill() *cobra.Command {
	id := ""
	cmd := &cobra.Command{
		Use: "drill FILE", Short: "Test an integration against every failure of a partner",
		Long: `Reads an integration from a catalog file and points it at the partner emulator, in this process: nobody else is called. Then
the emulator is slow, cuts connections after issuing, answers with errors, HTML, too much, or other keys, asks for rest,
and has certificates that are not to be trusted. The sheet says what was expected of Keyturn with this integration, what
happened, and why if that is not the same. It takes about half a minute.

Secrets that an environment variable names and that is not set are replaced by a stand-in.`,
		Example: "  keyturn drill catalog.yaml\n  keyturn drill catalog.yaml --integration acme-licenses --output json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			catalog, _, err := readToTry(args[0])
			if err != nil {
				return err
			}
			in, err := pick(catalog, id)
			if err != nil {
				return err
			}
			sheet, err := drill.Run(cmd.Context(), in, func(name string) { fmt.Fprintln(cmd.ErrOrStderr(), "drill: "+name) })
			if err != nil {
				return err
			}
			if err := show(cmd, sheet, func(w io.Writer) { sheet.Print(w) }); err != nil {
				return err
			}
			if sheet.Failed > 0 {
				return keyturn.Errorf(keyturn.KindConflict, "of %d drills %d failed", sheet.Passed+sheet.Failed, sheet.Failed)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&id, "integration", "", "the integration, if the file has several")
	return cmd
}

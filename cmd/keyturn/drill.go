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
		Long: `Reads an integration from a catalog file and points it at a partner emulator in this process; no
other server is called. The emulator is slow, cuts connections after issuing, replies with errors,
HTML, too much data or other keys, asks for fewer calls, and presents untrusted certificates. The
sheet lists what was expected of Keyturn with this integration, what happened, and the reason for
any difference. A run takes some seconds.

A secret whose environment variable is not set is replaced by a placeholder.`,
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
				return keyturn.Errorf(keyturn.KindConflict, "%d of %d drills failed", sheet.Failed, sheet.Passed+sheet.Failed)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&id, "integration", "", "the integration to test, if the file has several")
	return cmd
}

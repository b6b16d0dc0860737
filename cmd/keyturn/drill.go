package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/cmd/keyturn/drill"
	"keyturn.dev/keyturn/starter"
)

// drillSecret stands for secrets whose environment variable is not set: nobody is called but the emulator.
const drillSecret = "drill-secret"

func newDrill() *cobra.Command {
	id := ""
	cmd := &cobra.Command{
		Use: "drill FILE", Short: "Run an integration through everything that a partner can do to it",
		Long: `Reads an integration from a catalog file and points it at the partner emulator, in this process: nobody else is called. Then
the emulator is slow, cuts connections after issuing, answers with errors, HTML, too much, or other keys, asks for rest,
and has certificates that are not to be trusted. The sheet says what was expected of Keyturn with this integration, what
happened, and why if that is not the same. It takes about half a minute.

Secrets that an environment variable names and that is not set are replaced by a stand-in.`,
		Example: "  keyturn drill catalog.yaml\n  keyturn drill catalog.yaml --integration acme-licenses --output json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := integrationOf(args[0], id)
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
				return keyturn.Errorf(keyturn.KindConflict, "%d drills failed", sheet.Failed)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&id, "integration", "", "which one, if the file has several")
	return cmd
}

// integrationOf reads one integration of a catalog file.
func integrationOf(file, id string) (keyturn.Integration, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return keyturn.Integration{}, keyturn.Errorf(keyturn.KindInvalid, "the catalog %s cannot be read: check its name and who may read it: %w", file, err)
	}
	catalog, err := starter.ParseCatalog(text, filepath.Dir(file), func(name string) (string, bool) { return envOr(name, drillSecret), true })
	if err != nil {
		return keyturn.Integration{}, err
	}
	var ids []string
	for _, in := range catalog.Integrations {
		if in.ID == id || id == "" && len(catalog.Integrations) == 1 {
			return in, nil
		}
		ids = append(ids, in.ID)
	}
	if len(ids) == 0 {
		return keyturn.Integration{}, keyturn.Errorf(keyturn.KindInvalid, "%s declares no integration", file)
	}
	return keyturn.Integration{}, keyturn.Errorf(keyturn.KindInvalid, "name one with --integration: %s has %s", file, strings.Join(ids, ", "))
}

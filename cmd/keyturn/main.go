// Command keyturn is the one binary: the development stack, the API and worker processes of production, and the tools
// of operators and merchants.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for what the first one lets end
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "keyturn: "+explain(err))
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "keyturn",
		Short: "Turn paid orders into delivered licence keys, or give the money back",
		Long: `Keyturn turns a paid order for digital goods into licence keys, links or files in the customer's
mailbox, or gives the money back. Each order line runs as a durable Temporal workflow; PostgreSQL is
the source of truth.`,
		Example: `  keyturn dev                                     everything on this machine, with sample orders
  keyturn apply -f catalog.yaml                   products, pools and partners
  keyturn pool import orbit-editor-keys keys.txt  fill a pool
  keyturn order show ORD-2026-000123              where an order stands`,
		Version:      keyturn.CurrentBuild().String(),
		SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if text, _ := cmd.Flags().GetString("output"); text != "text" && text != "json" {
				return keyturn.Errorf(keyturn.KindInvalid, "--output is text or json, not %s", text)
			}
			return nil
		},
	}
	root.SetVersionTemplate("keyturn {{.Version}}\n")
	root.PersistentFlags().String("output", "text", "text or json")
	root.AddCommand(
		newDev(), newAPI(), newWorker(), newMigrate(), newKeys(), newToken(), newApply(), newPool(), newOrder(), newLink(),
		newPayment(), newStripe(), newLicense(), newResolve(), newIntegration(), newEmulator(), newDrill(), newBench(),
		newAlert(), newWebhook(), newAudit(), newCustomer(), newMail(), newRestored(), newHealth(),
		newDoctor(), newVersion(),
	)
	explainArguments(root)
	return root
}

// explainArguments has each command show its form when it is called with too few or too many arguments.
func explainArguments(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		explainArguments(c)
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if check(cmd, args) == nil {
				return nil
			}
			return keyturn.Errorf(keyturn.KindInvalid, "too few or too many arguments: use `%s`", cmd.UseLine())
		}
	}
}

// wantJSON says whether the answer is for a program.
func wantJSON(cmd *cobra.Command) bool {
	text, _ := cmd.Flags().GetString("output")
	return text == "json"
}

// show prints a value as JSON, or lets text print it.
func show(cmd *cobra.Command, value any, text func(io.Writer)) error {
	if !wantJSON(cmd) {
		text(cmd.OutOrStdout())
		return nil
	}
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false) // people read it, too
	return e.Encode(value)
}

// explain says an error with the cause that the message leaves out, for the person at the terminal.
func explain(err error) string {
	text := err.Error()
	for cause := err; cause != nil; {
		e, ok := cause.(*keyturn.Error) //nolint:errorlint // the chain is walked here
		if !ok {
			break
		}
		if cause = e.Cause; cause != nil {
			text += ": " + cause.Error()
		}
	}
	return text
}

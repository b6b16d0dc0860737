package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
)

func newIntegrationReplay() *cobra.Command {
	var attempt int
	cmd := &cobra.Command{
		Use: "replay FULFILLMENT", Short: "Replay a stored attempt against today's catalog", Args: cobra.ExactArgs(1),
		Long: `Renders the request of a stored attempt again with today's templates, and evaluates the stored reply
with today's response paths. It calls nobody and changes nothing. The token needs the scope ops.

Codes, links, files and personal data in stored replies are masked. The masks keep what response
paths need, so a replay shows that a code would be found, but not what a conversion template would
make of it. A line in flight sends its stored request again, whatever today's templates are; new
templates apply to new lines.`,
		Example: "  keyturn integration replay 0198d0c4-…\n" +
			"  keyturn integration replay 0198d0c4-… --attempt 3 --output json",
	}
	cmd.Flags().IntVar(&attempt, "attempt", 0, "attempt number; default: the newest attempt with a reply")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		r, err := api.Replay(ctx, args[0], attempt)
		if err != nil {
			return err
		}
		return show(cmd, r, func(w io.Writer) { printReplayed(w, r) })
	})
}

func printReplayed(w io.Writer, r keyturn.Replayed) {
	a := r.Attempt
	fmt.Fprintf(w, "attempt %d, %s at %s, %s: %s", a.No, a.Operation, a.Source,
		a.StartedAt.UTC().Format("2006-01-02 15:04:05 MST"), a.Outcome)
	if a.HTTPStatus != 0 {
		fmt.Fprintf(w, ", HTTP %d", a.HTTPStatus)
	}
	if a.ErrorKind != "" {
		fmt.Fprintf(w, ", %s %s", a.ErrorKind, a.Message)
	}
	fmt.Fprint(w, "\n\nthe request that was stored\n")
	printIndented(w, r.Request.Stored)
	switch {
	case r.Request.Problem != "":
		fmt.Fprintf(w, "\ntoday it could not be made: %s\n", r.Request.Problem)
	case r.Request.Same:
		fmt.Fprintln(w, "\ntoday it would be the same, byte for byte")
	default:
		fmt.Fprintln(w, "\ntoday it would be")
		printIndented(w, r.Request.Today)
	}
	if r.Reply == nil {
		fmt.Fprintln(w, "\n"+r.Meaning)
		return
	}
	printReply(w, *r.Reply)
}

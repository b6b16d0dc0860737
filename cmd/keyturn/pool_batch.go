package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
)

func newPoolBatch() *cobra.Command {
	return withAPI(&cobra.Command{
		Use: "batch POOL BATCH", Short: "Show an import and the progress of its recall",
		Example: "  keyturn pool batch orbit-editor-keys 0198…", Args: cobra.ExactArgs(2),
	}, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		v, err := api.Batch(ctx, args[0], args[1])
		if err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) { printBatch(w, v) })
	})
}

func newPoolUndo() *cobra.Command {
	return withAPI(&cobra.Command{
		Use: "undo POOL BATCH", Short: "Undo an import with no keys sold",
		Example: "  keyturn pool undo orbit-editor-keys 0198…", Args: cobra.ExactArgs(2),
		Long: "Withdraws the keys of an import, provided that none has been sold or quarantined. The same file can be " +
			"imported again.",
	}, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		v, err := api.Batch(ctx, args[0], args[1])
		if err == nil && v.UndoneAt == nil && v.Accepted >= 100_000 {
			fmt.Fprintf(cmd.ErrOrStderr(), "withdrawing %d keys in one transaction: a few seconds per million\n", v.Accepted)
		}
		if err == nil {
			v, err = api.UndoBatch(ctx, args[0], args[1])
		}
		if err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) {
			fmt.Fprintf(w, "undone: %s withdrawn\n", counted(v.Accepted, "key", "keys"))
		})
	})
}

func newPoolRecall() *cobra.Command {
	var r keyturn.RecallRequest
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "recall POOL BATCH --reason TEXT", Short: "Recall an import: quarantine unsold keys, list or replace sold ones",
		Args: cobra.ExactArgs(2),
		Long: `Quarantines the unsold keys of an import and lists the sold ones. With --replace, their customers
receive other keys of the pool by e-mail; if the pool is empty, the next import serves them. It can
be repeated.`,
		Example: `  keyturn pool recall orbit-editor-keys 0198… --reason 'list was published'
  keyturn pool recall orbit-editor-keys 0198… --reason 'list was published' --replace --wait 10m`,
	}
	cmd.Flags().StringVar(&r.Reason, "reason", "", "reason; recorded")
	cmd.Flags().BoolVar(&r.Replace, "replace", false, "send everyone who bought a key another one")
	cmd.Flags().DurationVar(&wait, "wait", 0, "show the progress of replacements for at most this long")
	_ = cmd.MarkFlagRequired("reason")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		v, err := api.Recall(ctx, args[0], args[1], r)
		if err != nil {
			return err
		}
		said := ""
		for end := time.Now().Add(wait); !v.Recall.Complete || v.Recall.Owed > 0 && time.Now().Before(end); {
			if now := fmt.Sprintf("%d %% of the keys are dealt with, %d of %d sold ones replaced", v.Recall.Percent,
				v.Recall.Replaced, v.Recall.Sold); now != said {
				said = now
				fmt.Fprintln(cmd.ErrOrStderr(), now)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(2 * time.Second):
			}
			if v, err = api.Batch(ctx, args[0], args[1]); err != nil {
				return err
			}
		}
		return show(cmd, v, func(w io.Writer) { printBatch(w, v) })
	})
}

func printBatch(w io.Writer, v keyturn.BatchDetail) {
	fmt.Fprintf(w, "batch %s: %s, imported %s by %s%s\n", v.BatchID, counted(v.Accepted, "key", "keys"),
		v.CreatedAt.UTC().Format("2006-01-02 15:04"), v.CreatedBy, batchNote(v.BatchView))
	if v.Recall == nil {
		return
	}
	if !v.Recall.Complete {
		fmt.Fprintf(w, "  recall in progress: %d %% of the keys processed\n", v.Recall.Percent)
	}
	fmt.Fprintf(w, "  recalled: %s\n  sold %d: %d replaced, %d still to be replaced, %d that need none (refunded or "+
		"upgraded)\n", v.Recall.Reason, v.Recall.Sold, v.Recall.Replaced, v.Recall.Owed, v.Recall.Void)
	for i, k := range v.Recall.Keys {
		if i == 20 {
			fmt.Fprintln(w, "  … (--output json lists more)")
			break
		}
		fmt.Fprintf(w, "  %-6s order %s, fulfillment %s, unit %d\n", k.Status, k.OrderID, k.FulfillmentID, k.Unit)
	}
}

// withKey makes a command that does something with one key. The key comes from standard input: arguments are seen by
// everybody on the machine, and are kept in the shell's history.
func withKey(use, short, long, action string, needReason bool) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		Long:    long + " The key is read from standard input, so that it stands in no history and no list of processes.",
		Example: "  keyturn pool " + strings.Fields(use)[0] + " orbit-editor-keys < key.txt",
	}
	if needReason {
		cmd.Flags().StringVar(&reason, "reason", "", "reason; recorded")
		_ = cmd.MarkFlagRequired("reason")
		cmd.Example = "  keyturn pool " + strings.Fields(use)[0] + " orbit-editor-keys --reason 'posted in a forum' < key.txt"
	}
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 64<<10))
		if err != nil {
			return err
		}
		v, err := api.Key(ctx, args[0], action,
			keyturn.KeyRequest{Key: string(text), Reason: reason})
		if err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) { printKey(w, v) })
	})
}

func newPoolKey() *cobra.Command {
	return withKey("key POOL", "Tell the life of one key",
		"Says who imported a key, who has it, and every step with who made it and why.", "lookup", false)
}

func newPoolQuarantine() *cobra.Command {
	return withKey("quarantine POOL --reason TEXT", "Put an unsold key aside for ever",
		"Takes a key out of the sale for ever. A sold one is replaced instead.", "quarantine", true)
}

func newPoolReplace() *cobra.Command {
	return withKey("replace POOL --reason TEXT", "Give whoever has this key another one",
		"Recalls a sold key, such as one that leaked, and gives its customer another one of the pool by e-mail.",
		"replacement", true)
}

func printKey(w io.Writer, v keyturn.KeyView) {
	fmt.Fprintf(w, "%s in pool %s, of batch %s\n", v.State, v.PoolID, v.BatchID)
	for _, s := range v.History {
		fmt.Fprintf(w, "  %s  %-11s by %s: %s", s.At.UTC().Format("2006-01-02 15:04:05"), s.To, s.By, s.Reason)
		if s.FulfillmentID != "" {
			fmt.Fprintf(w, " (order %s, fulfillment %s)", s.OrderID, s.FulfillmentID)
		}
		fmt.Fprintln(w)
	}
}

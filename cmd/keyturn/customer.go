package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/db"
)

func newCustomer() *cobra.Command {
	cmd := &cobra.Command{
		Use: "customer", Short: "Erase personal data and manage the list of erasures",
		Example: "  keyturn customer erase user-abc123\n  keyturn customer erasures > erasures.jsonl\n  keyturn customer " +
			"replay erasures.jsonl",
	}
	cmd.AddCommand(newErase(), newErasures(), newReplay())
	return cmd
}

func newErase() *cobra.Command {
	return withAPI(&cobra.Command{
		Use: "erase CUSTOMER", Short: "Erase a customer's personal data", Args: cobra.ExactArgs(1),
		Long: `Erases everything that identifies a customer, by the shop's customer ID: names, addresses, e-mails,
and what partners were asked and what they returned. Orders, lines and amounts remain. It is
refused, naming the orders, while a line is open or something is owed: a refund, a cancel at a partner,
the replacement of a key. It can be repeated. Export the list of erasures afterwards (keyturn customer
erasures): a database restored from an older backup needs it (keyturn customer replay).`,
		Example: "  keyturn customer erase user-abc123",
	}, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		e, err := api.EraseCustomer(ctx, args[0])
		if err != nil {
			return err
		}
		return show(cmd, e, func(w io.Writer) {
			if e.Repeated {
				fmt.Fprintf(w, "there was nothing left to erase; erased %s\n", e.ErasedAt.UTC().Format(time.DateTime))
				return
			}
			fmt.Fprintf(w, "erased: %s with %s; export the list now (keyturn customer erasures)\n",
				counted(e.Orders, "order", "orders"), counted(e.Lines, "line", "lines"))
		})
	})
}

const databaseEnv = "\n\nIt works on the database itself, with the settings KEYTURN_DATABASE_URL and KEYTURN_KEYS."

func newErasures() *cobra.Command {
	return &cobra.Command{
		Use: "erasures", Short: "Print the list of erasures", Args: cobra.NoArgs,
		Long: "Prints the list of erasures, one JSON line each. It identifies customers by a hash that requires this " +
			"installation's\nkey file. Store it separately from the database's backups." + databaseEnv,
		Example: "  keyturn customer erasures > erasures.jsonl",
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := databaseFromEnv().open(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { _ = d.Close() }()
			list, err := d.Erasures(cmd.Context())
			if err != nil {
				return err
			}
			lines := json.NewEncoder(cmd.OutOrStdout())
			for _, e := range list {
				if err := lines.Encode(e); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func newReplay() *cobra.Command {
	return &cobra.Command{
		Use: "replay FILE", Short: "Repeat erasures after a restore", Args: cobra.ExactArgs(1),
		Long: `Repeats the erasures of a list (keyturn customer erasures) in a restored database, before API and
workers start. Only orders from before each erasure are erased. It can be repeated; - reads standard
input. The exit status is 1 while a customer cannot be erased because an order is open in the
restored database: start the workers, let them complete it, and replay again.` + databaseEnv,
		Example: "  keyturn customer replay erasures.jsonl",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := readErasures(args[0])
			if err != nil {
				return err
			}
			d, err := databaseFromEnv().open(cmd.Context())
			if err != nil {
				return err
			}
			defer func() { _ = d.Close() }()
			done, err := d.ReplayErasures(cmd.Context(), list, "replay")
			if err != nil {
				return err
			}
			if err := show(cmd, done, func(w io.Writer) {
				fmt.Fprintf(w, "erased again: %s; nothing of %d was there\n",
					counted(done.Erased, "customer", "customers"), done.Gone)
				for _, refused := range done.Refused {
					fmt.Fprintln(w, "not yet:", refused)
				}
			}); err != nil {
				return err
			}
			if done.Open > 0 {
				return keyturn.Errorf(keyturn.KindConflict,
					"%s could not be erased yet: replay the list again once their orders are complete",
					counted(done.Open, "customer", "customers"))
			}
			return nil
		},
	}
}

// readErasures reads a list of JSON lines; nothing of a list that has a bad line is used.
func readErasures(name string) ([]db.Erasure, error) {
	in, _, err := openInput(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	list := []db.Erasure{}
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var e db.Erasure
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || len(e.CustomerHash) == 0 || e.ErasedAt.IsZero() {
			return nil, keyturn.Errorf(keyturn.KindInvalid,
				"line %d of %s is not an erasure: use the output of `keyturn customer erasures`", n, name)
		}
		list = append(list, e)
	}
	return list, lines.Err()
}

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn/cmd/keyturn/bench"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack"
)

func newBenchPools() *cobra.Command {
	b := bench.Pools{}
	var dataDir string
	cmd := &cobra.Command{
		Use: "pools", Short: "Measure key pools next to plain inserts and COPY", Args: cobra.NoArgs,
		Long: `Measures claims a second by several numbers of claimers, in turn with plain inserts-and-commits by as many clients; an
import next to COPY of the same encrypted rows into a table without an index; pools of several sizes, from which eight
claimers take the same number of keys in turn, and how long their stock figures and forecast take; the first and the
last claims of a pool that is sold out (in lines of twenty keys in between), while PostgreSQL cleans up as it likes.

A claim is the statement that takes a line's keys, in a transaction of its own. Without KEYTURN_DATABASE_URL and
KEYTURN_KEYS it starts a PostgreSQL of its own; it leaves keys behind that belong to no line, so never point it at a
database that is in use.`,
		Example: "  keyturn bench pools\n  keyturn bench pools --sizes 10000,10000000 --life 0 --import 0 --output json",
	}
	cmd.Flags().IntSliceVar(&b.Claimers, "claimers", []int{1, 8, 32, 64}, "how many claim at once")
	cmd.Flags().IntVar(&b.Size, "size", 200_000, "size of the pool that they claim from; 0: none")
	cmd.Flags().IntSliceVar(&b.Sizes, "sizes", []int{10_000, 1_000_000, 10_000_000}, "sizes of pools that are compared")
	cmd.Flags().IntVar(&b.Life, "life", 1_000_000, "size of the pool that is sold out; 0: none")
	cmd.Flags().IntVar(&b.Import, "import", 1_000_000, "keys of the import; 0: none")
	cmd.Flags().DurationVar(&b.Each, "each", 2*time.Second, "how long each measure takes")
	cmd.Flags().IntVar(&b.Rounds, "rounds", 3, "measures of each kind, in turn; the median counts")
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "where the embedded PostgreSQL keeps its state; default: a temporary folder")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b.Progress = cmd.ErrOrStderr()
		d, stop, err := benchDatabase(cmd.Context(), dataDir, b.Progress)
		defer stop()
		if err != nil {
			return err
		}
		b.DB = d
		report, err := b.Run(cmd.Context())
		if err != nil {
			return err
		}
		return show(cmd, report, report.Print)
	}
	return cmd
}

// benchDatabase opens the database of the settings, or starts one.
func benchDatabase(ctx context.Context, path string, progress io.Writer) (d *db.DB, stop func(), err error) {
	stop = func() {}
	if os.Getenv("KEYTURN_DATABASE_URL") != "" {
		if _, err = db.Migrate(ctx, os.Getenv("KEYTURN_DATABASE_URL")); err == nil {
			d, err = openDatabase(ctx)
		}
		return d, stop, err
	}
	temporary := path == ""
	if temporary {
		if path, err = os.MkdirTemp("", "keyturn-bench-"); err != nil {
			return nil, stop, err
		}
	}
	dir, err := devstack.Open(path)
	if err != nil {
		return nil, stop, err
	}
	var postgres *devstack.Postgres
	stop = func() {
		if d != nil {
			_ = d.Close()
		}
		if postgres != nil {
			stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
			defer cancel()
			_ = postgres.Stop(stopping)
			if temporary {
				_ = os.RemoveAll(postgres.Home()) // elsewhere, where it runs as another user
			}
		}
		_ = dir.Close()
		if temporary {
			_ = os.RemoveAll(path)
		}
	}
	fmt.Fprintln(progress, "starting PostgreSQL")
	if postgres, err = devstack.StartPostgres(ctx, dir, devstack.PostgresOptions{Progress: func(text string) { fmt.Fprintln(progress, text) }}); err != nil {
		return nil, stop, err
	}
	if err = postgres.CreateDatabase(ctx, "keyturn"); err != nil {
		return nil, stop, err
	}
	keysFile := filepath.Join(path, "keys.json")
	if _, statErr := os.Stat(keysFile); os.IsNotExist(statErr) {
		if err = db.CreateKeys(keysFile); err != nil {
			return nil, stop, err
		}
	}
	if _, err = db.Migrate(ctx, postgres.DSN("keyturn")); err != nil {
		return nil, stop, err
	}
	keys, err := db.LoadKeys(keysFile)
	if err != nil {
		return nil, stop, err
	}
	d, err = db.Open(ctx, postgres.DSN("keyturn"), keys)
	return d, stop, err
}

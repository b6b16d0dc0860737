package main

import (
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn/bench"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/vault"
)

func newBenchPools() *cobra.Command {
	b := bench.Pools{}
	var dataDir string
	cmd := &cobra.Command{
		Use: "pools", Short: "Measure what key pools must hold", Args: cobra.NoArgs,
		Long: `Measures the import of keys and its undo; claims per second with several numbers of claimers; pools
of several sizes, each sold to eight claimers in turn, with the time that stock figures and forecast
take; and the first and last claims of a pool that is sold out, in lines of twenty keys in between.
PostgreSQL vacuums as usual meanwhile.

The report states the required values. A claim is the statement that takes a line's keys, in a
transaction of its own. By default it starts its own PostgreSQL. With KEYTURN_DATABASE_URL and
KEYTURN_KEYS it uses that database and leaves keys behind that belong to no line: never point it at
a database in use.`,
		Example: "  keyturn bench pools\n  keyturn bench pools --sizes 10000,10000000 --life 0 --import 0 --output json",
	}
	cmd.Flags().IntSliceVar(&b.Claimers, "claimers", []int{1, 8, 32, 64}, "numbers of concurrent claimers")
	cmd.Flags().IntVar(&b.Size, "size", 500_000, "size of the pool that they claim from; 0: skip")
	cmd.Flags().IntSliceVar(&b.Sizes, "sizes", []int{10_000, 1_000_000, 10_000_000}, "pool sizes to compare")
	cmd.Flags().IntVar(&b.Life, "life", 1_000_000, "size of the pool to sell out; 0: skip")
	cmd.Flags().IntVar(&b.Import, "import", 1_000_000, "keys to import; 0: skip")
	cmd.Flags().DurationVar(&b.Each, "each", 2*time.Second, "duration of each measurement")
	cmd.Flags().IntVar(&b.Rounds, "rounds", 3, "measurements of each kind; the median counts")
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "directory of the embedded PostgreSQL; default: a temporary one")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b.Progress = cmd.ErrOrStderr()
		servers, err := benchServers(cmd.Context(), dataDir, b.Progress)
		if err != nil {
			return err
		}
		defer servers.Stop()
		keys, err := vault.LoadKeys(servers.KeysFile)
		if err != nil {
			return err
		}
		if b.DB, err = db.Open(cmd.Context(), servers.DatabaseURL, keys); err != nil {
			return err
		}
		defer func() { _ = b.DB.Close() }()
		report, err := b.Run(cmd.Context())
		if err != nil {
			return err
		}
		return show(cmd, report, report.Print)
	}
	return cmd
}

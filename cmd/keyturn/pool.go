package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
)

func newPool() *cobra.Command {
	cmd := &cobra.Command{
		Use: "pool", Short: "Manage key pools",
		Example: "  keyturn pool import orbit-editor-keys keys.txt\n  keyturn pool show orbit-editor-keys",
	}
	cmd.AddCommand(newPoolImport(), newPoolShow(), newPoolBatch(), newPoolUndo(), newPoolRecall(), newPoolKey(),
		newPoolQuarantine(), newPoolReplace())
	return cmd
}

func newPoolImport() *cobra.Command {
	var o client.ImportOptions
	var header string
	cmd := &cobra.Command{
		Use: "import POOL FILE…", Short: "Import files of keys", Args: cobra.MinimumNArgs(2),
		Long: `Imports keys in UTF-8: text with one key per line, or a .csv or .tsv file with the key in one column;
- reads text from standard input, or CSV if --column is set. Each file is one batch and is imported as
a whole or not at all: an invalid row refuses the file and is reported with its line, unless
--skip-bad is set. A first row that looks like a header refuses the file too: say --header to skip
it, or --header=no if it is a key. Importing a file twice adds nothing. Lines waiting for the pool are
served. Try a file from a new source with --dry-run: it shows how the file is read.`,
		Example: `  keyturn pool import orbit-editor-keys keys.txt
  keyturn pool import orbit-editor-keys keys.txt --dry-run
  keyturn pool import orbit-editor-keys june.csv july.csv --column key --expiry-column "valid until"
  publisher-tool | keyturn pool import orbit-editor-keys - --skip-bad`,
	}
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "show the result, without importing")
	cmd.Flags().BoolVar(&o.SkipBad, "skip-bad", false, "import the valid rows of a file that has invalid ones")
	cmd.Flags().StringVar(&o.Column, "column", "", "CSV: column of the key, by name or by number from 1")
	cmd.Flags().StringVar(&o.ExpiryColumn, "expiry-column", "", "CSV: column of the key's expiry, by name or by number")
	cmd.Flags().StringVar(&header, "header", "", "the first row is a header, not a key; =no: it is a key")
	cmd.Flags().Lookup("header").NoOptDefVal = string(keyturn.HeaderYes)
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		var err error
		if o.Header, err = keyturn.ParseHeaderRow(header); err != nil {
			return err
		}
		results := map[string]keyturn.ImportResult{}
		for _, name := range args[1:] {
			result, err := importFile(ctx, cmd, api, args[0], name, o)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if results[name] = result; !wantJSON(cmd) {
				printImport(cmd.OutOrStdout(), name, result)
			}
		}
		if len(args) == 2 {
			return show(cmd, results[args[1]], func(io.Writer) {})
		}
		return show(cmd, results, func(io.Writer) {})
	})
}

func importFile(ctx context.Context, cmd *cobra.Command, api *client.Client, pool, name string,
	o client.ImportOptions,
) (keyturn.ImportResult, error) {
	keys, size, err := openInput(name)
	if err != nil {
		return keyturn.ImportResult{}, err
	}
	if name == "-" {
		keys = io.NopCloser(cmd.InOrStdin())
	}
	defer func() { _ = keys.Close() }()
	ext := strings.ToLower(filepath.Ext(name))
	o.CSV = ext == ".csv" || ext == ".tsv" || o.Column != ""
	bar := newBar(cmd.ErrOrStderr(), size)
	defer bar.end()
	return api.ImportKeys(ctx, pool, client.Progress(keys, bar.set), o)
}

func printImport(w io.Writer, name string, r keyturn.ImportResult) {
	verb := "imported"
	if r.DryRun {
		verb = "would import"
	}
	fmt.Fprintf(w, "%s: %s %s", name, verb, counted(r.Accepted, "key", "keys"))
	if r.BatchID != "" {
		fmt.Fprintf(w, " as batch %s", r.BatchID)
	}
	if !r.DryRun {
		fmt.Fprintf(w, "; %s served", counted(r.Served, "waiting line", "waiting lines"))
	}
	if r.Waiting > 0 {
		fmt.Fprintf(w, ", %s", counted(r.Waiting, "still waits", "still wait"))
	}
	fmt.Fprintln(w)
	if r.Preview != nil {
		printPreview(w, *r.Preview)
	}
	for _, reason := range slices.Sorted(maps.Keys(r.Counts)) {
		fmt.Fprintf(w, "  %d not taken: %s\n", r.Counts[reason], reason)
	}
	for i, line := range r.Rejected {
		if i == 20 {
			fmt.Fprintln(w, "  … (--output json lists more)")
			break
		}
		fmt.Fprintf(w, "  line %d: %s\n", line.Line, line.Reason)
	}
}

// printPreview says how a file was read.
func printPreview(w io.Writer, p keyturn.ImportPreview) {
	fmt.Fprintf(w, "  %s", counted(p.Rows, "row", "rows"))
	switch {
	case len(p.Columns) > 0:
		fmt.Fprintf(w, " below the header %s", strings.Join(p.Columns, ", "))
	case p.Header:
		fmt.Fprint(w, " below a header")
	default:
		fmt.Fprint(w, " without a header")
	}
	if p.Separator != "" {
		fmt.Fprintf(w, ", separated by %q", p.Separator)
	}
	if p.FirstKey != "" {
		fmt.Fprintf(w, "; the first key is %s", p.FirstKey)
	}
	fmt.Fprintln(w)
	if p.Unlike > 0 {
		fmt.Fprintf(w, "  %s unlike the rest: check the column and the file\n",
			counted(p.Unlike, "key looks", "keys look"))
	}
}

func newPoolShow() *cobra.Command {
	return withAPI(&cobra.Command{
		Use: "show POOL", Short: "Show a pool's stock, its forecast and its imports", Args: cobra.ExactArgs(1),
		Example: "  keyturn pool show orbit-editor-keys\n  keyturn pool show orbit-editor-keys --output json",
	}, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		v, err := api.Pool(ctx, args[0])
		if err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) { printPool(w, v) })
	})
}

func printPool(w io.Writer, v keyturn.PoolView) {
	s := v.Stock
	fmt.Fprintf(w, "%s %s\n", v.ID, v.Name)
	fmt.Fprintf(w, "  available %d, claimed %d, delivered %d, quarantined %d, recalled %d, expired %d, withdrawn %d\n",
		s.Available, s.Claimed, s.Delivered, s.Quarantined, s.Recalled, s.Expired, s.Withdrawn)
	fmt.Fprintf(w, "  lines waiting %d; alert below %d\n", s.Waiting, v.Threshold)
	if v.Forecast.HoursLeft != nil {
		fmt.Fprintf(w, "  lasts another %.1f hours at %.1f keys an hour\n", *v.Forecast.HoursLeft, v.Forecast.PerHour)
	} else {
		fmt.Fprintln(w, "  no forecast: no key was taken in the last day, or there is no hour of sales to tell by yet")
	}
	for _, b := range v.Batches {
		fmt.Fprintf(w, "  batch %s  %s  %8d keys  by %s%s\n", b.BatchID, b.CreatedAt.UTC().Format("2006-01-02 15:04"),
			b.Accepted, b.CreatedBy, batchNote(b))
	}
}

func batchNote(b keyturn.BatchView) string {
	switch {
	case b.UndoneBy != "":
		return ", undone by " + b.UndoneBy
	case b.UndoneAt != nil: // before that was noted
		return ", undone"
	case b.RecalledAt != nil:
		return ", recalled"
	}
	return ""
}

func openInput(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(os.Stdin), 0, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

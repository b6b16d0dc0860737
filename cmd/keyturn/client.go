package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalogfile"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/devstack/emulator"
)

// withAPI adds the flags that say where the API is, and gives its client to run.
func withAPI(cmd *cobra.Command, run func(context.Context, *cobra.Command, *client.Client,
	[]string) error,
) *cobra.Command {
	address := cmd.Flags().String("api", envOr("KEYTURN_API", "http://127.0.0.1:8080"), "address of the API (KEYTURN_API)")
	token := cmd.Flags().String("token", "", "API token (KEYTURN_TOKEN; dev on the development stack)")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if *token == "" {
			if *token, err = secretFromEnv(tokenEnv); err != nil {
				return err
			}
		}
		if *token == "" {
			*token = devToken
		}
		return sayAddress(run(cmd.Context(), cmd, &client.Client{BaseURL: *address, Token: *token}, args))
	}
	return cmd
}

// sayAddress says of an API that cannot be reached what gives its address.
func sayAddress(err error) error {
	if _, unreached := errors.AsType[*url.Error](err); !unreached {
		return err
	}
	e, ok := errors.AsType[*keyturn.Error](err)
	if !ok {
		return err
	}
	said := *e
	said.Message += ", which --api or KEYTURN_API gives"
	return &said
}

// checkLimit refuses a --limit that the API would take for none at all.
func checkLimit(limit int) error {
	if limit < 1 {
		return keyturn.Errorf(keyturn.KindInvalid, "--limit must be between 1 and 200")
	}
	return nil
}

func newApply() *cobra.Command {
	var file string
	var dryRun bool
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Apply a catalog file",
		Long: `Changes the shop's settings and creates and updates the products, pools, integrations and webhooks of
a YAML file, and leaves all others unchanged. Applying a file twice changes nothing. The whole file is
validated first: one error, and nothing is applied. Errors are reported with their line. Secrets are
given as {env: NAME} or {file: PATH} and resolved by this command.`,
		Example: "  keyturn apply -f catalog.yaml --dry-run\n  keyturn apply -f catalog.yaml", Args: cobra.NoArgs,
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the catalog file")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would change, without changing it")
	_ = cmd.MarkFlagRequired("file")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, _ []string) error {
		catalog, err := catalogfile.Read(file, os.LookupEnv)
		if err != nil {
			return err
		}
		applied, err := catalog.Apply(ctx, api, dryRun)
		if err != nil {
			return err
		}
		return show(cmd, applied, func(w io.Writer) {
			for _, a := range applied {
				fmt.Fprintf(w, "%-11s %-30s %s\n", a.Kind, a.ID, a.Change.Change)
				if a.NewSecret != "" {
					fmt.Fprintf(w, "    its secret, which is not shown again: %s\n", a.NewSecret)
				}
				for _, d := range a.Differences {
					if a.Change.Change == "changed" {
						fmt.Fprintf(w, "    %s: %s → %s\n", d.Location, d.From, d.To)
					}
				}
			}
		})
	})
}

func newResolve() *cobra.Command {
	var r keyturn.ResolutionRequest
	var until, keysFile string
	cmd := &cobra.Command{
		Use: "resolve FULFILLMENT ACTION", Short: "Resolve a line by hand: retry, supply, refund, hold, release or extend",
		Args: cobra.ExactArgs(2),
		Long: `Resolves a line, by its fulfillmentId:
  retry     try again now
  supply    deliver these keys instead (--keys FILE, one per line, or a .csv file with
            one per row, in quotes if it has several lines; - reads standard input)
  refund    give up now and refund
  hold      stop retrying until released, or until --until; the deadline still applies
  release   continue after hold
  extend    move the deadline to --until`,
		Example: "  keyturn resolve 0198… retry\n  keyturn resolve 0198… supply --keys keys.txt --reason 'sent by the " +
			"publisher'\n  keyturn resolve 0198… extend --until 24h",
	}
	cmd.Flags().StringVar(&r.Reason, "reason", "", "reason; recorded")
	cmd.Flags().StringVar(&until, "until", "", "a time (2026-06-15T12:00:00Z) or a duration from now (24h)")
	cmd.Flags().StringVar(&keysFile, "keys", "", "file with one key per unit, for supply")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) (err error) {
		r.Action = keyturn.Action(args[1])
		if r.Until, err = parseUntil(until); err != nil {
			return err
		}
		if keysFile != "" {
			in, _, err := openInput(keysFile)
			if err != nil {
				return err
			}
			defer func() { _ = in.Close() }()
			if r.Keys, err = readKeys(in, strings.EqualFold(filepath.Ext(keysFile), ".csv")); err != nil {
				return fmt.Errorf("%s: %w", keysFile, err)
			}
		}
		line, err := api.Resolve(ctx, args[0], r)
		if err != nil {
			return err
		}
		return show(cmd, line, func(w io.Writer) { printLines(w, []keyturn.LineView{line}) })
	})
}

// readKeys reads one key per line that has something in it, or per row of CSV.
func readKeys(in io.Reader, isCSV bool) (keys []string, err error) {
	text, err := io.ReadAll(io.LimitReader(in, 64<<20))
	if err != nil {
		return nil, err
	}
	var all []string
	if isCSV {
		r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\uFEFF"))))
		r.FieldsPerRecord = 1
		rows, err := r.ReadAll()
		if err != nil {
			return nil, err
		}
		all = slices.Concat(rows...)
	} else {
		all = strings.FieldsFunc(string(text), func(c rune) bool { return c == '\n' || c == '\r' })
	}
	for _, key := range all {
		if clean, err := keyturn.CleanKey(key); err != nil || clean != "" {
			keys = append(keys, key) // what is no key is refused by its number
		}
	}
	return keys, nil
}

func parseUntil(text string) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		t := time.Now().Add(d)
		return &t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindInvalid,
			"--until must be a time such as 2026-06-15T12:00:00Z or a duration such as 24h")
	}
	return &t, nil
}

func newEmulator() *cobra.Command {
	var listen, dir string
	cmd := &cobra.Command{
		Use: "emulator", Short: "Run the partner emulator",
		Long: "Emulates partners over HTTP: the default contract, dynamic URLs and custom shapes, with every way to " +
			"fail as a drill. The page /_emulator/ lists requests, partners and drills.",
		Example: "  keyturn emulator --listen 127.0.0.1:8090\n  curl -X POST -H 'X-Drill: slow:2s' " +
			"'http://127.0.0.1:8090/dynamic?id=orbit'", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s := emulator.New(emulator.Config{Addr: listen, Dir: dir})
			if err := s.Start(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "emulating partners at %s; control page at %s/_emulator/\n", s.URL(), s.URL())
			<-cmd.Context().Done()
			return s.Close()
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8090", "address to listen on")
	cmd.Flags().StringVar(&dir, "dir", "", "directory of the request log; default: in memory")
	return cmd
}

// printLines prints lines as a table.
func printLines(w io.Writer, lines []keyturn.LineView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FULFILLMENT\tOPERATION\tPRODUCT\tQTY\tPRICE\tSTATUS\tATTEMPTS\tNEXT ATTEMPT\tDEADLINE\tLAST ERROR")
	for _, l := range lines {
		failure := ""
		if l.LastError != nil {
			failure = string(l.LastError.Kind) + ": " + l.LastError.Message
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%d\t%s\t%s\t%s\n", l.FulfillmentID, l.Operation, l.ProductID, l.Quantity,
			l.GrossPrice, l.Status, l.Attempts, nextAttempt(l), when(l.GiveUpAt), failure)
	}
	_ = t.Flush()
}

func nextAttempt(l keyturn.LineView) string {
	if l.PartnerDown {
		return "when the partner is back"
	}
	return when(l.NextAttemptAt)
}

func when(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format("01-02 15:04:05")
}

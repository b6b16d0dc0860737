package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
)

func newLicense() *cobra.Command {
	cmd := &cobra.Command{
		Use: "license", Short: "Show licences and operate on them",
		Example: "  keyturn license show 0198c2d4-…\n  keyturn license operate 0198c2d4-… pause",
	}
	var keys bool
	showOne := &cobra.Command{
		Use: "show LICENSE", Short: "Show a licence and its operations", Args: cobra.ExactArgs(1),
		Long: "Shows a licence by its ID, which is the fulfillmentId of the order line that created it, with its " +
			"completed and pending operations.",
		Example: "  keyturn license show 0198c2d4-…\n  keyturn license show 0198c2d4-… --keys",
	}
	showOne.Flags().BoolVar(&keys, "keys", false, "include the keys; access is recorded")
	cmd.AddCommand(withAPI(showOne, func(ctx context.Context, cmd *cobra.Command, api *client.Client,
		args []string,
	) error {
		v, err := api.License(ctx, args[0], keys)
		if err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) { printLicense(w, v) })
	}))
	list := &cobra.Command{
		Use: "list CUSTOMER", Short: "List a customer's licences, the newest first",
		Example: "  keyturn license list user-abc123", Args: cobra.ExactArgs(1),
	}
	cmd.AddCommand(withAPI(list, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		found, err := api.Licenses(ctx, args[0], false)
		if err != nil {
			return err
		}
		return show(cmd, found, func(w io.Writer) {
			t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "LICENSE\tPRODUCT\tQTY\tSTATUS\tEXPIRES\tORDER")
			for _, v := range found {
				fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\n", v.ID, v.ProductID, v.Quantity, v.Status, until(v), v.OrderID)
			}
			_ = t.Flush()
		})
	}))
	cmd.AddCommand(newLicenseOperate())
	return cmd
}

func newLicenseOperate() *cobra.Command {
	var product, term, key string
	cmd := &cobra.Command{
		Use: "operate LICENSE OPERATION", Short: "Renew, upgrade, pause, resume or cancel a licence",
		Args: cobra.ExactArgs(2),
		Long: `Has an operation carried out on a licence, by its ID. It becomes an order that costs nothing, which is shown.
  renew     a new term, to --until if the source does not say its end
  upgrade   makes it a licence of --product, for the rest of its term
  pause     its key stops working until it is resumed
  resume    its key works again
  cancel    ends it for good and gives up what is under way; it gives no money back (keyturn order cancel does)`,
		Example: "  keyturn license operate 0198c2d4-… pause\n  keyturn license operate 0198c2d4-… renew --until " +
			"2028-06-15T00:00:00Z\n  keyturn license operate 0198c2d4-… upgrade --product acme-suite",
	}
	cmd.Flags().StringVar(&product, "product", "", "for upgrade: the product to upgrade to")
	cmd.Flags().StringVar(&term, "until", "",
		"for renew and resume: a time (2028-06-15T00:00:00Z) or a duration from now (8760h)")
	cmd.Flags().StringVar(&key, "idempotency-key", "", "makes a repeated command one operation; default: generated")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		expires, err := parseUntil(term)
		if err != nil {
			return err
		}
		if key == "" {
			key = uuid.NewString()
		}
		v, err := api.OperateLicense(ctx, key, args[0],
			keyturn.LicenseOperation{Operation: keyturn.OperationName(args[1]), ProductID: product, ExpiresAt: expires})
		if err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) { printOrder(w, v) })
	})
}

func printLicense(w io.Writer, v keyturn.LicenseView) {
	fmt.Fprintf(w, "%s  %s  %s × %d  until %s\n", v.ID, v.Status, v.ProductID, v.Quantity, until(v))
	fmt.Fprintf(w, "order    %s\nsource   %s\n", v.OrderID, v.Source)
	if v.SubscriptionID != "" {
		fmt.Fprintf(w, "subscription  %s\n", v.SubscriptionID)
	}
	for _, code := range v.ActivationCodes {
		fmt.Fprintf(w, "key      %s\n", code)
	}
	for _, link := range v.ActivationLinks {
		fmt.Fprintf(w, "link     %s\n", link)
	}
	if len(v.Operations) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "OPERATION\tSTATUS\tLICENSE\tACCEPTED\tDONE\tFULFILLMENT\tORDER")
	for _, op := range v.Operations {
		change := "-"
		if op.To != "" {
			change = string(op.From) + " → " + string(op.To)
		}
		if op.WithdrawnAt != nil {
			change += ", taken back"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", op.Operation, op.Status, change, when(&op.CreatedAt),
			when(op.DeliveredAt), op.FulfillmentID, op.OrderID)
	}
	_ = t.Flush()
}

func until(v keyturn.LicenseView) string {
	if v.ExpiresAt == nil {
		return "-"
	}
	return v.ExpiresAt.UTC().Format("2006-01-02 15:04:05")
}

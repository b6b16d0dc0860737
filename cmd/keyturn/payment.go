package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
)

func newPayment() *cobra.Command {
	const example = "0198a5b1-40d2-7e33-9b5a-6c8d0e2f4a61"
	cmd := &cobra.Command{
		Use: "payment", Short: "Show, list, refresh and resolve payments of checkout links",
		Example: "  keyturn payment show " + example + "\n  keyturn payment list --status MISMATCH",
	}
	cmd.AddCommand(withAPI(&cobra.Command{
		Use: "show PAYMENT", Short: "Show a payment", Example: "  keyturn payment show " + example,
		Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		v, err := api.Payment(ctx, args[0])
		if err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) { printPayment(w, v) })
	}))
	var status string
	limit := 50
	list := &cobra.Command{
		Use: "list", Short: "List payments, the newest first",
		Example: "  keyturn payment list --status MISMATCH", Args: cobra.NoArgs,
	}
	list.Flags().StringVar(&status, "status", "", "only payments with this status")
	list.Flags().IntVar(&limit, "limit", limit, "number of payments, 1 to 200")
	cmd.AddCommand(withAPI(list, func(ctx context.Context, cmd *cobra.Command, api *client.Client, _ []string) error {
		if err := checkLimit(limit); err != nil {
			return err
		}
		page, err := api.Payments(ctx, keyturn.PaymentStatus(status), "", limit)
		if err != nil {
			return err
		}
		return show(cmd, page, func(w io.Writer) { printPayments(w, page.Payments) })
	}))
	cmd.AddCommand(withAPI(&cobra.Command{
		Use: "refresh PAYMENT", Short: "Ask the payment provider where a payment stands", Args: cobra.ExactArgs(1),
		Long: "Has the payment provider asked where a payment stands, in the background. The payment follows what it " +
			"says: show it in a moment.",
		Example: "  keyturn payment refresh " + example,
	}, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		v, err := api.RefreshPayment(ctx, args[0])
		if err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) { printPayment(w, v) })
	}))
	cmd.AddCommand(newPaymentResolve(example))
	return cmd
}

func newPaymentResolve(example string) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "resolve PAYMENT accept|giveBack", Short: "Decide on a payment of another sum than was asked for",
		Args: cobra.ExactArgs(2),
		Long: "Decides on a payment that is MISMATCH: the customer has paid another sum than was asked for. accept accepts " +
			"its order and keeps at most what that costs; giveBack gives all of it back, and the link is open again.",
		Example: "  keyturn payment resolve " + example + " accept --reason \"a cent of rounding\"",
	}
	cmd.Flags().StringVar(&reason, "reason", "", "reason; recorded")
	_ = cmd.MarkFlagRequired("reason")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		v, err := api.ResolvePayment(ctx, args[0], keyturn.PaymentResolution{
			Action: keyturn.PaymentAction(args[1]), Reason: reason,
		})
		if err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) { printPayment(w, v) })
	})
}

// printPayment shows a payment with what a person needs to find it elsewhere: its link, and its name at the provider.
func printPayment(w io.Writer, v keyturn.PaymentView) {
	printPayments(w, []keyturn.PaymentView{v})
	captureBy := ""
	if v.CaptureBy != nil {
		captureBy = v.CaptureBy.UTC().Format("2006-01-02 15:04 MST")
	}
	for _, fact := range []struct{ name, value string }{
		{"link", v.LinkID},
		{"reference", v.Reference},
		{"capture by", captureBy},
		{"failure", v.Failure},
		{"blanked", blankedText(v.BlankedAt)},
	} {
		if fact.value != "" {
			fmt.Fprintf(w, "%-10s %s\n", fact.name, fact.value)
		}
	}
}

func printPayments(w io.Writer, payments []keyturn.PaymentView) {
	if len(payments) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PAYMENT\tSINCE\tSTATUS\tTOTAL\tAUTHORIZED\tCAPTURED\tREFUNDED\tPROVIDER\tORDER")
	for _, p := range payments {
		order := p.OrderID
		if order == "" {
			order = "-"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s %s\t%s\t%s\t%s\t%s\t%s\n", p.ID, p.CreatedAt.UTC().Format(time.DateTime), p.Status,
			p.Total, p.Currency, p.Authorized, p.Captured, p.Refunded, p.Provider, order)
	}
	_ = t.Flush()
}

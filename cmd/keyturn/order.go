package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
)

func newOrder() *cobra.Command {
	cmd := &cobra.Command{
		Use: "order", Short: "Place, show, list, cancel and refund orders",
		Example: "  keyturn order create -f order.json\n  keyturn order show ORD-2026-000123\n  keyturn order list " +
			"--status PARTIAL_COMPLETED",
	}
	var file, key, status, reason string
	create := &cobra.Command{
		Use: "create -f FILE", Short: "Place an order from a JSON file", Args: cobra.NoArgs,
		Long: `Places an order from a JSON file. Its lines are fulfilled at once, in the background. Placing the
same order again changes nothing.

  {"id": "ORD-1", "currency": "EUR", "payment": {"provider": "sandbox", "reference": "pay_1"},
   "customer": {"id": "user-1", "email": "jean@buyer.test", "country": "FR", "locale": "fr-FR", "firstName": "Jean"},
   "lineItems": [{"productId": "orbit-editor", "quantity": 2, "grossPrice": "59.98"}]}`,
		Example: "  keyturn order create -f order.json\n  keyturn order create -f - < order.json",
	}
	create.Flags().StringVarP(&file, "file", "f", "", "the order as JSON; - reads standard input")
	create.Flags().StringVar(&key, "idempotency-key", "", "default: the order's id")
	_ = create.MarkFlagRequired("file")
	cmd.AddCommand(withAPI(create, func(ctx context.Context, cmd *cobra.Command, api *client.Client, _ []string) error {
		o, err := readOrder(file)
		if err != nil {
			return err
		}
		if key == "" {
			key = o.ID
		}
		v, placedBefore, err := api.CreateOrder(ctx, key, o)
		if err != nil {
			return err
		}
		if placedBefore { // the answer is the first one, word for word
			page := v.Links
			if v, err = api.Order(ctx, v.ID); err != nil {
				return err
			}
			v.Links = page
			fmt.Fprintf(cmd.ErrOrStderr(), "order %s was placed before; this is how it stands now\n", v.ID)
		}
		return show(cmd, v, func(w io.Writer) { printOrder(w, v) })
	}))
	cmd.AddCommand(withAPI(&cobra.Command{
		Use: "show ORDER", Short: "Show an order and its lines",
		Example: "  keyturn order show ORD-2026-000123", Args: cobra.ExactArgs(1),
	},
		func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
			v, err := api.Order(ctx, args[0])
			if err != nil {
				return err
			}
			return show(cmd, v, func(w io.Writer) { printOrder(w, v) })
		}))
	list := &cobra.Command{
		Use: "list", Short: "List orders, the newest first",
		Example: "  keyturn order list --status PARTIAL_COMPLETED", Args: cobra.NoArgs,
	}
	list.Flags().StringVar(&status, "status", "", "only orders with this status")
	cmd.AddCommand(withAPI(list, func(ctx context.Context, cmd *cobra.Command, api *client.Client, _ []string) error {
		page, err := api.Orders(ctx, keyturn.OrderStatus(status), "", 100)
		if err != nil {
			return err
		}
		return show(cmd, page, func(w io.Writer) {
			for _, o := range page.Orders {
				fmt.Fprintf(w, "%s  %-18s %10s %s\n", o.CreatedAt.UTC().Format("2006-01-02 15:04:05"), o.Status,
					o.GrossPrice+" "+o.Currency, o.ID)
			}
		})
	}))
	cancel := &cobra.Command{
		Use: "cancel ORDER", Short: "Cancel and refund an order, revoking delivered lines",
		Example: "  keyturn order cancel ORD-2026-000123 --reason withdrawal", Args: cobra.ExactArgs(1),
	}
	cancel.Flags().StringVar(&reason, "reason", "", "reason; recorded")
	_ = cancel.MarkFlagRequired("reason")
	cmd.AddCommand(withAPI(cancel, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		v, err := api.CancelOrder(ctx, args[0], reason)
		if err != nil {
			return err
		}
		if v, err = canceling(ctx, api, v); err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) { printOrder(w, v) })
	}))
	cmd.AddCommand(newRefundConfirm(), newOrderEvidence(), newOrderResend())
	return cmd
}

// canceling waits until the cancellation, which was accepted, shows in the order: each line's workflow carries it out.
func canceling(ctx context.Context, api *client.Client, v keyturn.OrderView) (keyturn.OrderView, error) {
	for range 20 {
		switch v.Status { //nolint:exhaustive // all others are as they were before
		case keyturn.OrderCancelPending, keyturn.OrderPartialCanceled, keyturn.OrderCanceled:
			return v, nil
		}
		select {
		case <-ctx.Done():
			return v, ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
		var err error
		if v, err = api.Order(ctx, v.ID); err != nil {
			return v, err
		}
	}
	return v, nil
}

func newRefundConfirm() *cobra.Command {
	var c keyturn.RefundConfirmation
	cmd := &cobra.Command{
		Use: "refund-confirm FULFILLMENT", Short: "Confirm a refund made by hand", Args: cobra.ExactArgs(1),
		Long: `Confirms that the money of a line was given back by hand. Its order has the payment provider
manual, and its alert ManualRefund is open. The customer is told, and the line is CANCELED.
Repeating it with the same reference changes nothing.`,
		Example: "  keyturn order refund-confirm 0198c2d4-0000-7000-8000-000000000001 --reference WIRE-17 --reason " +
			"withdrawal",
	}
	cmd.Flags().StringVar(&c.Reference, "reference", "", "what the refund is called where it was made")
	cmd.Flags().StringVar(&c.Reason, "reason", "", "why and how it was made; recorded")
	_ = cmd.MarkFlagRequired("reference")
	_ = cmd.MarkFlagRequired("reason")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		v, err := api.ConfirmRefund(ctx, args[0], c)
		if err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) { printLines(w, []keyturn.LineView{v}) })
	})
}

func newOrderEvidence() *cobra.Command {
	cmd := &cobra.Command{
		Use: "evidence ORDER", Short: "Write what there is to say in a dispute of an order", Args: cobra.ExactArgs(1),
		Long: `Writes what there is to say when a customer has disputed the payment of an order at the bank: what was ordered
and agreed to, which e-mails the customer's mail server accepted, and when the keys were looked at. The texts are for
the fields of Stripe's form for evidence. With customers:read they say who the customer is, which is recorded.`,
		Example: "  keyturn order evidence ORD-2026-000123",
	}
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		e, err := api.OrderEvidence(ctx, args[0])
		if err != nil {
			return err
		}
		return show(cmd, e, func(w io.Writer) {
			for _, d := range e.Disputes {
				fmt.Fprintf(w, "dispute %s  %s  %s %s  %s", d.ID, d.Status, d.Amount, d.Currency, d.Reason)
				if d.DueAt != nil {
					fmt.Fprintf(w, "  evidence is due by %s", d.DueAt.UTC().Format("2006-01-02 15:04 MST"))
				}
				fmt.Fprintln(w)
			}
			for _, field := range slices.Sorted(maps.Keys(e.Text)) {
				fmt.Fprintf(w, "\n%s:\n%s\n", field, strings.TrimSpace(e.Text[field]))
			}
		})
	})
}

func readOrder(file string) (keyturn.Order, error) {
	var o keyturn.Order
	in, _, err := openInput(file)
	if err != nil {
		return o, err
	}
	defer func() { _ = in.Close() }()
	d := json.NewDecoder(in)
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return o, fmt.Errorf("%s is not an order: %w", file, err)
	}
	return o, nil
}

func printOrder(w io.Writer, v keyturn.OrderView) {
	fmt.Fprintf(w, "%s  %s  %s %s  %s\n", v.ID, v.Status, v.GrossPrice, v.Currency,
		v.CreatedAt.UTC().Format("2006-01-02 15:04:05 MST"))
	if v.Links != nil {
		for _, link := range []struct{ name, url string }{{"page", v.Links.Page}, {"history", v.Links.History}} {
			if link.url != "" {
				fmt.Fprintf(w, "%-8s %s\n", link.name, link.url)
			}
		}
	}
	printOrderPayment(w, v)
	printLines(w, v.LineItems)
}

// printOrderPayment says how an order is paid, and which checkout link has made it.
func printOrderPayment(w io.Writer, v keyturn.OrderView) {
	if p := v.Payment; p != nil {
		fmt.Fprintf(w, "%-8s %s %s", "payment", p.Provider, p.Reference)
		if p.Status != "" {
			fmt.Fprintf(w, "  %s  authorized %s, captured %s, refunded %s", p.Status, p.Authorized, p.Captured, p.Refunded)
		}
		if p.CaptureBy != nil && (p.Status == keyturn.PaymentAuthorized || p.Status == keyturn.PaymentCapturing) {
			fmt.Fprintf(w, "  capture by %s", p.CaptureBy.UTC().Format("2006-01-02 15:04 MST"))
		}
		if p.DisputedAt != nil {
			fmt.Fprintf(w, "  disputed %s", p.DisputedAt.UTC().Format("2006-01-02 15:04 MST"))
		}
		fmt.Fprintln(w)
	}
	if l := v.Link; l != nil {
		fmt.Fprintln(w, strings.TrimSpace(fmt.Sprintf("%-8s %s %s", "link", l.ID, l.Reference)))
	}
}

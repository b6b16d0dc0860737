package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
)

func newLink() *cobra.Command {
	cmd := &cobra.Command{
		Use: "link", Short: "Make, show, list, withdraw and reopen checkout links",
		Example: "  keyturn link create -f link.json\n  keyturn link show lnk-0198a5b0-2c6f-7d11-8a4e-3b9c5d7e1f20\n" +
			"  keyturn link list --status OPEN",
	}
	cmd.AddCommand(newLinkCreate(), newLinkShow(), newLinkList(), newLinkCancel(), newLinkReopen())
	return cmd
}

func newLinkCreate() *cobra.Command {
	var file, key string
	cmd := &cobra.Command{
		Use: "create -f FILE", Short: "Make a checkout link from a JSON file", Args: cobra.NoArgs,
		Long: `Makes a checkout link from a JSON file and prints the address of its page, which sells once. Making the
same link again, by its reference or its orderId, changes nothing and prints it as it is now.

  {"reference": "CRM-771", "currency": "EUR",
   "lineItems": [{"productId": "orbit-editor", "name": "Orbit Editor, 5 devices", "unitPrice": "49.90"}]}`,
		Example: "  keyturn link create -f link.json\n  keyturn link create -f - < link.json",
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "the link as JSON; - reads standard input")
	cmd.Flags().StringVar(&key, "idempotency-key", "",
		"default: the link's reference or orderId; without them each call makes a link")
	_ = cmd.MarkFlagRequired("file")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, _ []string) error {
		l, err := readLink(file)
		if err != nil {
			return err
		}
		for _, otherwise := range []string{l.Reference, l.OrderID, uuid.NewString()} {
			if key == "" {
				key = otherwise
			}
		}
		v, madeBefore, err := api.CreateCheckoutLink(ctx, key, l)
		if err != nil {
			return err
		}
		if madeBefore {
			fmt.Fprintf(cmd.ErrOrStderr(), "link %s was made before; this is how it stands now\n", v.ID)
		}
		return show(cmd, v, func(w io.Writer) { printLink(w, v) })
	})
}

func newLinkShow() *cobra.Command {
	var customer bool
	cmd := &cobra.Command{
		Use: "show LINK", Short: "Show a checkout link and its payments",
		Example: "  keyturn link show lnk-0198a5b0-2c6f-7d11-8a4e-3b9c5d7e1f20", Args: cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&customer, "customer", false,
		"with what the page is filled in with, in --output json (takes customers:read)")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		v, err := api.CheckoutLink(ctx, args[0], customer)
		if err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) { printLink(w, v) })
	})
}

func newLinkList() *cobra.Command {
	var status, reference string
	limit := 50
	cmd := &cobra.Command{
		Use: "list", Short: "List checkout links, the newest first",
		Example: "  keyturn link list --status OPEN\n  keyturn link list --reference CRM-771", Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&status, "status", "", "only links with this status")
	cmd.Flags().StringVar(&reference, "reference", "", "only links with this reference")
	cmd.Flags().IntVar(&limit, "limit", limit, "number of links, 1 to 200")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, _ []string) error {
		if err := checkLimit(limit); err != nil {
			return err
		}
		page, err := api.CheckoutLinks(ctx, keyturn.LinkStatus(status), reference, "", limit)
		if err != nil {
			return err
		}
		return show(cmd, page, func(w io.Writer) {
			t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "LINK\tSINCE\tSTATUS\tTOTAL\tREFERENCE")
			for _, l := range page.CheckoutLinks {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s %s\t%s\n", l.ID, l.CreatedAt.UTC().Format(time.DateTime), l.Status, l.Total,
					l.Currency, cmp.Or(l.Reference, "-"))
			}
			_ = t.Flush()
		})
	})
}

func newLinkCancel() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "cancel LINK", Short: "Withdraw a checkout link", Args: cobra.ExactArgs(1),
		Long: "Withdraws a checkout link: nobody can buy by it any more. A link that is used is not withdrawn; cancel " +
			"its order.",
		Example: "  keyturn link cancel lnk-0198a5b0-2c6f-7d11-8a4e-3b9c5d7e1f20 --reason \"the offer is over\"",
	}
	cmd.Flags().StringVar(&reason, "reason", "", "reason; recorded")
	_ = cmd.MarkFlagRequired("reason")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		v, err := api.CancelCheckoutLink(ctx, args[0], reason)
		if err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) { printLink(w, v) })
	})
}

func newLinkReopen() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "reopen LINK", Short: "Allow further payments of a checkout link", Args: cobra.ExactArgs(1),
		Long:    "A customer may begin to pay a checkout link five times; then the page refuses it. This allows five more.",
		Example: "  keyturn link reopen lnk-0198a5b0-2c6f-7d11-8a4e-3b9c5d7e1f20 --reason \"the card was replaced\"",
	}
	cmd.Flags().StringVar(&reason, "reason", "", "reason; recorded")
	_ = cmd.MarkFlagRequired("reason")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		v, err := api.ReopenCheckoutLink(ctx, args[0], reason)
		if err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) { printLink(w, v) })
	})
}

func readLink(file string) (keyturn.CheckoutLink, error) {
	var l keyturn.CheckoutLink
	in, _, err := openInput(file)
	if err != nil {
		return l, err
	}
	defer func() { _ = in.Close() }()
	d := json.NewDecoder(in)
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return l, fmt.Errorf("%s is not a checkout link: %w", file, err)
	}
	return l, nil
}

func printLink(w io.Writer, v keyturn.LinkView) {
	fmt.Fprintf(w, "%s  %s  %s %s  until %s\n", v.ID, v.Status, v.Total, v.Currency,
		v.ExpiresAt.UTC().Format("2006-01-02 15:04 MST"))
	order := ""
	if v.Status == keyturn.LinkUsed {
		order = v.OrderID
	}
	for _, fact := range []struct{ name, text string }{
		{"page", v.URL},
		{"left", paymentsLeft(v)},
		{"reference", v.Reference},
		{"order", order},
		{"reason", v.EndReason},
		{"blanked", blankedText(v.BlankedAt)},
	} {
		if fact.text != "" {
			fmt.Fprintf(w, "%-10s %s\n", fact.name, fact.text)
		}
	}
	for i, l := range v.LineItems {
		quantity := strconv.Itoa(l.Quantity.Value)
		if !l.Quantity.Fixed() {
			quantity += fmt.Sprintf(" (%d to %d)", l.Quantity.Min, l.Quantity.Max)
		}
		fmt.Fprintf(w, "  %s × %s %s  %s\n", quantity, l.UnitPrice, v.Currency, l.Name)
		for _, s := range v.Sellability {
			if s.LineItem == i && s.Code != keyturn.SellableOK {
				fmt.Fprintf(w, "    %s\n", sellabilityText(s))
			}
		}
	}
	printPayments(w, v.Payments)
}

// paymentsLeft says that a customer cannot begin to pay any more.
func paymentsLeft(v keyturn.LinkView) string {
	if v.PaymentsLeft > 0 || v.Status != keyturn.LinkOpen {
		return ""
	}
	return "no payment: keyturn link reopen " + v.ID + " allows five more"
}

// blankedText says since when whom a link or a payment was for is not known any more.
func blankedText(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.UTC().Format("2006-01-02 15:04 MST") + ": whom it was for was removed"
}

func sellabilityText(s keyturn.LineSellability) string {
	text := map[keyturn.Sellability]string{
		keyturn.SellableLow:         "only " + strconv.Itoa(s.Left) + " left",
		keyturn.SellableOutOfStock:  "out of stock",
		keyturn.SellablePartnerDown: "its partner does not answer",
	}[s.Code]
	if s.Refused {
		text += ": not sold until that is over"
	}
	return text
}

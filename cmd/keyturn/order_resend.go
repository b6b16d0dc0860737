package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
)

func newOrderResend() *cobra.Command {
	var to string
	var asked, look bool
	cmd := &cobra.Command{
		Use: "resend FULFILLMENT", Short: "Send a line's keys again by e-mail", Args: cobra.ExactArgs(1),
		Long: `Sends a line's keys again: to the order's address, to another one, or to the one that the customer
gave on the order page and that waits for a yes: look at it first, and name it with --to, so that
no later one is accepted. Where the e-mail before came back, the other address becomes the order's,
and the old one is told. Another address than the order's needs a token with keys:read, looking at
the customer's one with customers:read.`,
		Example: "  keyturn order resend 0198c2d4-0000-7000-8000-000000000001\n" +
			"  keyturn order resend 0198c2d4-0000-7000-8000-000000000001 --to jean@buyer.example\n" +
			"  keyturn order resend 0198c2d4-0000-7000-8000-000000000001 --look\n" +
			"  keyturn order resend 0198c2d4-0000-7000-8000-000000000001 --asked --to jean@buyer.example",
	}
	cmd.Flags().StringVar(&to, "to", "", "the recipient; default: the order's address")
	cmd.Flags().BoolVar(&asked, "asked", false, "to the address that the customer gave on the order page")
	cmd.Flags().BoolVar(&look, "look", false, "show the address that the customer gave, and send nothing; it is recorded")
	cmd.MarkFlagsMutuallyExclusive("look", "asked")
	cmd.MarkFlagsMutuallyExclusive("look", "to")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		if look {
			return showAsked(ctx, cmd, api, args[0])
		}
		var id string
		var err error
		if asked {
			id, err = api.AcceptAddress(ctx, args[0], to)
		} else {
			id, err = api.Resend(ctx, args[0], to)
		}
		if err != nil {
			return err
		}
		return show(cmd, keyturn.Resent{DeliveryID: id}, func(w io.Writer) {
			fmt.Fprintf(w, "e-mail %s is on its way\n", id)
		})
	})
}

// showAsked shows the address that the customer gave and that waits for a yes.
func showAsked(ctx context.Context, cmd *cobra.Command, api *client.Client, id string) error {
	address, err := api.NewAddress(ctx, id)
	if err != nil {
		return err
	}
	if address == nil {
		return keyturn.Errorf(keyturn.KindNotFound, "no address waits for a yes: the customer has not given one")
	}
	return show(cmd, address, func(w io.Writer) {
		fmt.Fprintf(w, "%s, given at %s, waits for your yes: --asked --to %s\n", address.Email, when(&address.At),
			address.Email)
	})
}

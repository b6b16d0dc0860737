package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
)

func newMail() *cobra.Command {
	cmd := &cobra.Command{
		Use: "mail", Short: "See and try the e-mails that customers get",
		Example: "  keyturn mail preview --product orbit-editor --locale fr --html preview.html\n" +
			"  keyturn mail send --product orbit-editor --to you@shop.example",
	}
	cmd.AddCommand(newMailPreview(), newMailSend())
	return cmd
}

// sampleFlags adds the flags that say which e-mail is meant.
func sampleFlags(cmd *cobra.Command) *keyturn.MailSampleRequest {
	var r keyturn.MailSampleRequest
	cmd.Flags().StringVar(&r.Kind, "kind", keyturn.SampleKeys, strings.Join(keyturn.SampleKinds, ", "))
	cmd.Flags().StringVar(&r.ProductID, "product", "", "whose text and name it has; default: an invented product")
	cmd.Flags().StringVar(&r.Locale, "locale", "", "the customer's language tag, such as fr-FR; default: English")
	return &r
}

func newMailPreview() *cobra.Command {
	var htmlFile string
	cmd := &cobra.Command{
		Use: "preview", Short: "Show an e-mail with invented data", Args: cobra.NoArgs,
		Long: "Shows what a customer gets, with invented data, in the shop's face and in the words of a product and a " +
			"language: as text, and as HTML in a file for your browser. Nothing is sent.",
		Example: "  keyturn mail preview --product orbit-editor --locale de\n" +
			"  keyturn mail preview --kind confirmation --html confirmation.html",
	}
	r := sampleFlags(cmd)
	cmd.Flags().StringVar(&htmlFile, "html", "", "file to write the HTML into")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, _ []string) error {
		m, err := api.PreviewMail(ctx, *r)
		if err != nil {
			return err
		}
		if htmlFile != "" {
			if err := os.WriteFile(htmlFile, []byte(m.HTML), 0o600); err != nil {
				return err
			}
		}
		return show(cmd, m, func(w io.Writer) {
			fmt.Fprintf(w, "From: %s\n", m.From)
			if m.ReplyTo != "" {
				fmt.Fprintf(w, "Reply-To: %s\n", m.ReplyTo)
			}
			fmt.Fprintf(w, "To: %s\nSubject: %s\n\n%s", m.To, m.Subject, m.Text)
		})
	})
}

func newMailSend() *cobra.Command {
	cmd := &cobra.Command{
		Use: "send --to ADDRESS", Short: "Send an e-mail with invented data", Args: cobra.NoArgs,
		Long: "Sends what `keyturn mail preview` shows to one address, by the mail server that customers' e-mails go " +
			"through.",
		Example: "  keyturn mail send --product orbit-editor --locale fr --to you@shop.example",
	}
	r := sampleFlags(cmd)
	cmd.Flags().StringVar(&r.Email, "to", "", "the recipient")
	_ = cmd.MarkFlagRequired("to")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, _ []string) error {
		m, err := api.TestMail(ctx, *r)
		if err != nil {
			return err
		}
		return show(cmd, m, func(w io.Writer) { fmt.Fprintf(w, "sent to %s: %s\n", m.To, m.Subject) })
	})
}

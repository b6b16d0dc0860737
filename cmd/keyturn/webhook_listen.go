package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/notify"
)

func newWebhookListen() *cobra.Command {
	var forward, secret string
	cmd := &cobra.Command{
		Use: "listen WEBHOOK", Short: "Show events as they come, and forward them to your machine", Args: cobra.ExactArgs(1),
		Long: "Pulls what the webhook wants from now on, and prints a line for each event. With --forward it sends each to " +
			"an address, as Keyturn would, once. The webhook needs no url for that. Needs the scope orders:read.",
		Example: "  keyturn webhook listen dev --forward http://127.0.0.1:3000/hooks",
	}
	cmd.Flags().StringVar(&forward, "forward", "", "address to send events to")
	cmd.Flags().StringVar(&secret, "secret", "", "whsec_… to sign with; default: one that is made and printed")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		w := cmd.OutOrStdout()
		after := time.Now().UnixMicro()
		if _, err := api.PullEvents(ctx, args[0], after, 1); err != nil { // before a secret is shown
			return err
		}
		secret, err := forwardSecret(w, forward, secret)
		if err != nil {
			return err
		}
		for {
			page, err := api.PullEvents(ctx, args[0], after, 100)
			if err != nil && ctx.Err() == nil { // nobody has ended it
				return err
			}
			for _, e := range page.Events {
				printEvent(w, e)
				if forward != "" {
					fmt.Fprintln(w, "    "+forwardEvent(ctx, forward, secret, e))
				}
			}
			if after = page.Next; len(page.Events) > 0 {
				continue
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Second):
			}
		}
	})
}

// forwardSecret gives the secret that what is forwarded is signed with, and prints one that it makes.
func forwardSecret(w io.Writer, forward, secret string) (string, error) {
	if forward == "" {
		return "", nil
	}
	if u, err := url.Parse(forward); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", keyturn.Errorf(keyturn.KindInvalid, "--forward must be an address such as http://127.0.0.1:3000/hooks")
	}
	if secret == "" {
		secret = keyturn.NewWebhookSecret()
		fmt.Fprintf(w, "forwarding to %s, signed with %s\n", forward, secret)
	}
	if _, ok := keyturn.ParseWebhookSecret(secret); !ok {
		return "", keyturn.Errorf(keyturn.KindInvalid,
			"--secret must be whsec_ and the base64 of 24 to 64 random bytes; leave it out to have one made")
	}
	return secret, nil
}

func printEvent(w io.Writer, e keyturn.PulledEvent) {
	var head struct {
		Type keyturn.EventType `json:"type"`
		Data json.RawMessage   `json:"data"`
	}
	_ = json.Unmarshal(e.Event, &head) // what cannot be read is shown as it is
	fmt.Fprintf(w, "%s  %s  %s  %s\n", time.UnixMicro(e.Number).Format(time.TimeOnly), e.ID, head.Type, head.Data)
}

// forwardEvent sends an event once and says what came of it.
func forwardEvent(ctx context.Context, address, secret string, e keyturn.PulledEvent) string {
	const limit = 15 * time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(string(e.Event)))
	if err != nil {
		return err.Error()
	}
	req.Header = notify.Header(e.ID, time.Now(), string(e.Event), []string{secret})
	res, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}).Do(req)
	if err != nil {
		return err.Error()
	}
	_ = res.Body.Close()
	return "→ " + res.Status
}

package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
)

func newWebhook() *cobra.Command {
	cmd := &cobra.Command{
		Use: "webhook", Short: "Test webhooks, and look at what was sent",
		Example: "  keyturn webhook test shop\n  keyturn webhook deliveries shop --status FAILED",
	}
	cmd.AddCommand(newWebhookList(), newWebhookTest(), newWebhookDeliveries(), newWebhookRetry(), newWebhookReplay(),
		newWebhookRotate(), newWebhookListen())
	return cmd
}

func newWebhookList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List all webhooks, and how their receivers do", Args: cobra.NoArgs,
		Example: "  keyturn webhook list\n  keyturn webhook list --output json",
	}
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, _ []string) error {
		all, err := api.Webhooks(ctx)
		if err != nil {
			return err
		}
		views := make([]keyturn.WebhookView, len(all))
		for i, w := range all {
			if views[i], err = api.WebhookView(ctx, w.ID); err != nil {
				return err
			}
		}
		return show(cmd, views, func(w io.Writer) {
			t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "WEBHOOK\tSTATE\tDUE\tOLDEST DUE\tURL\tEVENTS")
			for _, v := range views {
				fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%v\n", v.ID, stateOf(v), v.State.Due, when(v.State.OldestDueAt), v.URL,
					v.Events)
			}
			_ = t.Flush()
		})
	})
}

func stateOf(v keyturn.WebhookView) string {
	switch {
	case !v.On():
		return "off"
	case v.State.SwitchedOff != "":
		return "switched off: " + v.State.SwitchedOff
	case v.URL == "":
		return "to pull"
	case v.State.Breaker != keyturn.BreakerClosed:
		return "down"
	}
	return "on"
}

func newWebhookTest() *cobra.Command {
	cmd := &cobra.Command{
		Use: "test WEBHOOK", Short: "Send a test event, and show the answer", Args: cobra.ExactArgs(1),
		Long: "Sends a webhook.test event at once. If the receiver takes it, a webhook that Keyturn has switched off is on " +
			"again.",
		Example: "  keyturn webhook test shop",
	}
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		v, err := api.TestWebhook(ctx, args[0])
		if err != nil {
			return err
		}
		if err := show(cmd, v, func(w io.Writer) { printDeliveries(w, []keyturn.EventDelivery{v}) }); err != nil {
			return err
		}
		if v.Status != keyturn.EventDelivered {
			return keyturn.Errorf(keyturn.KindUnavailable, "the receiver has not taken the event: %s", answerOf(v))
		}
		return nil
	})
}

func newWebhookDeliveries() *cobra.Command {
	var status string
	var before int64
	limit := 50
	cmd := &cobra.Command{
		Use: "deliveries WEBHOOK", Short: "List what was sent, the newest first", Args: cobra.ExactArgs(1),
		Long:    "Lists events with what the receiver answered. --output json has the requests and answers.",
		Example: "  keyturn webhook deliveries shop\n  keyturn webhook deliveries shop --status FAILED --output json",
	}
	cmd.Flags().StringVar(&status, "status", "", "only PENDING, DELIVERED or FAILED")
	cmd.Flags().Int64Var(&before, "before", 0, "only deliveries with a smaller ID, for the next page")
	cmd.Flags().IntVar(&limit, "limit", limit, "number of deliveries, 1 to 200")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		page, err := api.EventDeliveries(ctx, args[0], keyturn.EventStatus(status), before, limit)
		if err != nil {
			return err
		}
		return show(cmd, page, func(w io.Writer) { printDeliveries(w, page.Deliveries) })
	})
}

func newWebhookRetry() *cobra.Command {
	cmd := &cobra.Command{
		Use: "retry WEBHOOK DELIVERY", Short: "Send an event now", Args: cobra.ExactArgs(2),
		Long:    "Sends an event that the receiver has not taken, once more if it was given up.",
		Example: "  keyturn webhook retry shop 4711",
	}
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		id, err := strconv.ParseInt(args[1], 10, 64)
		if err != nil {
			return keyturn.Errorf(keyturn.KindInvalid,
				"%q is not the ID of a delivery: `keyturn webhook deliveries` shows them", args[1])
		}
		v, err := api.RetryEvent(ctx, args[0], id)
		if err != nil {
			return err
		}
		return show(cmd, v, func(w io.Writer) { printDeliveries(w, []keyturn.EventDelivery{v}) })
	})
}

func newWebhookReplay() *cobra.Command {
	var r keyturn.ReplayEvents
	var from, to string
	cmd := &cobra.Command{
		Use: "replay WEBHOOK --from TIME", Short: "Send events once more", Args: cobra.ExactArgs(1),
		Long: "Sends events of a time once more, the oldest first, ten a second. Each has the Webhook-Id that it had, and " +
			"says \"replay\": true.",
		Example: "  keyturn webhook replay shop --from 2026-06-15T12:00:00Z --failed-only\n" +
			"  keyturn webhook replay shop --from 24h --types 'order.*'",
	}
	cmd.Flags().StringVar(&from, "from", "", "a time (2026-06-15T12:00:00Z), or how long ago (24h)")
	cmd.Flags().StringVar(&to, "to", "", "the same; default: now")
	cmd.Flags().StringSliceVar(&r.Types, "types", nil, "types or families; default: all that the webhook wants")
	cmd.Flags().BoolVar(&r.FailedOnly, "failed-only", false, "only events that the receiver has not taken")
	_ = cmd.MarkFlagRequired("from")
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) (err error) {
		if r.From, err = parseAgo("--from", from); err != nil {
			return err
		}
		if to != "" {
			if r.To, err = parseAgo("--to", to); err != nil {
				return err
			}
		}
		out, err := api.ReplayEvents(ctx, args[0], rand.Text(), r)
		if err != nil {
			return err
		}
		return show(cmd, out, func(w io.Writer) {
			if out.Events == 0 {
				fmt.Fprintln(w, "no event of that time is to be sent once more")
				return
			}
			fmt.Fprintf(w, "%s sent once more, the last at %s\n", counted(out.Events, "event is", "events are"),
				when(out.Until))
			if out.More {
				fmt.Fprintf(w, "there are more: replay again with --from %s\n", out.Next.Format(time.RFC3339Nano))
			}
		})
	})
}

// parseAgo reads a time, or how long ago it was.
func parseAgo(flag, text string) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, keyturn.Errorf(keyturn.KindInvalid,
			"%s must be a time such as 2026-06-15T12:00:00Z, or how long ago, such as 24h", flag)
	}
	return t, nil
}

func newWebhookRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate WEBHOOK", Short: "Give a webhook a new secret", Args: cobra.ExactArgs(1),
		Long:    "Prints the new secret, this once. For 24 hours requests are signed with the old one, too.",
		Example: "  keyturn webhook rotate shop",
	}
	return withAPI(cmd, func(ctx context.Context, cmd *cobra.Command, api *client.Client, args []string) error {
		s, err := api.RotateWebhook(ctx, args[0])
		if err != nil {
			return err
		}
		return show(cmd, s, func(w io.Writer) {
			fmt.Fprintf(w, "%s\nit is not shown again; until %s the secret before is good, too\n", s.Secret,
				s.BothUntil.Format(time.RFC3339))
		})
	})
}

func printDeliveries(w io.Writer, all []keyturn.EventDelivery) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "DELIVERY\tEVENT\tTYPE\tSTATUS\tTRIES\tLAST TRY\tNEXT TRY\tANSWER")
	for _, v := range all {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", v.ID, v.EventID, v.Type, v.Status, v.Attempts, when(v.TriedAt),
			when(v.NextAt), answerOf(v))
	}
	_ = t.Flush()
}

func answerOf(v keyturn.EventDelivery) string {
	switch {
	case v.HTTPStatus != 0:
		return fmt.Sprintf("HTTP %d in %d ms", v.HTTPStatus, v.DurationMS)
	case v.Error != "":
		return "no answer: " + cmp.Or(v.Answer, string(v.Error))
	}
	return "-"
}

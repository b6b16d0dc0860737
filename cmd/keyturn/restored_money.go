package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/checkout"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/payment/stripe"
)

// configuredProcessors are the payment providers whose lists can be read, by the settings of this process.
func configuredProcessors(ctx context.Context, d *db.DB) (payment.Processors, error) {
	key, err := secretFromEnv(stripeKeyEnv)
	if err != nil {
		return nil, err
	}
	c, err := stripeFromEnv(key, "")
	if err != nil || c == nil {
		return payment.Processors{}, err
	}
	if err := d.NameInstallation(ctx, c.Installation); err != nil {
		return nil, err
	}
	x, err := stripe.New(*c)
	return payment.Processors{stripe.Name: x}, err
}

// askProviders asks payment providers what they have since a time that the database does not. It changes nothing.
func askProviders(ctx context.Context, w io.Writer, d *db.DB, since time.Time) ([]*checkout.Abroad, error) {
	processors, err := configuredProcessors(ctx, d)
	if err != nil {
		return nil, err
	}
	if _, ok := processors[stripe.Name]; !ok {
		sold, err := d.SoldBy(ctx, stripe.Name)
		if err != nil {
			return nil, err
		}
		if sold {
			fmt.Fprintf(w, "%s is not set: Stripe, where this database has payments, is not asked for what it has\n",
				stripeKeyEnv)
		}
	}
	providers := payment.Providers{}
	for name, p := range processors {
		providers[name] = p
	}
	desk := &checkout.Desk{
		DB: d, Processors: processors, Providers: providers, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	all, err := desk.Abroad(ctx, since)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindOf(err),
			"not all payment providers were asked, and nothing was changed in the database: run it again: %w", err)
	}
	return all, nil
}

// giveBack gives back what a provider has and the database does not, once a person has said so. Without an answer
// nothing goes back.
func giveBack(ctx context.Context, cmd *cobra.Command, a *checkout.Abroad, yes bool, orders map[string]string) error {
	if len(a.Missing) == 0 {
		return nil
	}
	w := cmd.ErrOrStderr()
	fmt.Fprintf(w, "%s has money of %s that this database does not have:\n", a.Provider,
		counted(len(a.Missing), "payment", "payments"))
	for _, x := range a.Missing {
		fmt.Fprintf(w, "        %s (payment %s): %s %s taken, %s blocked\n", x.Reference, x.ID, x.Left.String(),
			x.Left.Currency, x.Authorized.String())
	}
	question := "Give all of it back? Goods that were delivered for it are free then. [y/N] "
	if !yes && !confirmed(cmd.InOrStdin(), w, question) {
		fmt.Fprintln(w, "nothing was given back: `keyturn restored --yes` does it")
		return nil
	}
	return a.GiveBack(ctx, orders)
}

// confirmed asks a person. Without an answer it is no.
func confirmed(in io.Reader, out io.Writer, question string) bool {
	fmt.Fprint(out, question)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		fmt.Fprintln(out)
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// tellMoney prints what providers had that the database did not.
func tellMoney(w io.Writer, all []db.MoneyApart) {
	for _, m := range all {
		fmt.Fprintf(w, "%s, %s, since the backup:\n", m.Provider, m.Currency)
		for _, line := range []struct{ sum, what string }{
			{m.Captured, "captured there and not here: the payments are asked for"},
			{m.Authorized, "authorized there and not here: the payments are asked for"},
			{m.Refunded, "refunded there and not here: not refunded again"},
			{m.UnknownCaptured, "captured there, of payments that are not here"},
			{m.UnknownAuthorized, "authorized there, of payments that are not here"},
			{m.GivenBack, "given back of that"},
			{m.LetGo, "let go of that"},
		} {
			fmt.Fprintf(w, "%12s  %s\n", line.sum, line.what)
		}
	}
}

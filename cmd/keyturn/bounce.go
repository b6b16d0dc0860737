package main

import (
	"context"
	"net/http"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/bounce"
	"keyturn.dev/keyturn/mail"
)

// bounceSettings say how what comes back of e-mails is taken. Without any of them nothing is.
type bounceSettings struct {
	Address string              // KEYTURN_BOUNCE_ADDRESS, without a tag
	Listen  string              // KEYTURN_BOUNCE_LISTEN
	Mailbox *bounce.Account     // KEYTURN_BOUNCE_IMAP
	Hooks   bounce.HookSettings // KEYTURN_BOUNCE_SES and others
}

// takes says whether something takes reports.
func (b bounceSettings) takes() bool { return b.Address != "" || len(b.Hooks) > 0 }

const (
	bounceAddressEnv = "KEYTURN_BOUNCE_ADDRESS"
	bounceListenEnv  = "KEYTURN_BOUNCE_LISTEN"
	bounceIMAPEnv    = "KEYTURN_BOUNCE_IMAP"
)

// hookEnvs are the settings of services that tell by HTTP.
var hookEnvs = map[keyturn.BounceInlet]string{
	keyturn.InletSES: "KEYTURN_BOUNCE_SES", keyturn.InletPostmark: "KEYTURN_BOUNCE_POSTMARK",
	keyturn.InletMailgun: "KEYTURN_BOUNCE_MAILGUN", keyturn.InletSendGrid: "KEYTURN_BOUNCE_SENDGRID",
}

// maxBounceLocal leaves room in a local part for "+", a reference and its tag.
const maxBounceLocal = 64 - len("+") - 26 - len(".") - 10

func bouncesFromEnv(production bool) (bounceSettings, error) {
	b := bounceSettings{Address: os.Getenv(bounceAddressEnv), Listen: os.Getenv(bounceListenEnv)}
	var bad keyturn.Problems
	if b.Address != "" {
		ascii, err := mail.ASCIIAddress(b.Address)
		bad.Merge(bounceAddressEnv, err)
		local, _, _ := strings.Cut(ascii, "@")
		bad.Check(err != nil || len(local) <= maxBounceLocal && !strings.Contains(local, "+"), bounceAddressEnv,
			"must have at most %d characters before the @, without a +: each e-mail's tag follows them", maxBounceLocal)
		b.Address = ascii
	}
	if b.Listen != "" {
		_, _, err := bounce.ParseListen(b.Listen)
		bad.Merge(bounceListenEnv, err)
		bad.Check(b.Address != "", bounceListenEnv, "needs %s: nothing else is taken there", bounceAddressEnv)
	}
	address, err := secretFromEnv(bounceIMAPEnv)
	bad.Merge(bounceIMAPEnv, err)
	if address != "" {
		account, err := bounce.ParseIMAP(address, production)
		bad.Merge(bounceIMAPEnv, err)
		b.Mailbox = &account
	}
	for inlet, name := range hookEnvs {
		text, err := secretFromEnv(name)
		bad.Merge(name, err)
		if text == "" {
			continue
		}
		if b.Hooks == nil {
			b.Hooks = bounce.HookSettings{}
		}
		b.Hooks[inlet] = text
		_, err = bounce.NewHooks(bounce.Books{}, bounce.HookSettings{inlet: text})
		bad.Merge(name, unnamed(err))
	}
	return b, bad.Err("the settings are not complete")
}

// unnamed is an error without the names of its fields, which the setting's name replaces.
func unnamed(err error) error {
	e, ok := err.(*keyturn.Error) //nolint:errorlint // it was made a moment ago
	if !ok || len(e.Fields) == 0 {
		return err
	}
	return keyturn.Errorf(keyturn.KindInvalid, "%s", e.Fields[0].Message)
}

// takeBounces takes what comes back of e-mails until ctx ends.
func (a *app) takeBounces(ctx context.Context, g *errgroup.Group) {
	books := bounce.Books{DB: a.db, Logger: a.logger}
	if a.Bounces.Listen != "" {
		l := &bounce.Listener{Books: books, Address: a.Bounces.Address, Listen: a.Bounces.Listen}
		g.Go(func() error { l.Run(ctx); return nil })
	}
	if a.Bounces.Mailbox != nil {
		m := &bounce.Mailbox{Books: books, Account: *a.Bounces.Mailbox}
		g.Go(func() error { m.Run(ctx); return nil })
	}
}

// bounceHooks takes what services tell. Without settings nothing is there.
func (a *app) bounceHooks() http.Handler {
	hooks, err := bounce.NewHooks(bounce.Books{DB: a.db, Logger: a.logger}, a.Bounces.Hooks)
	if err != nil { // the settings were checked
		a.logger.Error("what e-mail services tell is not taken", "error", err)
		return http.NotFoundHandler()
	}
	return hooks
}

package main

import (
	"context"
	"crypto"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/workflowservice/v1"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/doctor"
	"keyturn.dev/keyturn/mail"
)

// What an installation should keep to.
const (
	oldestPostgres = 140000
	slowCommit     = 20 * time.Millisecond
	mostSkew       = 5 * time.Second
)

func (a *app) databaseChecks() []doctor.Check {
	return []doctor.Check{
		{Area: "database", Name: "server", Look: func(ctx context.Context) doctor.Finding {
			s, err := a.db.Server(ctx)
			version := fmt.Sprintf("PostgreSQL %d.%d", s.Version/10000, s.Version%10000)
			switch {
			case err != nil:
				return doctor.Bad("look at the database", "%s", err.Error())
			case s.Version < oldestPostgres:
				return doctor.Bad("take PostgreSQL 14 or newer", "%s", version)
			case s.Commit > slowCommit:
				return doctor.Warn("put its write-ahead log on a faster disk: an order takes some commits, one after the other",
					"%s; a commit takes %s", version, s.Commit.Round(100*time.Microsecond))
			}
			return doctor.Found("%s; a commit takes %s", version, s.Commit.Round(100*time.Microsecond))
		}},
		{Area: "database", Name: "pooler", Look: a.pooler},
		{Area: "database", Name: "clock", Look: func(ctx context.Context) doctor.Finding {
			skew, uncertain, err := a.db.ClockSkew(ctx)
			switch {
			case err != nil:
				return doctor.Bad("look at the database", "%s", err.Error())
			case skew.Abs()-uncertain > mostSkew:
				return doctor.Bad("set up NTP on both hosts", "the database's clock differs from this host's by %s",
					skew.Round(time.Second))
			}
			return doctor.Found("it agrees with this host's")
		}},
	}
}

// pooler finds out whether something between Keyturn and PostgreSQL breaks connections. Keyturn has pools of its own.
func (a *app) pooler(ctx context.Context) doctor.Finding {
	const toDo = "name PostgreSQL itself in KEYTURN_DATABASE_URL: each process keeps 12 connections at most. PgBouncer " +
		"does no harm with pool_mode = session, as long as it passes on what connections ask for"
	p, err := a.db.Pooler(ctx)
	switch {
	case err != nil:
		return doctor.Bad("look at the database", "%s", err.Error())
	case p.Shared:
		return doctor.Bad(toDo, "a pooler has connections take turns (by transaction or statement): prepared statements and "+
			"settings get lost")
	case len(p.Lost) > 0:
		return doctor.Bad(toDo, "a pooler drops settings that connections ask for: %s", strings.Join(p.Lost, ", "))
	}
	return doctor.Found("connections are their own, with what they ask for")
}

func (a *app) temporalChecks(e examination) []doctor.Check {
	check := func(name string, look func(ctx context.Context) (doctor.Finding, error)) doctor.Check {
		return doctor.Check{Area: "Temporal", Name: name, Look: func(ctx context.Context) doctor.Finding {
			f, err := look(ctx)
			if err != nil {
				return doctor.Bad("start Temporal, or correct TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE", "%s", err.Error())
			}
			return f
		}}
	}
	return []doctor.Check{
		check("server", func(ctx context.Context) (doctor.Finding, error) {
			info, err := a.temporal.WorkflowService().GetSystemInfo(ctx, &workflowservice.GetSystemInfoRequest{})
			return doctor.Found("version %s", info.GetServerVersion()), err
		}),
		check("namespace "+a.namespace, func(ctx context.Context) (doctor.Finding, error) {
			found, err := a.temporal.WorkflowService().DescribeNamespace(ctx,
				&workflowservice.DescribeNamespaceRequest{Namespace: a.namespace})
			kept := found.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration()
			if err == nil && kept < e.backupAge {
				return doctor.Bad("keep histories longer than your backups are old, because a restore asks Temporal what happened "+
					"since: `temporal operator namespace update --retention "+keyturn.Duration(e.backupAge).String()+" "+a.namespace+"`",
					"it keeps the histories of ended workflows for %s, and a backup may be %s old (--backup-age)",
					keyturn.Duration(kept), keyturn.Duration(e.backupAge)), nil
			}
			return doctor.Found("it keeps the histories of ended workflows for %s", kept), err
		}),
		check("search attributes", func(ctx context.Context) (doctor.Finding, error) {
			missing, err := a.missingSearchAttributes(ctx)
			if len(missing) > 0 {
				return doctor.Bad("start a worker, which creates them, or see the alert SearchAttributes",
					"missing: %s; no workflow starts", strings.Join(missing, ", ")), err
			}
			return doctor.Found("all are there"), err
		}),
		check("workers", a.workers),
	}
}

// webhookCheck names webhooks that Keyturn has switched off.
func (a *app) webhookCheck() doctor.Check {
	return doctor.Check{Area: "webhooks", Name: "receivers", Look: func(ctx context.Context) doctor.Finding {
		hooks, err := a.db.Webhooks(ctx, "")
		if err != nil {
			return doctor.Bad("look at the database", "%s", err.Error())
		}
		var off []string
		for _, w := range hooks {
			v, err := a.db.WebhookView(ctx, w.ID)
			if err == nil && v.State.SwitchedOff != "" {
				off = append(off, w.ID)
			}
		}
		switch {
		case len(hooks) == 0:
			return doctor.Skip("there are none")
		case len(off) > 0:
			return doctor.Bad("correct the receiver, then `keyturn webhook test`", "switched off: %s", strings.Join(off, ", "))
		}
		return doctor.Found("%d, none switched off", len(hooks))
	}}
}

func (a *app) mailChecks(dns doctor.Resolver) []doctor.Check {
	m := doctor.Mail{DNS: dns, From: a.MailFrom, Bounce: a.Bounces.Address, Connect: a.mail.Check}
	if a.Signer != nil {
		var public crypto.PublicKey
		m.DKIM, public = a.Signer.Record()
		m.Public = public
	}
	return m.Checks()
}

// roundTrip sends an e-mail to an address that does not exist, and waits until it comes back.
func (a *app) roundTrip(e examination) doctor.Check {
	return doctor.Check{Area: "mail", Name: "round trip", Waits: doctor.RoundTripTime, Look: func(ctx context.Context,
	) doctor.Finding {
		switch {
		case e.noMail:
			return doctor.Skip("--no-round-trip")
		case a.Bounces.Address == "":
			return doctor.Skip("KEYTURN_BOUNCE_ADDRESS is not set: nothing comes back")
		}
		to := e.to
		if to == "" {
			_, domain, _ := strings.Cut(a.MailFrom, "@")
			to = "keyturn-doctor-" + uuid.NewString() + "@" + domain
		}
		f, err := a.sendProbe(ctx, to)
		if err != nil {
			return doctor.Bad("correct KEYTURN_SMTP_URL, or the mail server", "%s", err.Error())
		}
		return f
	}}
}

func (a *app) sendProbe(ctx context.Context, to string) (doctor.Finding, error) {
	p, err := a.db.BeginMailProbe(ctx)
	if err != nil {
		return doctor.Finding{}, err
	}
	message, err := a.acts.Letters.Probe(p, to, time.Now())
	if err != nil {
		return doctor.Finding{}, err
	}
	begun := time.Now()
	if err := a.mail.Send(ctx, message); err != nil {
		if mail.Code(err) >= 500 { // it is refused at once: nothing can come back
			return doctor.Warn("give --to an address at another domain that does not exist there, or send through the server "+
				"that your customers' e-mails go through", "the mail server refuses the address at once, with code %d", mail.Code(err)), nil
		}
		return doctor.Finding{}, err
	}
	for time.Since(begun) < doctor.RoundTripTime {
		select {
		case <-ctx.Done():
			return doctor.Finding{}, ctx.Err()
		case <-time.After(time.Second):
		}
		if p, err = a.db.MailProbe(ctx, p.ID); err != nil {
			return doctor.Finding{}, err
		}
		if p.ReturnedAt != nil {
			return doctor.Found("it came back by %s after %s, as %s", *p.Via, time.Since(begun).Round(time.Second), *p.Kind), nil
		}
	}
	return doctor.Bad(
		"see that reports for the bounce address reach an inlet, and that a worker runs with the same settings",
		"an e-mail to %s did not come back within %s", to, doctor.RoundTripTime), nil
}

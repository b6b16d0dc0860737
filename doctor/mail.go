package doctor

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-msgauth/dmarc"
	"golang.org/x/net/publicsuffix"
)

// Resolver asks DNS; net.DefaultResolver is one.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// Mail is what is known of how e-mails are sent.
type Mail struct {
	DNS    Resolver
	From   string // KEYTURN_MAIL_FROM
	Bounce string // KEYTURN_BOUNCE_ADDRESS; empty: reports go to From
	// DKIM is the name and the key under which e-mails are signed here; empty: nobody signs here.
	DKIM   string
	Public crypto.PublicKey
	// Connect opens a session at the mail server, as for sending, and ends it.
	Connect func(ctx context.Context) error
}

// envelope is the domain of the envelope's sender.
func (m Mail) envelope() string {
	if m.Bounce != "" {
		return domain(m.Bounce)
	}
	return domain(m.From)
}

func domain(address string) string {
	_, d, _ := strings.Cut(address, "@")
	return strings.ToLower(d)
}

// Checks are those of the mail.
func (m Mail) Checks() []Check {
	const area = "mail"
	return []Check{
		{Area: area, Name: "mail server", Look: m.server},
		{Area: area, Name: "SPF of " + m.envelope(), Look: m.spf},
		{Area: area, Name: "DKIM", Look: m.dkim},
		{Area: area, Name: "DMARC of " + domain(m.From), Look: m.dmarc},
		{Area: area, Name: "MX of " + m.envelope(), Look: m.mx},
	}
}

func (m Mail) server(ctx context.Context) Finding {
	if err := m.Connect(ctx); err != nil {
		return Bad("correct KEYTURN_SMTP_URL, or the mail server", "%s", err.Error())
	}
	return Found("it takes the sign-in")
}

func (m Mail) spf(ctx context.Context) Finding {
	d := m.envelope()
	record, err := spfRecord(ctx, m.DNS, d)
	if err != nil {
		return Bad("give "+d+` one TXT record that names your mail server, such as "v=spf1 include:spf.provider.example -all"`,
			"%s", err.Error())
	}
	lookups, err := spfLookups(ctx, m.DNS, record, 0)
	switch {
	case err != nil:
		return Bad("correct the record of "+d, "%s: %s", record, err.Error())
	case lookups > maxSPFLookups:
		return Bad("name addresses (ip4:, ip6:) in place of some names", "%s takes %d look-ups in DNS, and recipients make "+
			"%d at most: they count it as wrong", record, lookups, maxSPFLookups)
	case strings.Contains(" "+record+" ", " +all ") || strings.Contains(" "+record+" ", " all "):
		return Bad("end the record with -all or ~all", "%s lets anybody send in the name of %s", record, d)
	case !strings.Contains(record, "all") && !strings.Contains(record, "redirect="):
		return Warn("end the record with -all or ~all", "%s does not say what becomes of other servers' e-mails", record)
	}
	return Found("%s. Whether it names the server that your e-mails leave from cannot be seen from here", record)
}

func (m Mail) dkim(ctx context.Context) Finding {
	if m.DKIM == "" {
		return Skip("KEYTURN_DKIM_KEY is not set: your mail server or service must sign, or recipients cannot tell whose " +
			"e-mails they are")
	}
	const toDo = "give the record of docs/run/bounces.md under this name"
	texts, err := m.DNS.LookupTXT(ctx, m.DKIM)
	if err != nil {
		return Bad(toDo, "%s: %s", m.DKIM, dnsError(err))
	}
	want, err := publicText(m.Public)
	if err != nil {
		return Bad("use an RSA or Ed25519 key", "%s", err.Error())
	}
	for _, text := range texts {
		if p := tagOf(text, "p"); want[strings.ReplaceAll(p, " ", "")] {
			return Found("%s has the key that signs", m.DKIM)
		}
	}
	return Bad(toDo, "%s has another key than the one that signs", m.DKIM)
}

// publicText are the forms in which a record may have a public key.
func publicText(key crypto.PublicKey) (map[string]bool, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	if short, ok := key.(ed25519.PublicKey); ok { // as it is, without its type
		return map[string]bool{base64.StdEncoding.EncodeToString(short): true}, nil
	}
	return map[string]bool{base64.StdEncoding.EncodeToString(der): true}, nil
}

// tagOf is the value of a tag in a record such as v=DKIM1; p=….
func tagOf(record, name string) string {
	for part := range strings.SplitSeq(record, ";") {
		if key, value, ok := strings.Cut(strings.TrimSpace(part), "="); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func (m Mail) dmarc(ctx context.Context) Finding {
	from := domain(m.From)
	record, at, err := m.dmarcRecord(ctx, from)
	if err != nil {
		return Warn(`give _dmarc.`+organization(from)+` a TXT record, "v=DMARC1; p=none; rua=mailto:…" to begin with`, "%s",
			err.Error())
	}
	spfAligned := aligned(from, m.envelope(), record.SPFAlignment)
	dkimAligned := m.DKIM != "" // it signs for the domain of From itself
	switch {
	case !spfAligned && !dkimAligned:
		return Bad("take a bounce address below "+organization(from)+", or sign e-mails (KEYTURN_DKIM_KEY)",
			"%s has p=%s, and neither the envelope's domain %s nor a signature of ours is aligned with %s", at, record.Policy,
			m.envelope(), from)
	case !spfAligned:
		return Warn("take a bounce address below "+organization(from), "%s has p=%s. The signature is aligned with %s, the "+
			"envelope's domain %s is not", at, record.Policy, from, m.envelope())
	}
	return Found("%s has p=%s, and the envelope's domain %s is aligned with %s", at, record.Policy, m.envelope(), from)
}

// dmarcRecord is that of a domain, or else of its organization.
func (m Mail) dmarcRecord(ctx context.Context, from string) (*dmarc.Record, string, error) {
	look := func(name string) (*dmarc.Record, error) {
		return dmarc.LookupWithOptions(name, &dmarc.LookupOptions{
			LookupTXT: func(name string) ([]string, error) { return m.DNS.LookupTXT(ctx, name) },
		})
	}
	at := from
	record, err := look(at)
	if errors.Is(err, dmarc.ErrNoPolicy) && organization(from) != from {
		at = organization(from)
		record, err = look(at)
	}
	return record, "_dmarc." + at, err
}

// organization is the registered domain that a name belongs to.
func organization(name string) string {
	if d, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return d
	}
	return name
}

func aligned(from, other string, mode dmarc.AlignmentMode) bool {
	if mode == dmarc.AlignmentStrict {
		return from == other
	}
	return organization(from) == organization(other)
}

func (m Mail) mx(ctx context.Context) Finding {
	if m.Bounce == "" {
		return Skip("KEYTURN_BOUNCE_ADDRESS is not set: what comes back goes to KEYTURN_MAIL_FROM, and nobody notices")
	}
	d := m.envelope()
	found, err := m.DNS.LookupMX(ctx, d)
	if err != nil || len(found) == 0 {
		return Bad("give "+d+" an MX record that leads to where reports are taken", "%s", dnsError(err))
	}
	var names []string
	for _, mx := range found {
		host := strings.TrimSuffix(mx.Host, ".")
		if _, err := m.DNS.LookupHost(ctx, host); err != nil {
			return Bad("correct the MX record of "+d, "its mail server %s has no address: %s", host, dnsError(err))
		}
		names = append(names, host)
	}
	return Found("%s", strings.Join(names, ", "))
}

func dnsError(err error) string {
	if err == nil {
		return "there is no record"
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if e.IsNotFound {
			return "there is no record"
		}
		return "DNS does not answer: " + e.Err
	}
	return err.Error()
}

// RoundTripTime is how long an e-mail that nobody can have may take to come back.
const RoundTripTime = 2 * time.Minute

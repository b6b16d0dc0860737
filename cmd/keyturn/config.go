package main

import (
	"math"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/throttle"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/payment"
	"keyturn.dev/keyturn/payment/stripe"
)

// config is what a process needs to know, from the environment; `keyturn dev` fills it in by itself. Where Temporal is
// comes from Temporal's own variables (TEMPORAL_ADDRESS and the rest).
type config struct {
	Production  bool
	DatabaseURL string // KEYTURN_DATABASE_URL
	KeysFile    string // KEYTURN_KEYS
	PublicURL   string // KEYTURN_PUBLIC_URL: where customers reach the API, for the links of order pages
	TemporalUI  string // KEYTURN_TEMPORAL_UI

	TemporalAddress string // of a server that this program started; empty: Temporal's own settings
	Mail            mail.Config
	MailFrom        string // KEYTURN_MAIL_FROM
	MailName        string // KEYTURN_MAIL_NAME
	Operations      string // KEYTURN_OPERATIONS_MAIL: who gets the alerts
	// Payments are the providers behind HTTP, by the name that orders give: KEYTURN_PAYMENTS.
	Payments map[string]payment.Gateway
	// Stripe is the account that sells and refunds; nil: none (KEYTURN_STRIPE_KEY and others).
	Stripe *stripe.Config
	// AllowModeMismatch lets a test key run in production, for staging: --allow-mode-mismatch.
	AllowModeMismatch bool
	// ReturnOrigins are those that checkout links may lead back to: KEYTURN_RETURN_ORIGINS.
	ReturnOrigins []string
	// Proxies are those whose X-Forwarded-For tells who a client is: KEYTURN_TRUSTED_PROXIES.
	Proxies []netip.Prefix
	Bounces bounceSettings
	// Signer signs e-mails: KEYTURN_DKIM_KEY. nil: nobody does.
	Signer *mail.Signer
	// Retention is how long is kept what nothing depends on any more: KEYTURN_KEEP_EMAILS.
	Retention db.Retention
}

const configHelp = `
Settings come from the environment:
  KEYTURN_DATABASE_URL     postgres://user:password@host:5432/keyturn?sslmode=verify-full
  KEYTURN_KEYS             file with the keys that encrypt secrets (keyturn keys create)
  KEYTURN_PUBLIC_URL       https://shop.example.com, where customers reach order pages
  KEYTURN_SMTP_URL         smtp://user:password@mail.example.com:587 (STARTTLS) or smtps://…:465
  KEYTURN_MAIL_FROM        keys@shop.example.com
  KEYTURN_MAIL_NAME        Example Shop
  KEYTURN_OPERATIONS_MAIL  ops@shop.example.com, who gets the alerts
  KEYTURN_BOUNCE_ADDRESS   bounce@mail.shop.example.com, where e-mails come back to, each with a tag of its own
  KEYTURN_BOUNCE_LISTEN    :2525, where workers take what comes back by SMTP; lmtp://:2525 by LMTP
  KEYTURN_BOUNCE_IMAP      imaps://user:password@mail.example.com/INBOX, a mailbox that workers look into
  KEYTURN_BOUNCE_SES, KEYTURN_BOUNCE_POSTMARK, KEYTURN_BOUNCE_MAILGUN, KEYTURN_BOUNCE_SENDGRID
                           a secret, which ends the address of the hook /hooks/mail/ses/SECRET; of Mailgun and SendGrid
                           the key of their signatures follows after a space
  KEYTURN_DKIM_KEY         the private key that signs e-mails (PEM), and KEYTURN_DKIM_SELECTOR, where its public key is
  KEYTURN_PAYMENTS         till=https://:token@pay.example.com, where orders of the provider till are refunded;
                           several with spaces between them; manual (refunded by a person) and none (costs nothing)
                           are built in
  KEYTURN_STRIPE_KEY       rk_live_…, the key of an account at Stripe that sells and refunds
  KEYTURN_STRIPE_WEBHOOK_SECRETS  whsec_…, which sign Stripe's events (keyturn stripe setup); two with a space between
  KEYTURN_STRIPE_AUTHORIZE card,link, the means of payment that are authorized first where a link says whenPossible
  KEYTURN_STRIPE_URL       http://127.0.0.1:12111, in place of Stripe's API, and of its payment page after a space; tests
  KEYTURN_INSTALLATION     shop-1, this installation's name at Stripe; never changes
  KEYTURN_RETURN_ORIGINS   https://shop.example.com, where checkout links may lead back to (returnUrl, cancelUrl);
                           several with commas between them; default: nowhere
  KEYTURN_TRUSTED_PROXIES  10.0.0.0/8, the proxies whose X-Forwarded-For tells who a client is; default: none
  KEYTURN_KEEP_EMAILS      400d, how long the text of e-mails that went out is kept; forever: for good
  KEYTURN_METRICS_ADDR     127.0.0.1:9464, where Prometheus reads /metrics, and /livez and /readyz are; off: nowhere
  KEYTURN_TEMPORAL_UI      https://temporal.example.com, for links to histories
  TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS… as for Temporal's own tools
  KEYTURN_DEVELOPMENT=1    allows plain HTTP, loopback partners, mail without TLS, and the payment provider sandbox
KEYTURN_DATABASE_URL, KEYTURN_SMTP_URL, KEYTURN_PAYMENTS, KEYTURN_STRIPE_KEY, KEYTURN_STRIPE_WEBHOOK_SECRETS,
KEYTURN_DKIM_KEY, KEYTURN_BOUNCE_IMAP and those of the hooks may stand in files:
KEYTURN_DATABASE_URL_FILE=/run/secrets/…`

// configFromEnv reads the settings and names every one that is missing or wrong.
func configFromEnv() (config, error) {
	c := config{
		Production: os.Getenv("KEYTURN_DEVELOPMENT") != "1",
		KeysFile:   os.Getenv("KEYTURN_KEYS"),
		PublicURL:  strings.TrimSuffix(os.Getenv("KEYTURN_PUBLIC_URL"), "/"),
		TemporalUI: strings.TrimSuffix(os.Getenv("KEYTURN_TEMPORAL_UI"), "/"),
		MailFrom:   os.Getenv("KEYTURN_MAIL_FROM"), MailName: os.Getenv("KEYTURN_MAIL_NAME"),
		Operations: os.Getenv("KEYTURN_OPERATIONS_MAIL"),
	}
	var bad keyturn.Problems
	isSet := func(name, what string) bool {
		bad.Check(os.Getenv(name) != "", name, "is not set: %s", what)
		return os.Getenv(name) != ""
	}
	secret := func(name, what string) string {
		text, err := secretFromEnv(name)
		bad.Merge(name, err)
		bad.Check(err != nil || text != "" || what == "", name, "is not set: %s", what)
		return text
	}
	c.DatabaseURL = secret(databaseURLEnv, "the database's address")
	isSet("KEYTURN_KEYS", "the file with the keys that encrypt secrets")
	if isSet("KEYTURN_PUBLIC_URL", "where customers reach order pages") {
		public, err := url.Parse(c.PublicURL)
		bad.Check(err == nil && public.Host != "" && (public.Scheme == "https" || !c.Production), "KEYTURN_PUBLIC_URL",
			"must be an https:// address")
	}
	if smtp := secret(smtpURLEnv, "the mail server's address"); smtp != "" {
		var err error
		c.Mail, err = mailFromURL(smtp, c.Production)
		bad.Merge(smtpURLEnv, err)
	}
	if isSet("KEYTURN_MAIL_FROM", "the sender's address") {
		ascii, err := mail.ASCIIAddress(c.MailFrom) // its domain is in every Message-ID
		bad.Merge("KEYTURN_MAIL_FROM", err)
		c.MailFrom = ascii
	}
	if isSet("KEYTURN_OPERATIONS_MAIL", "who gets the alerts") {
		bad.Merge("KEYTURN_OPERATIONS_MAIL", mail.CheckAddress(c.Operations))
	}
	var err error
	c.Bounces, err = bouncesFromEnv(c.Production)
	bad.Merge("", err)
	c.Signer, err = signerFrom(secret(dkimKeyEnv, ""), os.Getenv("KEYTURN_DKIM_SELECTOR"), c.MailFrom)
	bad.Merge(dkimKeyEnv, err)
	c.Payments, err = paymentsFrom(secret(paymentsEnv, ""), c.Production)
	bad.Merge(paymentsEnv, err)
	c.Stripe, err = stripeFromEnv(secret(stripeKeyEnv, ""), secret(stripeSecretsEnv, ""))
	bad.Merge("", err)
	c.ReturnOrigins, err = originsFrom(os.Getenv(returnOriginsEnv))
	bad.Merge(returnOriginsEnv, err)
	c.Proxies, err = throttle.ParseProxies(os.Getenv("KEYTURN_TRUSTED_PROXIES"))
	bad.Merge("KEYTURN_TRUSTED_PROXIES", err)
	c.Retention = db.DefaultRetention
	c.Retention.Emails, err = keepFrom(os.Getenv("KEYTURN_KEEP_EMAILS"), c.Retention.Emails)
	bad.Merge("KEYTURN_KEEP_EMAILS", err)
	return c, bad.Err("the settings are not complete")
}

// signerFrom makes the signer of e-mails for the domain that they come from.
func signerFrom(key, selector, from string) (*mail.Signer, error) {
	if key == "" && selector == "" {
		return nil, nil //nolint:nilnil // nobody signs
	}
	if key == "" || selector == "" {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "and KEYTURN_DKIM_SELECTOR belong together")
	}
	_, domain, _ := strings.Cut(from, "@")
	return mail.NewSigner(keyturn.Secret(key), domain, selector)
}

// keepFrom reads for how many days something is kept.
func keepFrom(text string, otherwise time.Duration) (time.Duration, error) {
	switch text {
	case "":
		return otherwise, nil
	case "forever":
		return math.MaxInt64, nil
	}
	days, ok := strings.CutSuffix(text, "d")
	n, err := strconv.Atoi(days)
	if !ok || err != nil || n < 1 || n > 36_500 {
		return 0, keyturn.Errorf(keyturn.KindInvalid, "must be a number of days such as 400d, from 1d to 36500d, or forever")
	}
	return time.Duration(n) * 24 * time.Hour, nil
}

const returnOriginsEnv = "KEYTURN_RETURN_ORIGINS"

// originsFrom reads origins with commas between them.
func originsFrom(text string) (origins []string, err error) {
	for origin := range strings.SplitSeq(text, ",") {
		origin = strings.TrimSuffix(strings.TrimSpace(origin), "/")
		if origin == "" {
			continue
		}
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || origin != u.Scheme+"://"+u.Host {
			return nil, keyturn.Errorf(keyturn.KindInvalid,
				"must be https:// origins such as https://shop.example.com, with commas between them")
		}
		origins = append(origins, origin)
	}
	return origins, nil
}

const builtIn = "stripe has settings of its own (KEYTURN_STRIPE_KEY), " +
	"sandbox is for development (KEYTURN_DEVELOPMENT=1), manual is refunded by a person, none costs nothing"

// paymentsFrom reads name=URL pairs.
func paymentsFrom(text string, production bool) (map[string]payment.Gateway, error) {
	out := map[string]payment.Gateway{}
	for _, pair := range strings.Fields(text) {
		name, address, _ := strings.Cut(pair, "=")
		if !keyturn.ValidID(name) {
			return nil, keyturn.Errorf(keyturn.KindInvalid,
				"must name each provider as orders do: till=https://:token@pay.example.com")
		}
		if slices.Contains([]string{payment.SandboxName, stripe.Name, keyturn.PaymentManual, keyturn.PaymentNone}, name) {
			return nil, keyturn.Errorf(keyturn.KindInvalid, "must not name %s, which is built in: %s", name, builtIn)
		}
		gateway, err := payment.ParseGateway(address, production)
		if err != nil {
			return nil, keyturn.Errorf(keyturn.KindInvalid, "the address of %s %s", name, err.Error())
		}
		out[name] = gateway
	}
	return out, nil
}

// mailFromURL reads smtp://user:password@host:587 (STARTTLS), smtps://host:465 (TLS) and, in development,
// smtp+plain://host:1025.
func mailFromURL(text string, production bool) (mail.Config, error) {
	u, err := url.Parse(text)
	modes := map[string]string{"smtp": mail.TLSStart, "smtps": mail.TLSImplicit, "smtp+plain": mail.TLSNone}
	if err != nil || u == nil || modes[u.Scheme] == "" || u.Port() == "" || u.Hostname() == "" {
		return mail.Config{}, keyturn.Errorf(keyturn.KindInvalid, "must look like smtp://user:password@mail.example.com:587")
	}
	if production && u.Scheme == "smtp+plain" {
		return mail.Config{}, keyturn.Errorf(keyturn.KindInvalid,
			"must use smtp:// (STARTTLS) or smtps://: keys do not travel in the clear")
	}
	password, _ := u.User.Password()
	return mail.Config{
		Addr: u.Host, Username: u.User.Username(), Password: keyturn.Secret(password),
		TLS: modes[u.Scheme],
	}, nil
}

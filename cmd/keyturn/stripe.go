package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment/stripe"
)

// The settings of Stripe.
const (
	stripeKeyEnv       = "KEYTURN_STRIPE_KEY"
	stripeSecretsEnv   = "KEYTURN_STRIPE_WEBHOOK_SECRETS" //nolint:gosec // the name of a setting
	stripeAuthorizeEnv = "KEYTURN_STRIPE_AUTHORIZE"
	stripeURLEnv       = "KEYTURN_STRIPE_URL"
	installationEnv    = "KEYTURN_INSTALLATION"
)

// stripeFromEnv reads Stripe's settings; nil without a key.
func stripeFromEnv(key, secrets string) (*stripe.Config, error) {
	if key == "" {
		return nil, nil //nolint:nilnil // that it is not used is no error
	}
	c := stripe.Config{
		Key: keyturn.Secret(key), Installation: os.Getenv(installationEnv), Authorize: stripe.DefaultAuthorize,
	}
	for s := range strings.FieldsSeq(secrets) {
		c.WebhookSecrets = append(c.WebhookSecrets, keyturn.Secret(s))
	}
	if text := os.Getenv(stripeAuthorizeEnv); text != "" {
		c.Authorize = strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	}
	c.URL, c.PageOrigin, _ = strings.Cut(os.Getenv(stripeURLEnv), " ")
	if c.URL != "" && c.PageOrigin == "" {
		c.PageOrigin = c.URL
	}
	var bad keyturn.Problems
	if err := c.Check(); err != nil {
		for _, f := range err.(*keyturn.Error).Fields { //nolint:errorlint,forcetypeassert // it is of Problems
			bad.Addf(map[string]string{
				"key": stripeKeyEnv, "webhookSecrets": stripeSecretsEnv, "authorize": stripeAuthorizeEnv, "url": stripeURLEnv,
				"pageOrigin": stripeURLEnv, "installation": installationEnv,
			}[f.Location], "%s", f.Message)
		}
	}
	return &c, bad.Err("the settings of stripe are not valid")
}

// checkMode refuses a key of the wrong mode: one of the live mode where everything is tried out, and one of the test
// mode where goods are sold. Staging, which is set up as production is, may have a test key if its operator says so.
func checkMode(c config) error {
	switch {
	case c.Stripe == nil:
	case c.Stripe.Live() && !c.Production:
		return keyturn.Errorf(keyturn.KindConfiguration,
			"%s is of Stripe's live mode, and this is development: use a key that begins with rk_test_", stripeKeyEnv)
	case !c.Stripe.Live() && c.Production && !c.AllowModeMismatch:
		return keyturn.Errorf(keyturn.KindConfiguration, "%s is of Stripe's test mode, in which nobody pays: use a key that "+
			"begins with rk_live_, or --allow-mode-mismatch where nothing is sold", stripeKeyEnv)
	}
	return nil
}

// useStripe makes Stripe one of the providers, if it is configured.
func (a *app) useStripe(ctx context.Context) error {
	if a.Stripe == nil {
		return nil
	}
	if err := checkMode(a.config); err != nil {
		return err
	}
	processor, err := stripe.New(*a.Stripe)
	if err != nil {
		return err
	}
	if err := a.db.NameInstallation(ctx, a.Stripe.Installation); err != nil {
		return err
	}
	a.acts.Providers[stripe.Name] = processor
	a.desk.Processors[stripe.Name] = processor
	return nil
}

func newStripe() *cobra.Command {
	cmd := &cobra.Command{
		Use: "stripe", Short: "Prepare an account at Stripe",
		Example: "  keyturn stripe setup --public-url https://shop.example.com",
	}
	cmd.AddCommand(newStripeSetup())
	return cmd
}

func newStripeSetup() *cobra.Command {
	var o stripe.SetupOptions
	var public string
	cmd := &cobra.Command{
		Use: "setup", Short: "Check the key, and have Stripe send its events here", Args: cobra.NoArgs,
		Long: `Says which mode the key in KEYTURN_STRIPE_KEY is of and which permissions it lacks, and makes the endpoint
to which Stripe sends its events, or corrects its list of events. The secret of a new endpoint is printed once: set it
as KEYTURN_STRIPE_WEBHOOK_SECRETS. It may be repeated.

To change the secret over: --roll makes a further endpoint and prints its secret; set both, with a space between them,
for all processes; then --retire removes the one before, and its secret can go.

It was tested on an emulator, and not run against Stripe itself yet.`,
		Example: `  keyturn stripe setup --public-url https://shop.example.com`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := secretFromEnv(stripeKeyEnv)
			if err != nil {
				return err
			}
			c, err := stripeFromEnv(key, "")
			if err != nil {
				return err
			}
			if c == nil {
				return keyturn.Errorf(keyturn.KindInvalid, "%s is not set", stripeKeyEnv)
			}
			if public == "" {
				return keyturn.Errorf(keyturn.KindInvalid, "--public-url or KEYTURN_PUBLIC_URL says where customers reach the API")
			}
			o.Address = strings.TrimSuffix(public, "/") + "/hooks/" + stripe.Name
			processor, err := stripe.New(*c)
			if err != nil {
				return err
			}
			out, err := processor.Setup(cmd.Context(), o)
			if err != nil {
				return err
			}
			return show(cmd, out, func(w io.Writer) { tellSetup(w, o, out) })
		},
	}
	cmd.Flags().StringVar(&public, "public-url", os.Getenv("KEYTURN_PUBLIC_URL"),
		"where customers and Stripe reach the API (KEYTURN_PUBLIC_URL)")
	cmd.Flags().BoolVar(&o.Roll, "roll", false, "make a further endpoint with a secret of its own")
	cmd.Flags().BoolVar(&o.Retire, "retire", false, "remove all endpoints of this installation but the newest")
	return cmd
}

func tellSetup(w io.Writer, o stripe.SetupOptions, s stripe.Setup) {
	mode := "the test mode: nobody pays"
	if s.Live {
		mode = "the live mode"
	}
	fmt.Fprintf(w, "the key is of %s\n", mode)
	for _, p := range s.Lacks {
		fmt.Fprintf(w, "the key lacks the permission %s\n", p)
	}
	if len(s.Lacks) == 0 {
		fmt.Fprintln(w, "the key has the permissions that it needs")
	}
	if s.Made {
		fmt.Fprintf(w, "made the endpoint %s for %s; its secret, which is shown this once:\n\n  %s=%s\n\n", s.Endpoint,
			o.Address, stripeSecretsEnv, s.Secret)
	} else {
		fmt.Fprintf(w, "the endpoint %s sends events to %s\n", s.Endpoint, o.Address)
	}
	for _, id := range s.Retired {
		fmt.Fprintf(w, "removed the endpoint %s\n", id)
	}
}

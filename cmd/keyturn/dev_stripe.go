package main

import (
	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/devstack"
	stripeemulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/payment/stripe"
)

// devSecret signs the emulator's events.
const devSecret = "whsec_development" //nolint:gosec // the emulator runs on this machine

// startStripe has the stack sell through Stripe: with a key in the environment in Stripe's test mode, else on the
// emulator.
func (s *devStack) startStripe(dir *devstack.Dir) error {
	key, err := secretFromEnv(stripeKeyEnv)
	if err != nil {
		return err
	}
	if key != "" {
		secrets, err := secretFromEnv(stripeSecretsEnv)
		if err != nil {
			return err
		}
		c, err := stripeFromEnv(key, secrets)
		if err != nil {
			return err
		}
		s.config.Stripe = c
		return checkMode(s.config)
	}
	s.stripe = stripeemulator.New(stripeemulator.Config{
		Addr: addr(s.ports.stripe), PageAddr: addr(s.ports.stripePage), State: dir.Path("stripe.json"),
	})
	if err := s.stripe.Start(); err != nil {
		return err
	}
	s.stripe.AddEndpoint(s.config.PublicURL+"/hooks/"+stripe.Name, devSecret)
	s.config.Stripe = &stripe.Config{
		Key: stripeemulator.Key, WebhookSecrets: []keyturn.Secret{devSecret}, Authorize: stripe.DefaultAuthorize,
		Installation: "development", URL: s.stripe.URL(), PageOrigin: s.stripe.PageURL(),
	}
	return nil
}

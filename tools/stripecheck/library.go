package main

import (
	"encoding/json"
	"fmt"

	stripe "github.com/stripe/stripe-go/v85"
)

// asLibrary says what Stripe's library cannot read of an object, or reads otherwise.
func asLibrary(text []byte) []string {
	var is struct {
		ID     string `json:"id"`
		Object string `json:"object"`
	}
	if err := json.Unmarshal(text, &is); err != nil {
		return []string{err.Error()}
	}
	var v any
	id := func() string { return is.ID }
	switch is.Object {
	case "checkout.session":
		o := &stripe.CheckoutSession{}
		v, id = o, func() string { return o.ID }
	case "payment_intent":
		o := &stripe.PaymentIntent{}
		v, id = o, func() string { return o.ID }
	case "charge":
		o := &stripe.Charge{}
		v, id = o, func() string { return o.ID }
	case "refund":
		o := &stripe.Refund{}
		v, id = o, func() string { return o.ID }
	case "dispute":
		o := &stripe.Dispute{}
		v, id = o, func() string { return o.ID }
	case "radar.early_fraud_warning":
		o := &stripe.RadarEarlyFraudWarning{}
		v, id = o, func() string { return o.ID }
	case "webhook_endpoint":
		o := &stripe.WebhookEndpoint{}
		v, id = o, func() string { return o.ID }
	case "account":
		o := &stripe.Account{}
		v, id = o, func() string { return o.ID }
	case "event":
		o := &stripe.Event{}
		v, id = o, func() string { return o.ID }
	case "balance":
		v = &stripe.Balance{}
	case "list":
		var all struct {
			Data []json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(text, &all); err != nil {
			return []string{err.Error()}
		}
		var faults []string
		for _, one := range all.Data {
			faults = append(faults, asLibrary(one)...)
		}
		return faults
	case "item":
		o := &stripe.LineItem{}
		v, id = o, func() string { return o.ID }
	default:
		return []string{fmt.Sprintf("object %q: nobody here knows how Stripe's library reads it", is.Object)}
	}
	if err := json.Unmarshal(text, v); err != nil {
		return []string{"Stripe's library cannot read the " + is.Object + ": " + err.Error()}
	}
	if id() != is.ID {
		return []string{"Stripe's library reads the ID " + id() + " of " + is.ID}
	}
	return nil
}

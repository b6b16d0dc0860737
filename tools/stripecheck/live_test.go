package main

import (
	"bytes"
	"strings"
	"testing"

	emulator "keyturn.dev/keyturn/devstack/stripe"
)

// TestLiveComparesPlaces has another emulator stand in for Stripe: one that acts alike, and one that does not.
func TestLiveComparesPlaces(t *testing.T) {
	silence()
	e := emulator.New(emulator.Config{})
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	at := place{
		key: emulator.Key, url: e.URL(), wait: func() {},
		pay: func(_ *buyer, _, session, card string) error {
			_, err := e.Pay(session, emulator.Card(card))
			return err
		},
	}
	var out bytes.Buffer
	if err := compare(t.Context(), &out, at); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), ": 0 differences") {
		t.Error(out.String())
	}
	if n := len(purchases); !strings.HasPrefix(out.String(), "5 purchases") || n != 5 {
		t.Error(out.String())
	}

	out.Reset()
	at.pay = func(_ *buyer, _, session, card string) error { // its refunds are pending first
		if card == emulator.CardGood {
			card = emulator.CardRefundLate
		}
		_, err := e.Pay(session, emulator.Card(card))
		return err
	}
	if err := compare(t.Context(), &out, at); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"refunded: refund: on the emulator made: true; at Stripe", "status is"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing: %s", want, out.String())
		}
	}
}

// TestLiveTakesNoKeyOfTheLiveMode: nothing is bought with real money.
func TestLiveTakesNoKeyOfTheLiveMode(t *testing.T) {
	for _, key := range []string{"", "sk_live_1", "rk_live_1", "whsec_1"} {
		t.Setenv("KEYTURN_STRIPE_KEY", key)
		if err := live(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "test mode") {
			t.Errorf("%q: %v", key, err)
		}
	}
}

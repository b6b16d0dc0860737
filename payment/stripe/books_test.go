package stripe_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	emulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/payment"
)

// The lists have everything of this installation since a time, however many pages that takes, and of others what may be
// about a payment of ours.
func TestBooks(t *testing.T) {
	t.Parallel()
	s := sell(t)
	s.emulator.PaidElsewhere(100, "eur", map[string]string{"keyturn": "shop-1/" + paymentID}, emulator.Card(""))
	s.emulator.Advance(2 * time.Hour)
	since := s.emulator.Now().Add(-time.Hour)
	const many = 230
	var intents []string
	for i := range many {
		id := fmt.Sprintf("019b0000-0000-7000-8000-%012d", i)
		intents = append(intents, s.emulator.PaidElsewhere(1000+int64(i), "eur", map[string]string{
			"keyturn": "shop-1/" + id,
		}, emulator.Card("")))
	}
	s.emulator.PaidElsewhere(100, "eur", map[string]string{"keyturn": "shop-2/" + paymentID}, emulator.Card(""))
	others := s.emulator.PaidElsewhere(100, "eur", nil, emulator.Card(""))
	s.opening.ExpiresAt = s.emulator.Now().Add(2 * time.Hour)
	session := s.open().SessionReference
	_, err := s.Refund(t.Context(), payment.Refund{
		ID: paymentID, IdempotencyKey: "k", Reference: intents[0], Amount: eur(400),
	})
	require.NoError(t, err)
	_, err = s.emulator.Refund(others, 30)
	require.NoError(t, err)
	dispute, err := s.emulator.Dispute(intents[1])
	require.NoError(t, err)
	require.NoError(t, s.emulator.Warn(intents[2]))

	calls := 0
	s.emulator.SetFaults(func(emulator.Call) emulator.Fault { // each page goes wrong once
		if calls++; calls%2 == 1 {
			return emulator.Limited
		}
		return ""
	})
	b, err := s.Books(t.Context(), since)
	require.NoError(t, err)
	require.Len(t, b.Payments, many)
	newest := b.Payments[0]
	require.Equal(t, intents[many-1], newest.Reference)
	require.Equal(t, fmt.Sprintf("019b0000-0000-7000-8000-%012d", many-1), newest.ID)
	require.Equal(t, keyturn.AtProcessorCaptured, newest.Status)
	require.Equal(t, eur(1000+many-1), newest.Captured)
	require.Equal(t, eur(0), newest.Authorized)
	require.Len(t, b.Open, 1)
	require.Equal(t, session, b.Open[0].Reference)
	require.Equal(t, paymentID, b.Open[0].ID)
	require.Len(t, b.Refunds, 2)
	require.Equal(t, []string{"", others}, []string{b.Refunds[0].OurID, b.Refunds[0].Reference})
	require.Equal(t, []string{paymentID, intents[0]}, []string{b.Refunds[1].OurID, b.Refunds[1].Reference})
	require.Equal(t, eur(400), b.Refunds[1].Amount)
	require.Len(t, b.Disputes, 1)
	require.Equal(t, dispute, b.Disputes[0].ID)
	require.Equal(t, intents[1], b.Disputes[0].Reference)
	require.Equal(t, keyturn.DisputeOpen, b.Disputes[0].Status)
	require.Len(t, b.Warnings, 1)
	require.Equal(t, intents[2], b.Warnings[0].Reference)
	require.WithinDuration(t, s.emulator.Now(), b.Warnings[0].At, time.Minute)

	s.emulator.SetFaults(emulator.Shaky(100, emulator.Down))
	_, err = s.Books(t.Context(), since)
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
}

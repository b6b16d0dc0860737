package db

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// A payment that was open in the backup is asked for: what was paid since makes its order again, under the IDs that the
// lines had, and nothing is sold twice.
func TestRestoredAsksForPayments(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", keysNamed("OLD", 5)...)
	id, token := s.link(linkOf("k1", "game"))
	pay := s.openPayment(token)
	_, other := s.link(linkOf("k2", "game"))
	nobody := s.openPayment(other)
	_, ended := s.link(linkOf("k3", "game"))
	over := s.openPayment(ended)
	s.processorSays(over, keyturn.ProcessorState{Status: keyturn.AtProcessorExpired})
	_, later := s.link(linkOf("k4", "game"))
	since := time.Now()
	backup := s.backup(t)

	a := s.processorSays(pay, s.authorized(pay, 1000)).Accepted
	f := a.Starts[0].FulfillmentID
	s.paymentMails(pay)
	s.claimed(f)
	due, _, _, err := s.BeginCapture(s.ctx, f)
	require.NoError(t, err)
	require.NotNil(t, due)
	_, err = s.FinishCapture(s.ctx, f, s.capturedAs(pay, 1000))
	require.NoError(t, err)
	s.delivered(f)
	lost := s.openPayment(later)
	all := []WorkflowOutcome{s.happened(f, "pool/p", keyturn.LineDelivered)}

	s.restore(t, backup)
	s.exec(`DELETE FROM outbox`)
	r, err := s.Restored(s.ctx, since, 0, all)
	require.NoError(t, err)
	require.Equal(t, 2, r.Payments)
	require.Empty(t, r.Missing, "the payment makes its order by itself")
	known := []PaymentOutcome{{pay, id}, {lost, "a"}, {nobody, "b"}}
	missing, err := s.MissingPayments(s.ctx, known)
	require.NoError(t, err)
	require.Equal(t, []PaymentOutcome{{lost, "a"}}, missing)
	require.ElementsMatch(t, []string{pay, nobody},
		reads[string](s, `SELECT subject FROM outbox WHERE workflow = 'SettlePayment'`))
	for _, p := range []string{pay, nobody} {
		require.Equal(t, keyturn.PaymentDoRetrieve, s.nextOf(p))
	}
	require.Equal(t, keyturn.PaymentDoNothing, s.nextOf(over))

	out := s.processorSays(pay, s.capturedAs(pay, 1000))
	require.NotNil(t, out.Accepted)
	require.Equal(t, f, out.Accepted.Starts[0].FulfillmentID)
	require.Equal(t, keyturn.LinkUsed, s.linkStatus(id))
	require.Equal(t, keyturn.LineHeld, s.status(f), "its key is in the customer's mailbox")
	s.processorSays(nobody, keyturn.ProcessorState{Status: keyturn.AtProcessorExpired})
	again, err := s.Restored(s.ctx, since, 0, all)
	require.NoError(t, err)
	require.Zero(t, again.Payments)
	require.NoError(t, s.StageSupply(s.ctx, f, "", []string{"OLD-00000"}))
	s.resolve(f, keyturn.ActionSupply)
	s.paymentMails(pay)
	s.delivered(f)
}

// A line that was cancelled after the backup, in which its money was being taken, is a person's to decide: nobody knows
// before its provider was asked.
func TestRestoredWhileMoneyWasTaken(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "AAAA")
	_, token := s.link(linkOf("k1", "game"))
	pay := s.openPayment(token)
	f := s.processorSays(pay, s.authorized(pay, 1000)).Accepted.Starts[0].FulfillmentID
	s.paymentMails(pay)
	s.claimed(f)
	due, _, _, err := s.BeginCapture(s.ctx, f)
	require.NoError(t, err)
	require.NotNil(t, due)
	r, err := s.Restored(s.ctx, time.Now(), 0, []WorkflowOutcome{s.happened(f, "pool/p", keyturn.LineCanceled)})
	require.NoError(t, err)
	require.Equal(t, 1, r.Held)
	require.Equal(t, 1, r.Payments)
	require.Contains(t, read[string](s, `SELECT detail FROM alerts WHERE cause = 'Restored'`), "its workflow cancelled it")
	s.later(time.Minute)
	require.Equal(t, keyturn.PaymentDoRetrieve, s.nextOf(pay))
	s.processorSays(pay, keyturn.ProcessorState{Status: keyturn.AtProcessorVoided})
	require.Equal(t, keyturn.PaymentLost, s.paymentStatus(pay))
}

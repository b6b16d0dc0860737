package db

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// obtained gives a line that has its key.
func (s *shop) obtained() string {
	s.t.Helper()
	if _, err := s.Product(s.ctx, "game"); err != nil {
		s.product("game", fromPool("p"))
		s.stock("p", keysNamed("K", 20)...)
	}
	f := s.sell("game")
	s.claimed(f)
	return f
}

var mailServerDown = &StepFailure{Failure: keyturn.Failure{
	Kind:    keyturn.KindUnavailable,
	Message: "the mail server did not answer",
}}

// failDelivery books an e-mail that did not go out, or may have.
func (s *shop) failDelivery(f string, d *Delivery, exposed bool) keyturn.Next {
	s.t.Helper()
	next, err := s.FinishDelivery(s.ctx, f, d, mailServerDown, exposed)
	require.NoError(s.t, err)
	return next
}

func sameMail(t testingT, a, b *Delivery) {
	t.Helper()
	require.Equal(t, a.ID, b.ID)
	require.Equal(t, string(a.Message), string(b.Message))
}

func (s *shop) keyStates(f string) []string {
	s.t.Helper()
	return reads[string](s, `SELECT state FROM pool_keys WHERE line_id = $1 ORDER BY unit_no`, s.lineID(f))
}

func TestDeliveryMakesTheLineDelivered(t *testing.T) {
	s := newShop(t)
	f := s.obtained()
	d := s.beginDelivery(f)
	require.Contains(t, string(d.Message), "keys to ada@buyer.test "+d.ID+" K-00000")
	next, err := s.FinishDelivery(s.ctx, f, d, nil, false)
	require.NoError(t, err)
	require.Equal(t, keyturn.DoNothing, next.Do)
	require.Equal(t, keyturn.OrderCompleted, s.orderStatus(f))
	require.Equal(t, []string{"delivered"}, s.keyStates(f))

	again, err := s.FinishDelivery(s.ctx, f, d, nil, false)
	require.NoError(t, err)
	require.Equal(t, next, again)
	none, next, _, err := s.BeginDelivery(s.ctx, f, renderMail)
	require.NoError(t, err)
	require.Nil(t, none)
	require.Equal(t, keyturn.DoNothing, next.Do)

	licenses, err := s.licenses(s.customerIDOf(f), "ops")
	require.NoError(t, err)
	require.Len(t, licenses, 1)
	require.Equal(t, []string{"K-00000"}, licenses[0].ActivationCodes)
	require.Equal(t, f, licenses[0].ID)
}

// The e-mail is rendered once: what goes out again is what went out before, byte for byte.
func TestEveryTrySendsTheSameMessage(t *testing.T) {
	s := newShop(t)
	f := s.obtained()
	d := s.beginDelivery(f)
	first := *d
	for i := range 3 {
		next := s.failDelivery(f, d, i == 1)
		require.Equal(t, keyturn.LineRetrying, next.Status)
		require.Equal(t, keyturn.DoDeliver, next.Do)
		s.put(keyturn.Product{ID: "game", Name: "Renamed", Sources: []keyturn.Source{fromPool("p")}})
		d = s.beginDelivery(f)
		sameMail(t, &first, d)
	}
	require.Equal(t, keyturn.OrderPartialCompleted, s.orderStatus(f))
	s.later(sendLease)
	s.delivered(f)
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM deliveries`))
}

func TestOneProcessSendsAtATime(t *testing.T) {
	s := newShop(t)
	f := s.obtained()
	first := s.beginDelivery(f)
	_, _, wait, err := s.BeginDelivery(s.ctx, f, renderMail)
	wantKind(t, err, keyturn.KindConflict)
	require.Positive(t, wait)
	require.LessOrEqual(t, wait, sendLease+time.Second,
		"one was reckoned by this process's clock, the other by the database's")

	s.later(sendLease) // its process died
	sameMail(t, first, s.beginDelivery(f))
	good := 0
	s.later(sendLease)
	for _, err := range atOnce(8, func(int) error { _, _, _, err := s.BeginDelivery(s.ctx, f, renderMail); return err }) {
		if err == nil {
			good++
		} else {
			wantKind(t, err, keyturn.KindConflict)
		}
	}
	require.Equal(t, 1, good)
}

// mailed is a line whose keys are claimed and whose e-mail is stored, as ClaimKeys leaves it.
func (s *shop) mailed() string {
	s.t.Helper()
	s.product("game", fromPool("p"))
	s.stock("p", "K1")
	f := s.sell("game")
	next, err := s.Claim(s.ctx, f, renderMail)
	require.NoError(s.t, err)
	require.Equal(s.t, keyturn.DoDeliver, next.Do)
	require.Equal(s.t, []string{"READY"}, reads[string](s, `SELECT status FROM deliveries`))
	return f
}

// A process that dies after it stored the e-mail and before it took the lease has shown the keys to nobody, and holds
// up nobody.
func TestAStoredEmailHasShownItsKeysToNobody(t *testing.T) {
	t.Run("the next process sends it at once", func(t *testing.T) {
		s := newShop(t)
		s.delivered(s.mailed())
	})
	t.Run("one of many takes the lease", func(t *testing.T) {
		s := newShop(t)
		f := s.mailed()
		good := 0
		for _, err := range atOnce(8, func(int) error {
			_, _, _,
				err := s.BeginDelivery(s.ctx, f, neverRender)
			return err
		}) {
			if err == nil {
				good++
			} else {
				wantKind(t, err, keyturn.KindConflict)
			}
		}
		require.Equal(t, 1, good)
		require.Equal(t, 1, read[int](s, `SELECT attempts FROM deliveries`))
	})
	for name, meanwhile := range map[string]func(s *shop, f string){
		"refunded": func(s *shop, f string) { s.resolve(f, keyturn.ActionRefund) },
		"its order cancelled": func(s *shop, f string) {
			require.NoError(s.t, s.CancelOrder(s.ctx, read[string](s,
				`SELECT order_id FROM line_items WHERE fulfillment_id = $1`, f), "asked"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			f := s.mailed()
			meanwhile(s, f)
			d, next, _, err := s.BeginDelivery(s.ctx, f, neverRender)
			require.NoError(t, err)
			require.Nil(t, d, "it is not sent any more")
			require.Equal(t, keyturn.DoRefund, next.Do)
			require.Equal(t, []string{"available"}, reads[string](s, `SELECT state FROM pool_keys`))
			require.Zero(t, s.count(`alerts`))
		})
	}
	t.Run("held", func(t *testing.T) {
		s := newShop(t)
		f := s.mailed()
		s.resolve(f, keyturn.ActionHold)
		d, next, _, err := s.BeginDelivery(s.ctx, f, neverRender)
		require.NoError(t, err)
		require.Nil(t, d)
		require.Equal(t, keyturn.DoAwait, next.Do)
		s.resolve(f, keyturn.ActionRelease)
		s.delivered(f)
	})
}

// While the e-mail with the keys is being sent nobody gives the line up; afterwards the outcome counts.
func TestNobodyRefundsWhileTheEmailIsSent(t *testing.T) {
	s := newShop(t)
	f := s.obtained()
	d := s.beginDelivery(f)
	_, err := s.Resolve(s.ctx, f, keyturn.Resolution{ID: "r1", Action: keyturn.ActionRefund})
	wantKind(t, err, keyturn.KindConflict)
	require.Equal(t, keyturn.LineObtained, s.status(f))
	_, err = s.FinishDelivery(s.ctx, f, d, nil, false)
	require.NoError(t, err)
	_, err = s.Resolve(s.ctx, f, keyturn.Resolution{ID: "r1", Action: keyturn.ActionRefund})
	wantKind(t, err, keyturn.KindConflict)
	require.Zero(t, read[int](s, `SELECT count(*) FROM refunds`))
}

// Keys that nobody can have seen go back, to their old place in the queue; keys that somebody may have seen never do.
func TestKeysOfAGivenUpLine(t *testing.T) {
	for name, c := range map[string]struct {
		before func(s *shop, f string)
		state  string
	}{
		"no e-mail was begun": {func(*shop, string) {}, "available"},
		"the e-mail was refused": {func(s *shop, f string) {
			s.failDelivery(f, s.beginDelivery(f), false)
		}, "available"},
		"the e-mail may have gone out": {func(s *shop, f string) {
			s.failDelivery(f, s.beginDelivery(f), true)
		}, "quarantined"},
		"it may have gone out, and was refused later": {func(s *shop, f string) {
			s.failDelivery(f, s.beginDelivery(f), true)
			s.failDelivery(f, s.beginDelivery(f), false)
		}, "quarantined"},
		"the process that sent it died": {func(s *shop, f string) {
			s.beginDelivery(f)
			s.later(sendLease)
		}, "quarantined"},
		"the process that sent it died, and it was refused later": {func(s *shop, f string) {
			s.beginDelivery(f)
			s.later(sendLease)
			s.failDelivery(f, s.beginDelivery(f), false)
		}, "quarantined"},
		"an operator looked at them": {func(s *shop, f string) {
			_, err := s.Deliverables(s.ctx, f, "ops")
			require.NoError(s.t, err)
		}, "quarantined"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			f, next := s.obtained(), s.sell("game")
			c.before(s, f)
			s.resolve(f, keyturn.ActionRefund)
			require.Equal(t, c.state, read[string](s, `SELECT state FROM pool_keys ORDER BY position LIMIT 1`))
			s.claimed(next)
			want := map[string]string{"available": "K-00000", "quarantined": "K-00001"}[c.state]
			require.Equal(t, []string{want}, s.keysOf(next))
			s.refunded(f)
			_, err := s.Deliverables(s.ctx, f, "ops")
			wantKind(t, err, keyturn.KindConflict)
		})
	}
}

// A delivered line whose order is cancelled loses its licence, and its keys are never sold again.
func TestCancelledOrderTakesDeliveredLinesBack(t *testing.T) {
	s := newShop(t)
	s.obtained()
	f := s.order("o1", lineOf("game", 1), lineOf("game", 2))
	s.claimed(f[0])
	s.delivered(f[0])
	require.NoError(t, s.CancelOrder(s.ctx, "o1", "fraud"))
	require.NoError(t, s.CancelOrder(s.ctx, "o1", "fraud"), "idempotent")
	s.relayDone(s.takeTurn("o1"))
	next, err := s.Review(s.ctx, f[0])
	require.NoError(t, err)
	require.Equal(t, keyturn.LineCanceling, next.Status)
	next, err = s.Claim(s.ctx, f[1], nil)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineCanceling, next.Status, "a line under way sees it at its next step")
	require.Equal(t, []string{"quarantined"}, s.keyStates(f[0]))
	require.Equal(t, "Canceled", read[string](s, `SELECT status FROM licenses WHERE id = $1`, f[0]))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM outbox WHERE workflow = $1`, WorkflowCancel))
	require.Equal(t, keyturn.OrderCancelPending, s.orderStatus(f[0]))
	s.refunded(f[0])
	s.refunded(f[1])
	require.Equal(t, keyturn.OrderCanceled, s.orderStatus(f[0]))
	wantKind(t, s.CancelOrder(s.ctx, "o1", "fraud"), keyturn.KindConflict)
}

// onGiveUp: cancel_order. One line that cannot be fulfilled takes the others with it.
func TestOneLineCancelsItsOrder(t *testing.T) {
	s := newShop(t)
	s.obtained()
	s.put(keyturn.Product{ID: "core", OnGiveUp: keyturn.CancelOrder, Sources: []keyturn.Source{fromEndpoint("acme")}})
	f := s.order("o1", lineOf("core", 1), lineOf("game", 1))
	s.claimed(f[1])
	r := refused(s.beginCall(f[0]), keyturn.KindRejected)
	r.Failed.Permanent = true
	require.Equal(t, keyturn.LineCanceling, s.finishCall(f[0], r).Status)
	require.Equal(t, []string{WorkflowTurn}, reads[string](s, `SELECT workflow FROM outbox WHERE subject = 'o1'`))
	none, next, _, err := s.BeginDelivery(s.ctx, f[1], renderMail)
	require.NoError(t, err)
	require.Nil(t, none)
	require.Equal(t, keyturn.LineCanceling, next.Status)
}

// A hold that comes while the e-mail is under way does not undo what the mail server took.
func TestHoldDuringTheEmail(t *testing.T) {
	s := newShop(t)
	f := s.obtained()
	d := s.beginDelivery(f)
	s.resolve(f, keyturn.ActionHold)
	next, err := s.FinishDelivery(s.ctx, f, d, nil, false)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineDelivered, next.Status)

	g := s.obtained()
	d = s.beginDelivery(g)
	s.resolve(g, keyturn.ActionHold)
	require.Equal(t, keyturn.LineHeld, s.failDelivery(g, d, false).Status)
	s.resolve(g, keyturn.ActionRelease)
	sameMail(t, d, s.beginDelivery(g))
}

// A key that no e-mail can carry is the line's failure; the deadline ends it.
func TestEmailThatCannotBeMade(t *testing.T) {
	s := newShop(t)
	f := s.obtained()
	bad := func(MailFacts) ([]byte, error) {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "a key has a line feed")
	}
	d, next, _, err := s.BeginDelivery(s.ctx, f, bad)
	require.NoError(t, err)
	require.Nil(t, d)
	require.Equal(t, keyturn.LineRetrying, next.Status)
	require.Equal(t, keyturn.KindConfiguration, next.Failure.Kind)
	s.later(keyturn.DefaultGiveUp)
	_, next, _, err = s.BeginDelivery(s.ctx, f, bad)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineCanceling, next.Status)
}

func TestResend(t *testing.T) {
	s := newShop(t)
	f := s.obtained()
	s.delivered(f)
	id, err := s.Resend(s.ctx, f, "new@buyer.test", "ops", renderMail)
	require.NoError(t, err)
	d, _, err := s.BeginSend(s.ctx, id)
	require.NoError(t, err)
	require.Contains(t, string(d.Message), "keys to new@buyer.test "+id+" K-00000", "the same keys, a new message")
	_, wait, err := s.BeginSend(s.ctx, id)
	wantKind(t, err, keyturn.KindConflict)
	require.Positive(t, wait)
	require.LessOrEqual(t, wait, sendLease)
	require.NoError(t, s.FinishSend(s.ctx, d, keyturn.Errorf(keyturn.KindUnavailable, "down")))
	again, _, err := s.BeginSend(s.ctx, id)
	require.NoError(t, err)
	sameMail(t, d, again)
	require.NoError(t, s.FinishSend(s.ctx, &Delivery{ID: id}, nil))
	none, _, err := s.BeginSend(s.ctx, id)
	require.NoError(t, err)
	require.Nil(t, none)
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM pool_keys WHERE state = 'delivered'`), "no pool is touched")

	_, err = s.Resend(s.ctx, s.sell("game"), "", "ops", renderMail)
	wantKind(t, err, keyturn.KindConflict)
}

// For a line whose first e-mail does not go out, the new e-mail takes the place of the old one.
func TestResendOfAnUndeliveredLine(t *testing.T) {
	s := newShop(t)
	f := s.obtained()
	s.failDelivery(f, s.beginDelivery(f), false)
	id, err := s.Resend(s.ctx, f, "new@buyer.test", "ops", renderMail)
	require.NoError(t, err)
	d := s.beginDelivery(f)
	require.Equal(t, id, d.ID)
	_, err = s.FinishDelivery(s.ctx, f, d, nil, false)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineDelivered, s.status(f))
}

// A process that was frozen beyond its lease wakes up and reports its dead connection. Another one sends by now: its
// lease stays, so that nobody refunds under its hands.
func TestReportOfALostLeaseChangesNothing(t *testing.T) {
	s := newShop(t)
	f := s.obtained()
	frozen := s.beginDelivery(f)
	s.later(sendLease)
	other := s.beginDelivery(f)
	require.Equal(t, keyturn.LineObtained, s.failDelivery(f, frozen, false).Status, "it is not the line's failure")
	require.Equal(t, "SENDING", read[string](s, `SELECT status FROM deliveries`))
	_, err := s.Resolve(s.ctx, f, keyturn.Resolution{Action: keyturn.ActionRefund})
	wantKind(t, err, keyturn.KindConflict)
	_, err = s.FinishDelivery(s.ctx, f, other, nil, false)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineDelivered, s.status(f))
}

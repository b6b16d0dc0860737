package db

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// openAlerts are the causes of the open alerts that CloseAlert may close, and of the others in brackets.
func (s *shop) openAlerts() (causes []string, ids []int64) {
	s.t.Helper()
	found, err := s.Alerts(s.ctx, "", false, "", 0, MaxAlerts)
	require.NoError(s.t, err)
	for _, a := range found {
		cause := string(a.Cause)
		if !a.Closable {
			cause = "(" + cause + ")"
		}
		causes, ids = append(causes, cause), append(ids, a.ID)
	}
	return causes, ids
}

// What a publisher has to be told by a person stays open until that person says that it is done.
func TestPeopleCloseTheAlertsThatNothingElseEnds(t *testing.T) {
	s := newShop(t)
	s.product("app", keyturn.Source{Type: keyturn.SourceDynamicURL, URL: "https://partner.test/key"})
	f := s.sell("app")
	s.finishCall(f, refused(s.beginCall(f), keyturn.KindUnavailable))
	causes, ids := s.openAlerts()
	require.Equal(t, []string{"(Unavailable)"}, causes)
	_, err := s.CloseAlert(s.ctx, ids[0], "ana", "seen")
	wantKind(t, err, keyturn.KindConflict)
	require.ErrorContains(t, err, "closes by itself")

	s.resolve(f, keyturn.ActionRefund)
	_, err = s.BeginRevocation(s.ctx, f, "dynamicurl", callTimeout, renderCall)
	require.NoError(t, err)
	s.refunded(f)
	causes, ids = s.openAlerts()
	require.Equal(t, []string{"Revocation"}, causes)
	for _, reason := range []string{"", "  ", strings.Repeat("x", 501)} {
		_, err = s.CloseAlert(s.ctx, ids[0], "ana", reason)
		wantKind(t, err, keyturn.KindInvalid)
		require.ErrorContains(t, err, "reason")
	}
	_, err = s.CloseAlert(s.ctx, 4711, "ana", "seen")
	wantKind(t, err, keyturn.KindNotFound)

	v, err := s.CloseAlert(s.ctx, ids[0], "ana", "blocked at the publisher")
	require.NoError(t, err)
	require.Equal(t, []any{"ana", "blocked at the publisher", f, false},
		[]any{v.ClosedBy, v.CloseReason, v.FulfillmentID, v.Closable})
	again, err := s.CloseAlert(s.ctx, ids[0], "bob", "me too")
	require.NoError(t, err)
	require.Equal(t, v, again, "it is closed once")
	causes, _ = s.openAlerts()
	require.Empty(t, causes)

	page, err := s.Alerts(s.ctx, "", true, "", 0, 1)
	require.NoError(t, err)
	require.Equal(t, keyturn.AlertRevocation, page[0].Cause)
	page, err = s.Alerts(s.ctx, "", true, "", page[0].ID, 1)
	require.NoError(t, err)
	require.Equal(t, keyturn.AlertUnavailable, page[0].Cause)
	page, err = s.Alerts(s.ctx, "", true, "Revocation", 0, 5)
	require.NoError(t, err)
	require.Len(t, page, 1)
	_, err = s.Alerts(s.ctx, "", true, "", 0, MaxAlerts+1)
	wantKind(t, err, keyturn.KindInvalid)
}

// An e-mail that somebody asked for and that does not go out is told, each time anew, and no longer once it went out.
func TestOperationsAreToldOfAnEmailThatDoesNotFollow(t *testing.T) {
	s := newShop(t)
	f := s.obtained()
	s.delivered(f)
	fails := func(id string) {
		t.Helper()
		d, _, err := s.BeginSend(s.ctx, id)
		require.NoError(t, err)
		require.NoError(t, s.FinishSend(s.ctx, d, keyturn.Errorf(keyturn.KindUnavailable, "down")))
	}
	told := func() int {
		t.Helper()
		n, err := s.TakeAlerts(s.ctx, 10, func([]Alert) error { return nil })
		require.NoError(t, err)
		return n
	}
	resend := func() string {
		t.Helper()
		id, err := s.Resend(s.ctx, f, "", "ops", renderMail)
		require.NoError(t, err)
		return id
	}
	first := resend()
	fails(first)
	fails(first)
	require.Equal(t, 1, told())
	_, _, err := s.BeginSend(s.ctx, first)
	require.NoError(t, err)
	require.NoError(t, s.FinishSend(s.ctx, &Delivery{ID: first}, nil))
	causes, _ := s.openAlerts()
	require.Empty(t, causes)

	second := resend()
	fails(second)
	require.Equal(t, 1, told(), "it is another one")
	third := resend()
	_, _, err = s.BeginSend(s.ctx, third)
	require.NoError(t, err)
	require.NoError(t, s.FinishSend(s.ctx, &Delivery{ID: third}, nil))
	causes, _ = s.openAlerts()
	require.Empty(t, causes, "a newer one took its place")
}

// Closing the alert of an e-mail that does not go out says that the customer was reached otherwise: nothing tries any
// more, until somebody asks for it again.
func TestAnEmailWhoseAlertIsClosedIsNotTriedAnyMore(t *testing.T) {
	s := newShop(t)
	f := s.obtained()
	s.delivered(f)
	resend := func() string {
		t.Helper()
		id, err := s.Resend(s.ctx, f, "", "ops", renderMail)
		require.NoError(t, err)
		return id
	}
	first := resend()
	d, _, err := s.BeginSend(s.ctx, first)
	require.NoError(t, err)
	require.NotNil(t, d)
	require.NoError(t, s.FinishSend(s.ctx, d, keyturn.Errorf(keyturn.KindUnavailable, "down")))
	_, ids := s.openAlerts()
	_, err = s.CloseAlert(s.ctx, ids[0], "ana", "sent from my own mailbox")
	require.NoError(t, err)

	d, _, err = s.BeginSend(s.ctx, first)
	require.NoError(t, err)
	require.Nil(t, d)
	s.exec(`DELETE FROM outbox`)
	_, err = s.Restored(s.ctx, time.Now(), 0, nil)
	require.NoError(t, err)
	require.Empty(t, reads[string](s, `SELECT subject FROM outbox`))

	second := resend()
	d, _, err = s.BeginSend(s.ctx, second)
	require.NoError(t, err)
	require.NotNil(t, d, "another one is")
	require.NoError(t, s.FinishSend(s.ctx, &Delivery{ID: second}, nil))
	_, err = s.EraseCustomer(s.ctx, "", s.customerIDOf(f), "ana")
	require.NoError(t, err)
}

package db

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// sent gives a line whose e-mail went out, and that e-mail's ID.
func (s *shop) sent() (f, deliveryID string) {
	s.t.Helper()
	f = s.obtained()
	s.delivered(f)
	return f, s.newestMail(f)
}

// newestMail is the ID of a line's newest e-mail with keys.
func (s *shop) newestMail(f string) string {
	s.t.Helper()
	return read[string](s, `SELECT id FROM deliveries WHERE kind = 'keys' AND line_id = $1 ORDER BY number DESC LIMIT 1`,
		s.lineID(f))
}

// bounced books a report about an e-mail.
func (s *shop) bounced(deliveryID string, kind keyturn.BounceKind) BounceResult {
	s.t.Helper()
	result, err := s.Bounced(s.ctx, BounceReport{
		Refs: []string{s.MailRef(deliveryID)}, Kind: kind, Status: "5.1.1",
		Diagnostic: "550 5.1.1 <ada@buyer.test>:\r\n user unknown, ask other@place.test", Via: keyturn.InletSMTP,
	})
	require.NoError(s.t, err)
	return result
}

func (s *shop) openOf(cause keyturn.AlertCause) int {
	s.t.Helper()
	return read[int](s, `SELECT count(*) FROM alerts WHERE cause = $1 AND closed_at IS NULL`, cause)
}

func TestMailRef(t *testing.T) {
	s := newShop(t)
	id := newID()
	ref := s.MailRef(id)
	require.Regexp(t, `^[a-z2-7]{26}\.[a-z2-7]{10}$`, ref)
	require.Equal(t, ref, s.MailRef(id))
	for _, good := range []string{ref, strings.ToUpper(ref)} {
		got, ok := s.MailOfRef(good)
		require.True(t, ok)
		require.Equal(t, id, got)
	}
	other := s.MailRef(newID())
	for _, bad := range []string{
		"", ".", ref[:26], ref[:27], ref + "a", ref[:26] + other[26:], other[:26] + ref[26:], ref[:len(ref)-1], "\x00" + ref[1:],
	} {
		_, ok := s.MailOfRef(bad)
		require.False(t, ok, bad)
	}
}

func TestAnEmailThatCameBackIsBookedOnce(t *testing.T) {
	s := newShop(t)
	f, id := s.sent()
	s.exec(`INSERT INTO webhooks (id, spec, secrets, max_concurrent, called) VALUES ('w', '{}', '', 1, false)`)
	s.exec(`INSERT INTO webhook_types (pattern, webhook, prefix) VALUES ('email.*', 'w', '')`)
	require.Equal(t, BounceBooked, s.bounced(id, keyturn.BounceDelayed))
	require.Zero(t, s.openOf(keyturn.AlertBounced), "it is still being tried")
	require.Equal(t, BounceBooked, s.bounced(id, keyturn.BounceBadAddress))
	for range 3 {
		require.Equal(t, BounceKnown, s.bounced(id, keyturn.BounceBadAddress))
	}
	require.Equal(t, 1, s.openOf(keyturn.AlertBounced))
	require.Equal(t, keyturn.LineDelivered, s.status(f), "the line's status stays")
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM events WHERE type = 'email.bounced'`))

	v, err := s.Fulfillment(s.ctx, f)
	require.NoError(t, err)
	require.Len(t, v.Deliveries, 1)
	require.Len(t, v.Deliveries[0].Bounces, 2)
	b := v.Deliveries[0].Bounces[1]
	require.Equal(t, keyturn.BounceBadAddress, b.Kind)
	require.Equal(t, "5.1.1", b.Status)
	require.Equal(t, "550 5.1.1 <[redacted]>: user unknown, ask [redacted]", b.Diagnostic)
	require.False(t, bytes.Contains(read[[]byte](s, `SELECT diagnostic FROM bounces WHERE kind = 'bad_address'`),
		[]byte("ada@buyer.test")), "it is sealed")

	alerts, err := s.Alerts(s.ctx, "", false, keyturn.AlertBounced, 0, 10)
	require.NoError(t, err)
	require.Equal(t, "an e-mail came back: nobody has its address (5.1.1)", alerts[0].Happened)
	require.True(t, alerts[0].Closable)
}

func TestAForgedReportChangesNothing(t *testing.T) {
	s := newShop(t)
	_, id := s.sent()
	own, other := s.MailRef(id), s.MailRef(newID())
	for i := range 10_000 {
		forged := own[:27] + refText.EncodeToString([]byte{byte(i), byte(i >> 8), 1, 2, 3, 4, 5})[:tagLength]
		result, err := s.Bounced(s.ctx, BounceReport{
			Refs: []string{forged, own[:26] + other[26:]}, Kind: keyturn.BounceBadAddress, Via: keyturn.InletIMAP,
		})
		require.NoError(t, err)
		require.Equal(t, BounceForged, result)
	}
	for _, r := range []BounceReport{{}, {DeliveryID: "no ID"}, {DeliveryID: newID()}, {Refs: []string{other}}} {
		r.Kind, r.Via = keyturn.BounceRefused, keyturn.InletIMAP
		result, err := s.Bounced(s.ctx, r)
		require.NoError(t, err)
		require.Equal(t, BounceForeign, result)
	}
	require.Zero(t, read[int](s, `SELECT count(*) FROM bounces`))
	require.Zero(t, s.openOf(keyturn.AlertBounced))
}

func TestWhatAReportMeans(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", keysNamed("K", 20)...)
	for _, kind := range keyturn.BounceKinds {
		f, id := s.sent()
		require.Equal(t, BounceBooked, s.bounced(id, kind))
		told := read[int](s, `SELECT count(*) FROM alerts WHERE line_id = $1`, s.lineID(f)) == 1
		require.Equal(t, kind.Alerts(), told, kind)
		page, err := s.CustomerPage(s.ctx, s.tokenOf(f), 1)
		require.NoError(t, err)
		require.Equal(t, kind.Lost(), page.Lines[0].CameBack, kind)
		require.Equal(t, kind.Lost(), page.Lines[0].MayCorrect, kind)
	}
}

func TestAReportAboutAReplacedEmailAlertsNobody(t *testing.T) {
	s := newShop(t)
	f, first := s.sent()
	_, err := s.Resend(s.ctx, f, "", "ops", renderMail)
	require.NoError(t, err)
	require.Equal(t, BounceBooked, s.bounced(first, keyturn.BounceBadAddress))
	require.Zero(t, s.openOf(keyturn.AlertBounced))
	require.True(t, read[bool](s, `SELECT replaced FROM bounces`))
}

func TestAnAlertOfABounceCloses(t *testing.T) {
	s := newShop(t)
	f, first := s.sent()
	s.bounced(first, keyturn.BounceRefused)
	s.later(time.Hour)
	id, err := s.Resend(s.ctx, f, "", "ops", renderMail)
	require.NoError(t, err)
	d, _, err := s.BeginSend(s.ctx, id)
	require.NoError(t, err)
	require.NoError(t, s.FinishSend(s.ctx, d, nil))
	require.NoError(t, s.CloseBounced(s.ctx))
	require.Equal(t, 1, s.openOf(keyturn.AlertBounced), "it may come back yet")
	s.later(25 * time.Hour)
	require.NoError(t, s.CloseBounced(s.ctx))
	require.Zero(t, s.openOf(keyturn.AlertBounced))

	s.bounced(id, keyturn.BounceUndeliverable)
	require.NoError(t, s.CloseBounced(s.ctx))
	require.Equal(t, 1, s.openOf(keyturn.AlertBounced), "it came back after all")
}

func TestTheNextOrderToABadAddressIsWarnedOf(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", keysNamed("K", 20)...)
	f, id := s.sent()
	again := orderOf("again", lineOf("game", 1))
	again.Order.Customer.ID = s.customerIDOf(f)
	s.bounced(id, keyturn.BounceUndeliverable)
	a, _, err := s.Accept(s.ctx, again)
	require.NoError(t, err)
	require.Empty(t, a.Warnings, "the mailbox may be full")

	s.bounced(id, keyturn.BounceBadAddress)
	for email, warned := range map[string]bool{"Ada@buyer.test": true, "ada@other.test": false} {
		in := orderOf(email, lineOf("game", 1))
		in.Order.Customer.ID, in.Order.Customer.Email = again.Order.Customer.ID, email
		a, _, err := s.Accept(s.ctx, in)
		require.NoError(t, err)
		require.Equal(t, warned, len(a.Warnings) == 1, email)
	}
}

func TestABounceAndAnErasure(t *testing.T) {
	s := newShop(t)
	f, id := s.sent()
	s.bounced(id, keyturn.BounceBadAddress)
	token := s.tokenOf(f)
	_, err := s.CorrectAddress(s.ctx, token, f, "jean@buyer.test", renderMail)
	require.NoError(t, err)
	for _, d := range reads[string](s, `SELECT id FROM deliveries WHERE status <> 'SENT'`) {
		out, _, err := s.BeginSend(s.ctx, d)
		require.NoError(t, err)
		require.NoError(t, s.FinishSend(s.ctx, out, nil))
	}
	_, err = s.EraseCustomer(s.ctx, "", s.customerIDOf(f), "ops")
	require.NoError(t, err)
	require.Zero(t, read[int](s, `SELECT count(*) FROM bounces WHERE diagnostic <> ''`))
	require.Zero(t, read[int](s, `SELECT count(*) FROM address_changes WHERE address <> ''`))
	require.Zero(t, read[int](s, `SELECT count(*) FROM customers WHERE bad_address_tag IS NOT NULL`))
	require.Equal(t, BounceBooked, s.bounced(s.newestMail(f), keyturn.BounceRefused))
	require.Zero(t, read[int](s, `SELECT count(*) FROM bounces WHERE diagnostic <> ''`), "nothing of the person is kept")
	require.Equal(t, 1, s.openOf(keyturn.AlertBounced), "and nobody is told anew")
	_, err = s.CorrectAddress(s.ctx, token, f, "jean@buyer.test", renderMail)
	require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(err))
}

func TestWhatAServerSaidIsClipped(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"550 5.1.1\r\n\tno such user ": "550 5.1.1 no",
		"zu\xff volles\x00 Postfach":   "zu volles Po",
		"überfüllté":                   "überfüllt",
		"short":                        "short",
	} {
		require.Equal(t, want, clipText(text, 12), text)
	}
}

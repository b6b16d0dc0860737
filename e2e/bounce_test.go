package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	netmail "net/mail"
	"net/smtp"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/bounce"
)

const bounceAddress = "bounce@mail.keyturn.test"

// taggedMail has e-mails leave with an envelope of their own.
func (s *stack) taggedMail() {
	s.acts.Letters.Bounces, s.acts.Letters.Refs = bounceAddress, true
}

// listens takes reports by SMTP, and gives the address.
func (s *stack) listens() string {
	s.t.Helper()
	open, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	address := open.Addr().String()
	require.NoError(s.t, open.Close())
	ctx, cancel := context.WithCancel(context.Background())
	l := &bounce.Listener{Books: bounce.Books{DB: s.db, Logger: s.logger}, Address: bounceAddress, Listen: address}
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	s.t.Cleanup(func() { cancel(); <-done })
	s.eventually(func() (bool, string) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil, fmt.Sprint(err)
	})
	return address
}

// envelopeFrom is the envelope sender of the newest e-mail to an address.
func (s *stack) envelopeFrom(to string) string {
	s.t.Helper()
	for _, m := range s.inbox.Messages() {
		if len(m.To) == 1 && m.To[0] == to {
			return m.From
		}
	}
	s.t.Fatal("there is no e-mail to " + to)
	return ""
}

// report is what Postfix sends back of an e-mail that nobody has the address of.
func report(returnPath string, headers []byte) []byte {
	return []byte(strings.ReplaceAll(`From: MAILER-DAEMON@relay.test
To: `+returnPath+`
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I'm sorry.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; relay.test

Final-Recipient: rfc822; `+buyer+`
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <`+buyer+`>: User unknown

--b
Content-Type: text/rfc822-headers

`+strings.ReplaceAll(string(headers), "\r\n", "\n")+`
--b--
`, "\n", "\r\n"))
}

// An e-mail comes back, operations are told, the customer gives another address on the order page and gets the same key
// there; the old address is told. The books balance.
func TestABouncedCustomerCorrectsTheAddress(t *testing.T) {
	s := start(t, options{})
	s.taggedMail()
	inlet := s.listens()
	s.product(keyturn.Product{ID: "game", Name: "The game", Sources: sources(fromPool("game-keys"))}, "GAME-KEY-1")
	a := s.order("game")
	s.await(a, keyturn.OrderCompleted)
	first := s.letters(buyer)[0]
	require.Contains(t, first.Text, "GAME-KEY-1")
	back := s.envelopeFrom(buyer)
	require.Regexp(t, `^bounce\+[a-z2-7]{26}\.[a-z2-7]{10}@mail\.keyturn\.test$`, back)
	parsed, err := netmail.ReadMessage(bytes.NewReader([]byte(first.Raw)))
	require.NoError(t, err)
	require.Equal(t, "bounce+"+parsed.Header.Get("X-Keyturn-Ref")+"@mail.keyturn.test", back)
	require.Contains(t, parsed.Header.Get("From"), "shop@keyturn.test", "customers see the shop's own address")
	headers, _, _ := strings.Cut(first.Raw, "\r\n\r\n")

	forged := strings.Replace(back, "bounce+a", "bounce+b", 1)
	if forged == back {
		forged = strings.Replace(back, "bounce+", "bounce+a", 1)
	}
	for _, to := range []string{forged, bounceAddress, "jean@buyer.test", "postmaster@mail.keyturn.test"} {
		err := smtp.SendMail(inlet, nil, "", []string{to}, report(to, []byte(headers)))
		require.ErrorContains(t, err, "550", to)
	}
	require.Zero(t, s.count(`SELECT count(*) FROM bounces`))
	for range 2 { // a server that did not hear the answer sends it again
		require.NoError(t, smtp.SendMail(inlet, nil, "", []string{back}, report(back, []byte(headers))))
	}
	require.Equal(t, 1, s.count(`SELECT count(*) FROM bounces WHERE kind = 'bad_address' AND status = '5.1.1'`))
	require.Equal(t, 1, s.count(`SELECT count(*) FROM alerts WHERE cause = 'Bounced' AND closed_at IS NULL`))

	f := a.Order.LineItems[0].FulfillmentID
	page := "/o/" + s.db.PageToken(a.Order.ID)
	_, body := s.visit("GET", page, nil)
	require.Contains(t, body, "came back")
	resp, _ := s.visit("POST", page+"/lines/"+f+"/address", url.Values{"email": {"ada@new.test"}})
	require.Equal(t, 200, resp.StatusCode)
	s.eventually(func() (bool, string) {
		return len(s.letters("ada@new.test")) == 1 && len(s.letters(buyer)) == 2, "the e-mails are on their way"
	})
	require.Contains(t, s.letters("ada@new.test")[0].Text, "GAME-KEY-1", "the same key")
	for _, l := range s.letters(buyer) {
		if l.MessageID != first.MessageID {
			require.Contains(t, l.Text, "a…@new.test")
			require.NotContains(t, l.Text, "GAME-KEY-1")
			require.NotContains(t, l.Text, page, "it may be somebody else's mailbox")
		}
	}
	alerts, err := s.db.Alerts(t.Context(), "", false, keyturn.AlertBounced, 0, 10)
	require.NoError(t, err)
	require.Len(t, alerts, 1)
	_, err = s.db.CloseAlert(t.Context(), alerts[0].ID, "ops", "the customer has corrected the address")
	require.NoError(t, err)
	s.atRest(a)
}

// Whoever connects gets nothing relayed, and a message that is too large, or never ends, harms nobody.
func TestTheInletIsNoRelay(t *testing.T) {
	s := start(t, options{noWorker: true, noRelay: true})
	inlet := s.listens()
	c, err := smtp.Dial(inlet)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Mail("attacker@evil.test"))
	require.ErrorContains(t, c.Rcpt("victim@buyer.test"), "550")
	back := "bounce+" + s.db.MailRef("0198c5a2-7d54-7a4b-9c1e-2f60b7a1d3e4") + "@mail.keyturn.test"
	require.NoError(t, c.Rcpt(back))
	require.ErrorContains(t, c.Rcpt(back), "452", "one at a time")
	w, err := c.Data()
	require.NoError(t, err)
	_, _ = w.Write(bytes.Repeat([]byte(strings.Repeat("x", 70)+"\r\n"), 1<<20/70+1))
	require.ErrorContains(t, w.Close(), "552")
	require.NoError(t, c.Reset())
	require.Zero(t, s.count(`SELECT count(*) FROM bounces`))
}

// The confirmation of an order comes back before there is a key. Its customer gives another address on the order page,
// gets the confirmation there and later the key, and the old address is told.
func TestABouncedConfirmationIsSentElsewhere(t *testing.T) {
	s := start(t, options{})
	s.taggedMail()
	inlet := s.listens()
	s.product(keyturn.Product{ID: "game", Name: "The game", Sources: sources(fromPool("game-keys"))})
	link := s.link("", "game")
	s.buy(link)
	s.eventually(func() (bool, string) { return len(s.letters(buyer)) == 1, "the confirmation is on its way" })
	back := s.envelopeFrom(buyer)
	require.Regexp(t, `^bounce\+[a-z2-7]{26}\.[a-z2-7]{10}@mail\.keyturn\.test$`, back)
	headers, _, _ := strings.Cut(s.letters(buyer)[0].Raw, "\r\n\r\n")
	require.Contains(t, headers, "X-Keyturn-Ref: ")
	for range 2 {
		require.NoError(t, smtp.SendMail(inlet, nil, "", []string{back}, report(back, []byte(headers))))
	}
	require.Equal(t, 1, s.count(`SELECT count(*) FROM alerts WHERE cause = 'Bounced' AND subject LIKE 'payment/%'`))

	page := "/o/" + s.db.PageToken(s.orderOf(link).Order.ID)
	_, body := s.visit("GET", page, nil)
	require.Contains(t, body, `action="`+page+`/address"`)
	resp, _ := s.visit("POST", page+"/address", url.Values{"email": {"no address"}})
	require.Equal(t, 422, resp.StatusCode)
	resp, _ = s.visit("POST", page+"/address", url.Values{"email": {"ada@new.test"}})
	require.Equal(t, 200, resp.StatusCode)
	s.eventually(func() (bool, string) {
		return len(s.letters("ada@new.test")) == 1 && len(s.letters(buyer)) == 2, "the e-mails are on their way"
	})
	require.Contains(t, s.letters("ada@new.test")[0].Text, "10.00 EUR", "the confirmation")
	for _, l := range s.letters(buyer) {
		if l.MessageID != s.letters("ada@new.test")[0].MessageID && strings.Contains(l.Text, "a…@new.test") {
			require.NotContains(t, l.Text, page, "it may be somebody else's mailbox")
		}
	}
	_, body = s.visit("GET", page, nil)
	require.NotContains(t, body, `action="`+page+`/address"`)
	s.load("game-keys", "GAME-KEY-1")
	s.awaitLink(link, keyturn.OrderCompleted)
	s.eventually(func() (bool, string) { return len(s.letters("ada@new.test")) == 2, "the key is on its way" })
	require.Len(t, s.letters(buyer), 2)
}

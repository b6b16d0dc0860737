package mail_test

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/mail"
)

// asked notes what a server is asked for.
type asked struct {
	from string
	mail smtp.MailOptions
	rcpt smtp.RcptOptions
}

func (a *asked) Reset()        {}
func (a *asked) Logout() error { return nil }

func (a *asked) Mail(from string, o *smtp.MailOptions) error {
	a.from, a.mail = from, *o
	return nil
}

func (a *asked) Rcpt(_ string, o *smtp.RcptOptions) error {
	a.rcpt = *o
	return nil
}

func (a *asked) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// A server that can is asked for reports of failures and delays, to the address that the message has for them.
func TestReportsAreAskedFor(t *testing.T) {
	t.Parallel()
	for _, can := range []bool{true, false} {
		got := &asked{}
		server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return got, nil }))
		server.EnableDSN = can
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { _ = server.Close() })

		c := content()
		c.ReturnPath, c.Ref = "bounce+abc.def@mail.shop.test", "abc.def"
		m, err := mail.RenderKeys(mail.Template{}, c)
		require.NoError(t, err)
		require.Contains(t, string(m.Data), "\r\nX-Keyturn-Ref: abc.def\r\n")
		require.Contains(t, string(m.Data), "<"+c.From+">\r\n", "the reader sees the shop's own address")
		stored, err := m.MarshalBinary()
		require.NoError(t, err)
		var again mail.Message
		require.NoError(t, again.UnmarshalBinary(stored))
		require.Equal(t, m, again)
		s := sender(t, mail.Config{Addr: l.Addr().String(), TLS: mail.TLSNone})
		require.NoError(t, s.Send(t.Context(), again))
		require.Equal(t, c.ReturnPath, got.from)
		if !can {
			require.Empty(t, got.mail.EnvelopeID)
			continue
		}
		require.Equal(t, "abc", got.mail.EnvelopeID)
		require.Equal(t, smtp.DSNReturnHeaders, got.mail.Return)
		require.Equal(t, []smtp.DSNNotify{smtp.DSNNotifyFailure, smtp.DSNNotifyDelayed}, got.rcpt.Notify)
		require.NoError(t, s.Send(t.Context(), message(t)))
		require.Empty(t, got.mail.EnvelopeID, "a message without a reference asks for nothing")
	}
}

func TestEnvelopeOfReports(t *testing.T) {
	t.Parallel()
	for _, bad := range []func(*mail.Content){
		func(c *mail.Content) { c.ReturnPath = "no address" },
		func(c *mail.Content) { c.Ref = "abc" },
		func(c *mail.Content) { c.Ref = "abc.d\r\nBcc: x@y.test" },
	} {
		c := content()
		bad(&c)
		_, err := mail.RenderKeys(mail.Template{}, c)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err))
	}
	c := content()
	c.Ref = "abc.def"
	c.OrderPage = "https://shop.test/o/secret"
	m, err := mail.RenderAddressChanged(c, "j…@new.test")
	require.NoError(t, err)
	p := parse(t, m)
	require.Contains(t, p.text, "j…@new.test")
	for _, key := range c.Keys {
		require.NotContains(t, p.text+p.html, key)
	}
	require.False(t, bytes.Contains(m.Data, []byte("/o/secret")), "it may be somebody else's mailbox")
}

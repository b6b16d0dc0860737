package inbox_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/devstack/inbox"
	"keyturn.dev/keyturn/mail"
)

// TestKeyturnsOwnMail sends what Keyturn sends, with what Keyturn sends it, into every fault.
func TestKeyturnsOwnMail(t *testing.T) {
	t.Parallel()
	s := start(t, inbox.Config{})
	sender, err := mail.NewSender(mail.Config{Addr: s.SMTPAddr(), TLS: mail.TLSNone, Timeout: time.Second})
	require.NoError(t, err)
	defer sender.Close()
	m, err := mail.RenderKeys(mail.Template{}, mail.Content{
		Envelope: mail.Envelope{
			From: "keys@shop.test", To: "jean@buyer.test", MessageID: "1.1@shop.test",
			Date: time.Unix(1772620200, 0),
		},
		OrderID: "ORD-1", ProductName: "Clé Pro", Keys: []string{"<K&1>"},
	})
	require.NoError(t, err)

	for fault, kind := range map[error]keyturn.Kind{
		inbox.Reject(550): keyturn.KindRejected, inbox.Reject(451): keyturn.KindUnavailable,
		inbox.ErrCut: keyturn.KindUnavailable, inbox.ErrHang: keyturn.KindUnavailable,
	} {
		before := len(s.Messages())
		s.Fail(func(string, string) error { return fault })
		err := sender.Send(t.Context(), m)
		require.Equal(t, kind, keyturn.KindOf(err), "%v", fault)
		require.Equal(t, mail.Ambiguous(err), len(s.Messages()) == before+1, "ambiguous is exactly what is kept: %v", fault)
	}
	s.Fail(nil)
	require.NoError(t, sender.Send(t.Context(), m))
	require.Len(t, s.Messages(), 3)
	for _, kept := range s.Messages() {
		require.Equal(t, m.MessageID, kept.MessageID)
		require.Equal(t, "Your Clé Pro key", kept.Subject)
		raw, ok := s.Raw(kept.ID)
		require.True(t, ok)
		require.Equal(t, string(m.Data), string(raw))
		var full inbox.Message
		get(t, s, "/api/v1/message/"+kept.ID, &full)
		require.Contains(t, full.Text, "\r\n<K&1>\r\n")
		require.Contains(t, full.HTML, "<code>&lt;K&amp;1&gt;</code>")
	}
}

package inbox_test

import (
	"net/smtp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/devstack/inbox"
)

// What is sent to an address that nobody has is kept, and its sender is told.
func TestWhatNobodyTakesComesBack(t *testing.T) {
	t.Parallel()
	reports := start(t, inbox.Config{})
	s := start(t, inbox.Config{ReportsTo: reports.SMTPAddr()})
	require.NoError(t, smtp.SendMail(s.SMTPAddr(), nil, "bounce+1.x@shop.test",
		[]string{"jean@buyer.test", "jean@Nowhere.test"}, []byte("Subject: keys\r\n\r\nx\r\n")))
	var l listAnswer
	require.Eventually(t, func() bool {
		get(t, reports, "/api/v1/messages", &l)
		return l.Total > 0
	}, time.Minute, 10*time.Millisecond)
	require.Equal(t, 1, l.Total, "the other recipient has it")
	require.Equal(t, []string{"bounce+1.x@shop.test"}, l.Messages[0].To)
	require.Empty(t, l.Messages[0].From, "a report is never reported")
	_, raw := get(t, reports, "/api/v1/message/"+l.Messages[0].ID+"/raw", nil)
	require.Contains(t, raw, "Final-Recipient: rfc822; jean@Nowhere.test\r\nAction: failed\r\nStatus: 5.1.1\r\n")
	get(t, s, "/api/v1/messages", &l)
	require.Equal(t, 1, l.Total)
}

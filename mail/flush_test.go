package mail

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
)

// TestFinalDotThatNeverLeftIsNotAmbiguous: the connection takes nothing more just when the final dot is to be written.
// A pipe shows it, because it takes only what the other side reads; a socket takes small mails whole.
func TestFinalDotThatNeverLeftIsNotAmbiguous(t *testing.T) {
	t.Parallel()
	for _, readFirst := range []bool{false, true} {
		here, there := net.Pipe()
		go func() {
			buffer := make([]byte, 4096)
			_, _ = there.Write([]byte("220 x\r\n"))
			for _, answer := range []string{"250 x", "250 ok", "250 ok", "354 go"} {
				_, _ = there.Read(buffer)
				_, _ = there.Write([]byte(answer + "\r\n"))
			}
			for data := ""; readFirst && !strings.HasSuffix(data, "\r\n.\r\n"); {
				n, _ := there.Read(buffer)
				data += string(buffer[:n])
			}
		}()
		conn := &limitedConn{Conn: here}
		s := &session{client: smtp.NewClient(conn), conn: conn}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		again, dead, err := s.send(ctx, Message{From: "a@b.co", To: "c@d.co", Data: []byte("Subject: x\r\n\r\nx\r\n")})
		cancel()
		require.Error(t, err)
		require.Nil(t, again)
		require.False(t, dead)
		require.Equal(t, readFirst, Ambiguous(err), "%v", err)
	}
}

// TestNoDeadlineReachesBeyondTheLimit: time may run out between two commands, and the client's next one sets a new
// deadline of minutes.
func TestNoDeadlineReachesBeyondTheLimit(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	defer there.Close()
	c := &limitedConn{Conn: here}
	c.setLimit(time.Unix(1, 0))
	for _, set := range []func(time.Time) error{c.SetDeadline, c.SetReadDeadline, c.SetWriteDeadline} {
		for _, later := range []time.Time{{}, time.Now().Add(time.Hour)} {
			require.NoError(t, set(later))
			_, err := c.Read(make([]byte, 1))
			require.True(t, isTimeout(err))
			_, err = c.Write([]byte("x"))
			require.True(t, isTimeout(err))
		}
	}
}

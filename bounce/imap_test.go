package bounce

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// mailbox serves a mailbox by IMAP.
func mailbox(t *testing.T, caps imap.CapSet) (*imapmemserver.User, string) {
	t.Helper()
	user := imapmemserver.NewUser("keyturn", "secret")
	require.NoError(t, user.Create("INBOX", nil))
	memory := imapmemserver.New()
	memory.AddUser(user)
	server := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return memory.NewSession(), nil, nil
		},
		Caps: caps, InsecureAuth: true,
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return user, l.Addr().String()
}

func deliver(t *testing.T, user *imapmemserver.User, message []byte) {
	t.Helper()
	_, err := user.Append("INBOX", bytes.NewReader(message), &imap.AppendOptions{})
	require.NoError(t, err)
}

// folders are how many messages each folder has.
func folders(t *testing.T, address string) map[string]uint32 {
	t.Helper()
	c, err := imapclient.DialInsecure(address, nil)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Login("keyturn", "secret").Wait())
	out := map[string]uint32{}
	for _, name := range []string{"INBOX", doneFolder, unknownFolder} {
		if status, err := c.Status(name, &imap.StatusOptions{NumMessages: true}).Wait(); err == nil {
			out[name] = *status.NumMessages
		}
	}
	return out
}

func TestReportsFromAMailbox(t *testing.T) {
	for name, caps := range map[string]imap.CapSet{
		"IMAP4rev2": {imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}},
		"IMAP4rev1": {imap.CapIMAP4rev1: {}},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			user, address := mailbox(t, caps)
			first := s.sent()
			deliver(t, user, s.report(first, "5.1.1"))
			deliver(t, user, s.report(first, "5.1.1"))
			deliver(t, user, []byte("Subject: Buy now\r\n\r\nspam\r\n"))
			deliver(t, user, bytes.Replace(s.report(s.sent(), "5.1.1"), []byte("."), []byte(".a"), -1))
			deliver(t, user, append([]byte("Subject: large\r\n\r\n"), bytes.Repeat([]byte("x"), MaxMessage)...))
			deliver(t, user, []byte("Subject: Away\r\nAuto-Submitted: auto-replied\r\n\r\nuntil May\r\n"))
			ctx, cancel := context.WithCancel(t.Context())
			account, err := ParseIMAP("imap+plain://keyturn:secret@"+address, false)
			require.NoError(t, err)
			done := make(chan struct{})
			for range 2 { // of two workers
				go func() { (&Mailbox{Books: s.Books, Account: account}).Run(ctx); done <- struct{}{} }()
			}
			defer func() { cancel(); <-done; <-done }()
			require.Eventually(t, func() bool { return folders(t, address)["INBOX"] == 0 }, 20*time.Second, 50*time.Millisecond)
			require.Equal(t, "bad_address 5.1.1", s.booked(first))
			require.Equal(t, 1, s.count(`SELECT count(*) FROM bounces`))
			require.Equal(t, map[string]uint32{"INBOX": 0, doneFolder: 3, unknownFolder: 3}, folders(t, address))
			if name == "IMAP4rev1" {
				return // its server offers IDLE with the other
			}
			second := s.sent()
			deliver(t, user, s.report(second, "4.4.7"))
			require.Eventually(t, func() bool { return s.booked(second) == "undeliverable 4.4.7" }, 20*time.Second,
				50*time.Millisecond, "it is taken as soon as it comes")
		})
	}
}

// A server that takes the connection and does not answer is asked again on another one.
func TestAMailboxThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for name, greeting := range map[string]string{"nothing": "", "sign-in": "* OK [CAPABILITY IMAP4rev1] here\r\n"} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer l.Close()
			go func() {
				c, err := l.Accept()
				if err == nil {
					_, _ = c.Write([]byte(greeting))
					_, _ = io.Copy(io.Discard, c)
				}
			}()
			m := &Mailbox{
				Account:  Account{Addr: l.Addr().String(), User: "keyturn", Password: "secret", Plain: true},
				stepTime: 200 * time.Millisecond,
			}
			require.Error(t, m.attend(t.Context()))
		})
	}
}

func TestParseIMAP(t *testing.T) {
	t.Parallel()
	a, err := ParseIMAP("imaps://bounce%40shop.test:p%2Fw@mail.shop.test/Reports/In", true)
	require.NoError(t, err)
	require.Equal(t,
		Account{Addr: "mail.shop.test:993", User: "bounce@shop.test", Password: "p/w", Folder: "Reports/In"}, a)
	a, err = ParseIMAP("imap+plain://u:p@localhost:143", false)
	require.NoError(t, err)
	require.Equal(t, Account{Addr: "localhost:143", User: "u", Password: "p", Folder: "INBOX", Plain: true}, a)
	for _, bad := range []string{
		"", "mail.shop.test", "imaps://mail.shop.test", "imap://u:secret@mail.shop.test", "imap+plain://u:secret@mail.shop.test",
		"imaps://u:secret@", "imaps://u:sec ret@x",
	} {
		_, err := ParseIMAP(bad, true)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), bad)
		require.NotContains(t, err.Error(), "secret")
	}
}

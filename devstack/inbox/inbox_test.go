package inbox_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/devstack/inbox"
)

const body = "From: \"Shop\" <shop@shop.test>\r\nTo: <jean@buyer.test>\r\nSubject: =?UTF-8?B?Vm90cmUgY2zDqQ==?=\r\n" +
	"Date: Wed, 04 Mar 2026 10:00:00 +0000\r\nMessage-ID: <1@shop.test>\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n" +
	"--a\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncl=C3=A9 " +
	"AAAA=3DB\r\n" +
	"--a\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: " +
	"quoted-printable\r\n\r\n<b>cl=C3=A9</b>\"<script>x</script>\r\n--a--\r\n" +
	"--m\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; " +
	"filename=a.pdf\r\n\r\naGVs\r\nbG8=\r\n--m--\r\n"

func start(t *testing.T, cfg inbox.Config) *inbox.Server {
	t.Helper()
	cfg.SMTPAddr, cfg.HTTPAddr = "127.0.0.1:0", "127.0.0.1:0"
	s := inbox.New(cfg)
	require.NoError(t, s.Start())
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func send(s *inbox.Server, data string) error {
	return smtp.SendMail(s.SMTPAddr(), nil, "shop@shop.test", []string{"jean@buyer.test"}, []byte(data))
}

func get(t *testing.T, s *inbox.Server, path string, into any) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.HTTPAddr()+path, nil)
	require.NoError(t, err)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	if into != nil {
		require.NoError(t, json.Unmarshal(text, into), string(text))
	}
	return answer.StatusCode, string(text)
}

type listAnswer struct {
	Total, Start, Limit int
	Messages            []inbox.Summary
}

func TestMessageIsListedShownAndRaw(t *testing.T) {
	t.Parallel()
	s := start(t, inbox.Config{})
	require.NoError(t, send(s, body))

	var l listAnswer
	get(t, s, "/api/v1/messages", &l)
	require.Equal(t, 1, l.Total)
	m := l.Messages[0]
	require.Equal(t, "1@shop.test", m.MessageID)
	require.Equal(t, "shop@shop.test", m.From)
	require.Equal(t, []string{"jean@buyer.test"}, m.To)
	require.Equal(t, "Votre clé", m.Subject)
	require.True(t, m.Date.Equal(time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)))
	require.Equal(t, len(body), m.Size)
	require.WithinDuration(t, time.Now(), m.Received, time.Minute)
	require.True(t, m.Answered)

	var full inbox.Message
	get(t, s, "/api/v1/message/"+m.ID, &full)
	require.Equal(t, "clé AAAA=B", full.Text)
	require.Equal(t, `<b>clé</b>"<script>x</script>`, full.HTML)
	require.Equal(t, []inbox.Attachment{{Name: "a.pdf", ContentType: "application/pdf", Size: 5}}, full.Attachments)
	require.Equal(t, []string{"<jean@buyer.test>"}, full.Headers["To"])

	status, raw := get(t, s, "/api/v1/message/"+m.ID+"/raw", nil)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, body, raw)

	status, page := get(t, s, "/message/"+m.ID, nil)
	require.Equal(t, http.StatusOK, status)
	require.NotContains(t, page, "<script>")
	require.Contains(t, page, "sandbox")
	_, page = get(t, s, "/", nil)
	require.Contains(t, page, "Votre clé")
	require.Contains(t, page, "/message/"+m.ID)
}

func TestListIsNewestFirstInPages(t *testing.T) {
	t.Parallel()
	s := start(t, inbox.Config{MaxMessages: 5})
	for i := range 7 {
		require.NoError(t, send(s, fmt.Sprintf("Subject: %d\r\n\r\nx\r\n", i)))
	}
	var l listAnswer
	get(t, s, "/api/v1/messages?start=1&limit=2", &l)
	require.Equal(t, 5, l.Total, "the oldest two are gone")
	require.Equal(t, "5", l.Messages[0].Subject)
	require.Equal(t, "4", l.Messages[1].Subject)
	get(t, s, "/api/v1/messages?start=99", &l)
	require.Empty(t, l.Messages)
	for _, query := range []string{"start=-1", "limit=x", "start=99999999999999999999"} {
		status, _ := get(t, s, "/api/v1/messages?"+query, nil)
		require.Equal(t, http.StatusBadRequest, status, query)
	}
	status, _ := get(t, s, "/api/v1/message/..%2f..%2fetc", nil)
	require.Equal(t, http.StatusNotFound, status)
	status, _ = get(t, s, "/api/v1/message/nothing/raw", nil)
	require.Equal(t, http.StatusNotFound, status)
}

func TestMessagesSurviveARestart(t *testing.T) {
	t.Parallel()
	for _, sync := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "mail")
		first := start(t, inbox.Config{Dir: dir, Sync: sync})
		require.NoError(t, send(first, body))
		require.NoError(t, send(first, "Subject: second\r\n\r\nx\r\n"))
		before := first.Messages()
		require.NoError(t, first.Close())

		require.NoError(t, os.WriteFile(filepath.Join(dir, "17.eml.tmp"), []byte("half"), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "not-ours.eml"), []byte("Subject: x"), 0o600))
		second := start(t, inbox.Config{Dir: dir, Sync: sync})
		require.Equal(t, before, second.Messages())
		raw, ok := second.Raw(before[1].ID)
		require.True(t, ok)
		require.Equal(t, body, string(raw))
		require.NoFileExists(t, filepath.Join(dir, "17.eml.tmp"))

		require.NoError(t, send(second, "Subject: third\r\n\r\nx\r\n"))
		require.Equal(t, "third", second.Messages()[0].Subject)

		request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete,
			"http://"+second.HTTPAddr()+"/api/v1/messages", nil)
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusNoContent, answer.StatusCode)
		require.Empty(t, second.Messages())
		require.NoError(t, second.Close())
		require.Empty(t, start(t, inbox.Config{Dir: dir}).Messages())
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	s := start(t, inbox.Config{})
	s.Fail(func(from, to string) error {
		if from != "shop@shop.test" || to != "jean@buyer.test" {
			return nil
		}
		return inbox.Reject(451)
	})
	require.ErrorContains(t, send(s, body), "451")
	s.Fail(func(string, string) error { return inbox.Reject(550) })
	require.ErrorContains(t, send(s, body), "550")
	require.Empty(t, s.Messages())

	s.Fail(func(string, string) error { return inbox.ErrCut })
	require.Error(t, send(s, body))
	require.Len(t, s.Messages(), 1, "kept although the answer was lost")
	require.False(t, s.Messages()[0].Answered)

	s.Fail(func(string, string) error { return inbox.ErrHang })
	done := make(chan error, 1)
	go func() { done <- send(s, body) }()
	require.Eventually(t, func() bool { return len(s.Messages()) == 2 }, 5*time.Second, 5*time.Millisecond)
	select {
	case err := <-done:
		require.Fail(t, "the sender got an answer", "%v", err)
	case <-time.After(50 * time.Millisecond):
	}
	s.Fail(nil)
	require.NoError(t, send(s, body))
	require.NoError(t, s.Close())
	require.Error(t, <-done, "closing the inbox ends the hang")
}

func TestConcurrentSendersLoseNothing(t *testing.T) {
	t.Parallel()
	s := start(t, inbox.Config{Dir: t.TempDir()})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 10 {
				if err := send(s, fmt.Sprintf("Message-ID: <%d.%d@x>\r\n\r\nx\r\n", i, j)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	seen := map[string]bool{}
	last := "z"
	for _, m := range s.Messages() {
		seen[m.MessageID] = true
		require.Less(t, m.ID, last, "newest first")
		last = m.ID
	}
	require.Len(t, seen, 80)
}

func TestStartSaysWhichPortIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	err = inbox.New(inbox.Config{SMTPAddr: taken.Addr().String(), HTTPAddr: "127.0.0.1:0"}).Start()
	require.ErrorContains(t, err, "cannot listen for SMTP on "+taken.Addr().String())
	err = inbox.New(inbox.Config{SMTPAddr: "127.0.0.1:0", HTTPAddr: taken.Addr().String()}).Start()
	require.ErrorContains(t, err, "cannot listen for HTTP on "+taken.Addr().String())
	require.NoError(t, inbox.New(inbox.Config{}).Close(), "closing what never started is fine")
}

func TestOddMessages(t *testing.T) {
	t.Parallel()
	s := start(t, inbox.Config{})
	nested := strings.Repeat("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n", 50)
	for _, data := range []string{
		"\r\n", "no header at all\r\n", nested, "Content-Type: multipart/mixed\r\n\r\nx\r\n",
		"Content-Transfer-Encoding: base64\r\n\r\n!!!\r\n", "Subject: =?UTF-8?B?!?=\r\n\r\n\xff\xfe\r\n",
	} {
		require.NoError(t, send(s, data))
		m := s.Messages()[0]
		raw, _ := s.Raw(m.ID)
		require.Equal(t, data, string(raw))
		for _, path := range []string{"/api/v1/message/", "/message/"} {
			status, _ := get(t, s, path+m.ID, nil)
			require.Equal(t, http.StatusOK, status, data)
		}
	}
	require.ErrorContains(t, send(s, "Subject: x\r\n\r\n"+strings.Repeat("x\r\n", 4<<20)), "552")
}

func BenchmarkReceive(b *testing.B) {
	for name, cfg := range map[string]inbox.Config{
		"memory": {}, "dir": {Dir: b.TempDir()}, "sync": {Dir: b.TempDir(), Sync: true},
	} {
		b.Run(name, func(b *testing.B) {
			cfg.SMTPAddr, cfg.HTTPAddr = "127.0.0.1:0", "127.0.0.1:0"
			s := inbox.New(cfg)
			require.NoError(b, s.Start())
			defer s.Close()
			client, err := smtp.Dial(s.SMTPAddr())
			require.NoError(b, err)
			for b.Loop() {
				require.NoError(b, client.Mail("shop@shop.test"))
				require.NoError(b, client.Rcpt("jean@buyer.test"))
				w, err := client.Data()
				require.NoError(b, err)
				_, err = io.WriteString(w, body)
				require.NoError(b, err)
				require.NoError(b, w.Close())
			}
		})
	}
}

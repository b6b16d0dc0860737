//go:build mailservers

package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/bounce"
	"keyturn.dev/keyturn/mail"
)

// The hosts of this test are addresses of loopback in a network namespace of its own.
const (
	postfixHost = "127.0.0.3" // a relay
	eximHost    = "127.0.0.4" // another
	dovecotHost = "127.0.0.5" // mailboxes: one that nobody has, one that is full; and the one that reports come to
	greyHost    = "127.0.0.6" // it takes nothing at first
)

// mailServers are Postfix, Exim and Dovecot as Debian builds them, each with its own /usr and /etc.
type mailServers struct {
	t            *testing.T
	folder, made string // where they are unpacked, and where they work
}

func startMailServers(t *testing.T) *mailServers {
	t.Helper()
	unpacked, err := filepath.Abs("../.keyturn/dist/mailservers")
	require.NoError(t, err)
	require.DirExists(t, unpacked, "make test/mail gets them")
	m := &mailServers{t: t, folder: unpacked, made: t.TempDir()}
	require.NoError(t, os.Chmod(m.made, 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(m.made), 0o755))
	for _, host := range []string{postfixHost, eximHost, dovecotHost, greyHost} {
		require.NoError(t, exec.Command("ip", "addr", "add", host+"/8", "dev", "lo").Run(), "make test/mail has a namespace")
	}
	m.users()
	for file, to := range map[string]string{
		"postfix.main.cf": "etc/postfix/main.cf", "postfix.master.cf": "etc/postfix/master.cf",
		"exim4.conf": "etc/exim4/exim4.conf", "dovecot.conf": "etc/dovecot/dovecot.conf", "users": "dovecot/users",
	} {
		m.write(to, m.config(file))
	}
	m.run("mkdir -p dovecot mail exim/spool postfix/data postfix/queue && chown vmail mail && chown -R Debian-exim exim && " +
		"cd postfix/queue && mkdir -p active bounce corrupt defer deferred flush hold incoming maildrop pid private public " +
		"saved trace && chown postfix active bounce corrupt defer deferred flush hold incoming private saved trace ../data && " +
		"chown postfix:postdrop maildrop public && chmod 730 maildrop && chmod 710 public && chmod 700 private")
	m.start("dovecot", dovecotHost+":24", "exec dovecot -F")
	m.start("exim", eximHost+":25", "exec exim4 -bdf -q2s")
	m.start("postfix", postfixHost+":25", "exec postfix -c /etc/postfix start-fg")
	return m
}

// users adds the users of the servers to those that there are.
func (m *mailServers) users() {
	m.t.Helper()
	passwd, err := os.ReadFile("/etc/passwd")
	require.NoError(m.t, err)
	group, err := os.ReadFile("/etc/group")
	require.NoError(m.t, err)
	for i, name := range []string{"postfix", "dovecot", "dovenull", "Debian-exim", "vmail", "postdrop"} {
		passwd = fmt.Appendf(passwd, "%s:x:%d:%d::/nonexistent:/usr/sbin/nologin\n", name, 4001+i, 4001+i)
		group = fmt.Appendf(group, "%s:x:%d:\n", name, 4001+i)
	}
	m.write("etc/passwd", string(passwd))
	m.write("etc/group", string(group))
}

func (m *mailServers) config(name string) string {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/mailservers", name))
	require.NoError(m.t, err)
	return strings.ReplaceAll(string(text), "FOLDER", m.made)
}

func (m *mailServers) write(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.made, name)
	require.NoError(m.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(m.t, os.WriteFile(path, []byte(text), 0o644))
}

// inNamespace is a command in a mount namespace of its own, where /etc is also ours and /usr also a server's.
func (m *mailServers) inNamespace(server, command string) *exec.Cmd {
	usr, etc := filepath.Join(m.made, "etc"), filepath.Join(m.made, "etc")
	if server != "" {
		usr, etc = filepath.Join(m.folder, server, "usr"), etc+":"+filepath.Join(m.folder, server, "etc")
	}
	script := fmt.Sprintf("cd %s && mount -t overlay overlay -o lowerdir=%s:/etc /etc && ", m.made, etc)
	if server != "" {
		script += fmt.Sprintf("mount -t overlay overlay -o lowerdir=%s:/usr /usr && ", usr)
	}
	return exec.Command("unshare", "--mount", "--pid", "--fork", "sh", "-c", script+command)
}

func (m *mailServers) run(command string) {
	m.t.Helper()
	out, err := m.inNamespace("", command).CombinedOutput()
	require.NoError(m.t, err, string(out))
}

// start starts a server and waits until it listens.
func (m *mailServers) start(server, address, command string) {
	m.t.Helper()
	cmd := m.inNamespace(server, command)
	log, err := os.Create(filepath.Join(m.made, server+".out"))
	require.NoError(m.t, err)
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(m.t, cmd.Start())
	m.t.Cleanup(func() {
		if m.t.Failed() {
			for _, name := range []string{server + ".out", server + "/log", server + "/mainlog"} {
				if text, err := os.ReadFile(filepath.Join(m.made, name)); err == nil {
					m.t.Logf("%s:\n%s", name, text)
				}
			}
		}
		// the first process of its namespace, with which all others end
		_ = exec.Command("pkill", "-KILL", "--parent", strconv.Itoa(cmd.Process.Pid)).Run()
		_ = cmd.Wait()
	})
	require.Eventually(m.t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, time.Minute, 100*time.Millisecond, "%s does not listen at %s", server, address)
}

// greyHostServer takes what is for late@ after some seconds, and what is for never@ never.
type greyHostServer struct {
	mu    sync.Mutex
	first map[string]time.Time
	taken map[string]int
}

func (g *greyHostServer) serve(t *testing.T) {
	t.Helper()
	g.first, g.taken = map[string]time.Time{}, map[string]int{}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &greySession{host: g}, nil }))
	l, err := net.Listen("tcp", greyHost+":25")
	require.NoError(t, err)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
}

type greySession struct {
	host *greyHostServer
	from string
}

func (s *greySession) Reset()        {}
func (s *greySession) Logout() error { return nil }

func (s *greySession) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *greySession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	first, known := s.host.first[s.from+to]
	if !known {
		first = time.Now()
		s.host.first[s.from+to] = first
	}
	if !strings.HasPrefix(to, "late@") || time.Since(first) < 10*time.Second {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Greylisted, try again later"}
	}
	return nil
}

func (s *greySession) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	s.host.taken[s.from]++
	return err
}

// Real mail servers report what they could not deliver, and the reports come back by each inlet: nobody has the
// address, the mailbox is full, the host takes nothing at first, or never.
func TestRealMailServers(t *testing.T) {
	s := start(t, options{})
	startMailServers(t)
	grey := &greyHostServer{}
	grey.serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	var inlets sync.WaitGroup
	defer inlets.Wait()
	defer cancel()
	books := bounce.Books{DB: s.db, Logger: s.logger}
	for _, listen := range []string{"lmtp://127.0.0.1:2524", "127.0.0.1:2525"} {
		inlets.Go(func() { (&bounce.Listener{Books: books, Address: bounceAddress, Listen: listen}).Run(ctx) })
	}
	account, err := bounce.ParseIMAP("imap+plain://bounce:secret@"+dovecotHost+":143/INBOX", false)
	require.NoError(t, err)
	inlets.Go(func() { (&bounce.Mailbox{Books: books, Account: account}).Run(ctx) })

	keys := make([]string, 40)
	for i := range keys {
		keys[i] = fmt.Sprintf("GAME-KEY-%d", i)
	}
	s.product(keyturn.Product{ID: "game", Name: "The game", Sources: sources(fromPool("game-keys"))}, keys...)
	type sentMail struct{ name, deliveryID, want string }
	var all []sentMail
	for _, way := range []struct{ name, relay, address, late, never string }{
		{"Postfix, LMTP", postfixHost, bounceAddress, "delayed", "delayed, undeliverable"},
		{"Exim, SMTP", eximHost, bounceAddress, "", "undeliverable"}, // it tells of no delay at a host that answers
		{"Postfix, Dovecot, IMAP", postfixHost, "bounce@imap.keyturn.test", "delayed", "delayed, undeliverable"},
	} {
		sender, err := mail.NewSender(mail.Config{Addr: way.relay + ":25", TLS: mail.TLSNone})
		require.NoError(t, err)
		s.acts.Mail, s.acts.Letters.Bounces, s.acts.Letters.Refs = sender, way.address, true
		for to, want := range map[string]string{
			"nobody@dest.test": "bad_address 5.1.1", "full@dest.test": "refused 5.2.2", "jean@dest.test": "",
			"late@grey.test": way.late, "never@grey.test": way.never,
		} {
			a := s.store(keyturn.Order{
				Customer:  keyturn.Customer{ID: "user-" + to, Email: to, Country: "FR", Locale: "en-GB"},
				LineItems: []keyturn.LineItem{{ProductID: "game", Quantity: 1, GrossPrice: "29.99"}},
			})
			s.starter.Enqueue(a.Starts)
			s.await(a, keyturn.OrderCompleted)
			id := s.texts(`SELECT y.id FROM deliveries y JOIN line_items l ON l.id = y.line_id WHERE l.order_id = $1`, a.Order.ID)[0]
			all = append(all, sentMail{way.name + ", " + to, id, want})
		}
	}
	for _, m := range all {
		s.eventually(func() (bool, string) {
			got := s.texts(`SELECT coalesce(string_agg(CASE WHEN kind IN ('delayed', 'undeliverable') THEN kind
					ELSE kind || ' ' || status END, ', ' ORDER BY kind), '') FROM bounces WHERE delivery_id = $1`, m.deliveryID)[0]
			return got == m.want, m.name + ": " + got + " in place of " + m.want
		})
	}
	require.Equal(t, len(all)*3/5, s.count(`SELECT count(*) FROM alerts WHERE cause = 'Bounced' AND closed_at IS NULL`))
	require.Equal(t, 5, s.count(`SELECT count(*) FROM bounces WHERE via = 'imap'`))
	grey.mu.Lock()
	defer grey.mu.Unlock()
	require.Len(t, grey.taken, 3, "what was late has arrived all the same")
	for _, n := range grey.taken {
		require.Equal(t, 1, n)
	}
}

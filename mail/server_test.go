package mail_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/mail"
)

// server is a real SMTP server. Each hook, if set, decides the answer of its stage.
type server struct {
	t        testing.TB
	addr     string
	smtp     *smtp.Server
	roots    *x509.CertPool
	mail     func(s *serverSession) error
	rcpt     func(s *serverSession) error
	data     func(s *serverSession) error // after the whole message was read
	password string                       // if set, sign-in is required

	mu       sync.Mutex
	accepted int // connections
	received []received
	conns    []net.Conn
}

type received struct {
	from string
	to   []string
	data []byte
	tls  bool
}

type serverSession struct {
	*server
	conn *smtp.Conn
	received
	signedIn bool
}

type countingListener struct {
	net.Listener
	server *server
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.server.mu.Lock()
		l.server.accepted++
		l.server.conns = append(l.server.conns, c)
		l.server.mu.Unlock()
	}
	return c, err
}

// serve starts a server on loopback; mode is one of the sender's. change may set hooks before it takes connections.
func serve(t testing.TB, mode string, change func(*server)) *server {
	t.Helper()
	s := &server{t: t}
	s.smtp = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &serverSession{server: s, conn: c}, nil
	}))
	s.smtp.Domain = "server.test"
	s.smtp.ErrorLog = log.New(io.Discard, "", 0)
	certificate, roots := selfSigned(t)
	s.roots = roots
	if change != nil {
		change(s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = l.Addr().String()
	l = countingListener{l, s}
	switch mode {
	case mail.TLSStart:
		s.smtp.TLSConfig = certificate
	case mail.TLSImplicit:
		l = tls.NewListener(l, certificate)
	}
	go func() { _ = s.smtp.Serve(l) }()
	t.Cleanup(func() { _ = s.smtp.Close() })
	return s
}

func (s *server) all() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]received{}, s.received...)
}

func (s *server) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// cutAll closes every connection, as a server does that restarts.
func (s *server) cutAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
}

func (s *serverSession) Reset()        { s.received = received{} }
func (s *serverSession) Logout() error { return nil }

func (s *serverSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *serverSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != "shop" || password != s.password {
			return smtp.ErrAuthFailed
		}
		s.signedIn = true
		return nil
	}), nil
}

func (s *serverSession) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	if s.password != "" && !s.signedIn {
		return &smtp.SMTPError{Code: 530, Message: "authenticate first"}
	}
	if s.server.mail != nil {
		return s.server.mail(s)
	}
	return nil
}

func (s *serverSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	if s.server.rcpt != nil {
		return s.server.rcpt(s)
	}
	return nil
}

func (s *serverSession) Data(r io.Reader) error {
	var err error
	if s.received.data, err = io.ReadAll(r); err != nil {
		return err
	}
	_, s.received.tls = s.conn.TLSConnectionState()
	s.mu.Lock()
	s.server.received = append(s.server.received, s.received)
	s.mu.Unlock()
	if s.server.data != nil {
		return s.server.data(s)
	}
	return nil
}

func reply(code int) error {
	return &smtp.SMTPError{Code: code, Message: "words of the server about jean@buyer.test"}
}

// selfSigned makes a certificate for 127.0.0.1 and the pool that trusts it.
func selfSigned(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}, roots
}

// script is a server that says fixed lines: it answers every line it reads with the next one, and when they run out it
// does what then says. It is for what a proper server cannot be made to do.
func script(t testing.TB, then func(net.Conn), lines ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buffer := make([]byte, 4096)
				for i, line := range lines {
					if i > 0 {
						if _, err := c.Read(buffer); err != nil {
							return
						}
					}
					if _, err := io.WriteString(c, line+"\r\n"); err != nil {
						return
					}
				}
				then(c)
			}()
		}
	}()
	return l.Addr().String()
}

// hang reads and never answers.
func hang(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// hangUp closes after one more line.
func hangUp(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }

// readAllThenCut reads up to the final dot and closes.
func readAllThenCut(c net.Conn) {
	var all []byte
	buffer := make([]byte, 4096)
	for !bytes.HasSuffix(all, []byte("\r\n.\r\n")) {
		n, err := c.Read(buffer)
		all = append(all, buffer[:n]...)
		if err != nil && !errors.Is(err, io.EOF) || n == 0 {
			return
		}
	}
}

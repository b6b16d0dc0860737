package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// limitedConn is a connection whose deadlines never exceed a limit. The SMTP client sets a deadline for each command
// and removes it afterwards, so that none applies while the message is written or during the STARTTLS handshake. The
// limit bounds those too.
type limitedConn struct {
	net.Conn
	reads atomic.Int64 // how many reads were begun
	mu    sync.Mutex
	limit time.Time
}

func (c *limitedConn) Read(b []byte) (int, error) {
	c.reads.Add(1)
	return c.Conn.Read(b)
}

// setLimit makes every operation fail at the given time, including one in progress.
func (c *limitedConn) setLimit(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = t
	_ = c.Conn.SetDeadline(t)
}

func (c *limitedConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Conn.SetDeadline(c.earlier(t))
}

func (c *limitedConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Conn.SetReadDeadline(c.earlier(t))
}

func (c *limitedConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Conn.SetWriteDeadline(c.earlier(t))
}

func (c *limitedConn) earlier(t time.Time) time.Time {
	if t.IsZero() || t.After(c.limit) {
		return c.limit
	}
	return t
}

// session is an authenticated connection that is ready for a mail.
type session struct {
	client *smtp.Client
	conn   *limitedConn
	idle   *time.Timer // closes it while it waits in the pool
}

// guard bounds the session by the deadline of ctx until the returned function is called. Cancelling ctx fails the
// operation in progress.
func (s *session) guard(ctx context.Context) (release func()) {
	deadline, _ := ctx.Deadline()
	s.conn.setLimit(deadline)
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		s.conn.setLimit(time.Unix(1, 0))
		close(done)
	})
	return func() {
		if !stop() {
			<-done // or it would cut off the next mail
		}
	}
}

// quit ends the session and closes the connection. It waits a second at most for the server.
func (s *session) quit() {
	s.conn.setLimit(time.Now().Add(time.Second))
	if s.client.Quit() != nil {
		_ = s.client.Close()
	}
}

// dial opens a session: it connects, negotiates TLS and authenticates. It fails rather than continue without TLS.
func (s *Sender) dial(ctx context.Context) (*session, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return nil, failure(stageConnect, err)
	}
	fresh := &session{conn: &limitedConn{Conn: raw}}
	defer fresh.guard(ctx)()
	switch s.cfg.TLS {
	case TLSImplicit:
		fresh.client = smtp.NewClient(tls.Client(fresh.conn, s.tls))
	case TLSStart:
		fresh.client, err = smtp.NewClientStartTLS(fresh.conn, s.tls)
	default:
		fresh.client = smtp.NewClient(fresh.conn)
	}
	if err == nil {
		err = fresh.client.Hello(s.cfg.LocalName)
	}
	if err != nil {
		_ = raw.Close()
		return nil, failure(openingStage(err), err)
	}
	if err := s.signIn(fresh.client); err != nil {
		_ = raw.Close()
		return nil, failure(stageSignIn, err)
	}
	return fresh, nil
}

// openingStage distinguishes a server that cannot be reached from one that cannot be trusted or offers no STARTTLS.
func openingStage(err error) stage {
	_, answered := errors.AsType[*smtp.SMTPError](err)
	_, network := errors.AsType[net.Error](err)
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return stageTLS
	}
	if answered || network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return stageConnect
	}
	return stageTLS
}

func (s *Sender) signIn(client *smtp.Client) error {
	if s.cfg.Username == "" {
		return nil
	}
	switch {
	case client.SupportsAuth(sasl.Plain):
		return client.Auth(sasl.NewPlainClient("", s.cfg.Username, s.cfg.Password.Reveal()))
	case client.SupportsAuth(sasl.Login):
		return client.Auth(sasl.NewLoginClient(s.cfg.Username, s.cfg.Password.Reveal()))
	}
	return errors.New("the server offers neither AUTH PLAIN nor AUTH LOGIN")
}

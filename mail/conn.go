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

// limitedConn is a connection on which no deadline reaches beyond a limit. The SMTP client sets a new deadline for each
// command and takes it away after: while the message is written and during the handshake of STARTTLS there would be
// none. With the limit below it, whatever the client does ends in time.
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

// setLimit makes every operation, also one that is running, fail at the given time.
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

// session is a connection that is signed in and ready for a mail.
type session struct {
	client *smtp.Client
	conn   *limitedConn
	idle   *time.Timer // closes it while it waits in the pool
}

// guard bounds the session by ctx, which has a deadline, until the function it returns is called. Cancelling ctx fails
// what is running.
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

// quit takes leave of the server and closes the connection; a server that does not answer is not waited for.
func (s *session) quit() {
	s.conn.setLimit(time.Now().Add(time.Second))
	if s.client.Quit() != nil {
		_ = s.client.Close()
	}
}

// dial opens a session: it connects, secures and signs in. It fails rather than go on without TLS.
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

// openingStage tells a server that cannot be reached from one that cannot be trusted, or has no STARTTLS to offer.
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

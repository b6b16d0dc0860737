package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"keyturn.dev/keyturn"
)

// The modes in which a Sender secures its connections. None of them makes TLS optional.
const (
	TLSStart    = "starttls" // plain first, STARTTLS required; usually port 587
	TLSImplicit = "implicit" // TLS from the first byte; usually port 465
	TLSNone     = "none"     // for development: no TLS, and no password
)

// maxSendTime bounds one Send whatever its context allows: a server that hangs must not hold a worker longer.
const maxSendTime = 30 * time.Second

// Config configures a Sender. The comments say what a zero value means.
type Config struct {
	Addr     string // host:port of the SMTP server
	Username string // empty: no sign-in
	Password keyturn.Secret
	TLS      string // TLSStart (when empty), TLSImplicit or TLSNone

	RootCAs     *x509.CertPool // nil: the system's
	LocalName   string         // how we introduce ourselves; empty: the host's name
	Timeout     time.Duration  // of one Send, from waiting for a connection to the last answer; 0 and at most 30 s
	IdleTimeout time.Duration  // how long an unused connection is kept; 0: 30 s
	MaxConns    int            // connections open at the same time; 0: 10
}

// Sender hands messages to one SMTP server over pooled connections. It is safe for concurrent use.
type Sender struct {
	cfg  Config
	tls  *tls.Config
	pool *pool
}

// NewSender validates the configuration (KindInvalid) and returns a Sender. It does not connect.
func NewSender(cfg Config) (*Sender, error) {
	if cfg.TLS == "" {
		cfg.TLS = TLSStart
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = maxSendTime
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = 30 * time.Second // Postfix closes unused connections after 300 s, some services after 60 s
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 10 // what large services allow one client without asking
	}
	if cfg.LocalName == "" {
		cfg.LocalName = "localhost"
		if name, err := os.Hostname(); err == nil && isPlain(name) && name != "" {
			cfg.LocalName = name
		}
	}
	var bad keyturn.Problems
	host, port, err := net.SplitHostPort(cfg.Addr)
	bad.Check(err == nil && host != "" && port != "", "addr", "must be host:port")
	bad.Check(cfg.TLS == TLSStart || cfg.TLS == TLSImplicit || cfg.TLS == TLSNone, "tls",
		"must be starttls, implicit or none")
	bad.Check(cfg.TLS != TLSNone || cfg.Username == "", "username", "needs TLS: the password would travel in the clear")
	bad.Check(cfg.Timeout > 0 && cfg.Timeout <= maxSendTime, "timeout", "must be between 0 and %s",
		keyturn.Duration(maxSendTime))
	bad.Check(cfg.IdleTimeout > 0, "idleTimeout", "must not be negative")
	bad.Check(cfg.MaxConns > 0 && cfg.MaxConns <= 1000, "maxConns", "must be between 1 and 1000")
	bad.Check(isPlain(cfg.LocalName), "localName", "must be printable ASCII")
	if err := bad.Err("the mail configuration is not valid"); err != nil {
		return nil, err
	}
	return &Sender{
		cfg:  cfg,
		tls:  &tls.Config{ServerName: host, RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12},
		pool: newPool(cfg.MaxConns, cfg.IdleTimeout),
	}, nil
}

// Send hands the message to the server, byte for byte, for its one recipient. nil means that the server took it.
// Errors:
//   - KindInvalid: the message is not one that Render… made.
//   - KindRejected: a 5xx answer to this sender, recipient or message; the same mail will not go through (Code).
//   - KindUnavailable: everything that may pass: no connection, no TLS, sign-in refused, a 4xx answer, no time left.
//     If Ambiguous(err), the server may have the message; in every other case it has not.
//
// Everything ends at the deadline of ctx and at Config.Timeout. A kept connection that turns out dead before the server
// takes the sender is replaced by a new one, once.
func (s *Sender) Send(ctx context.Context, m Message) error {
	if err := m.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	kept, err := s.pool.acquire(ctx)
	if err != nil {
		return failure(stageConnect, err)
	}
	next := kept
	defer func() { s.pool.release(next) }()
	if kept != nil {
		var dead bool
		if next, dead, err = kept.send(ctx, m); !dead {
			return err
		}
	}
	if next, err = s.dial(ctx); err != nil {
		return err
	}
	next, _, err = next.send(ctx, m)
	return err
}

// Close ends the idle connections. A running Send completes; later ones fail.
func (s *Sender) Close() error {
	s.pool.close()
	return nil
}

// check refuses data that the SMTP client would have to change, so that the bytes sent are the bytes stored.
func (m Message) check() error {
	var bad keyturn.Problems
	bad.Merge("from", CheckAddress(m.From))
	bad.Merge("to", CheckAddress(m.To))
	lines := bytes.Count(m.Data, []byte("\r\n"))
	bad.Check(bytes.HasSuffix(m.Data, []byte("\r\n")) && bytes.Count(m.Data, []byte("\n")) == lines &&
		bytes.Count(m.Data, []byte("\r")) == lines, "data", "must be lines that end in CRLF")
	return bad.Err("the mail cannot be sent")
}

// send sends one message on an open session. It returns the session if it can be used again, and reports whether it was
// dead: closed by the server before it accepted anything, so that nothing was sent.
func (s *session) send(ctx context.Context, m Message) (again *session, dead bool, err error) {
	defer s.guard(ctx)()
	at, err := s.transmit(m)
	if err == nil {
		return s, false, nil
	}
	code := Code(err)
	dead = at == stageSender && (code == 0 && !isTimeout(err) && ctx.Err() == nil || code == 421)
	if dead || code == 0 || code == 421 || s.client.Reset() != nil { // 421: the server is about to close
		_ = s.client.Close()
		return nil, dead, failure(at, err)
	}
	return s, false, failure(at, err)
}

// reports asks servers that send delivery status notifications (RFC 3461) for those of a failure or a delay, under the
// message's reference and with its headers alone. Others are not asked.
func (m Message) reports() (*smtp.MailOptions, *smtp.RcptOptions) {
	if m.Ref == "" {
		return nil, nil
	}
	ref, _, _ := strings.Cut(m.Ref, ".")
	return &smtp.MailOptions{Return: smtp.DSNReturnHeaders, EnvelopeID: ref},
		&smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifyFailure, smtp.DSNNotifyDelayed}}
}

// transmit runs one mail transaction and returns the stage at which it failed.
func (s *session) transmit(m Message) (stage, error) {
	from, to := m.reports()
	if err := s.client.Mail(quoted(m.From), from); err != nil {
		return stageSender, err
	}
	if err := s.client.Rcpt(quoted(m.To), to); err != nil {
		return stageRecipient, err
	}
	data, err := s.client.Data()
	if err != nil {
		return stageMessage, err
	}
	if _, err := data.Write(m.Data); err != nil {
		return stageMessage, err
	}
	readsBefore := s.conn.reads.Load()
	_, err = data.CloseWithResponse()
	if reply, ok := errors.AsType[*smtp.SMTPError](err); err == nil || ok && reply.Code/100 == 2 {
		return "", nil
	}
	if s.conn.reads.Load() == readsBefore {
		// The client reads the answer only once everything is written. A write that failed left out at least its last byte,
		// the end of the final dot, so the server cannot have accepted the message.
		return stageMessage, err
	}
	return stageAnswer, err
}

// Check connects to the server, signs in and leaves. Errors are KindUnavailable, as of Send.
func (s *Sender) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	opened, err := s.dial(ctx)
	if err != nil {
		return err
	}
	opened.quit()
	return nil
}

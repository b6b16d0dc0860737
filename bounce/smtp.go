package bounce

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/net/netutil"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/metrics"
)

// Listener takes reports by SMTP, or by LMTP from a mail server of the shop's. It takes what is for tagged addresses of
// this installation's e-mails, and nothing else: it is no relay.
type Listener struct {
	Books
	Address string // the bounce address without tags
	Listen  string // host:port, or lmtp://host:port

	sessionTime time.Duration // 0: sessionTime
}

const (
	listenAgain    = 30 * time.Second // after a listener failed
	maxConnections = 100              // at the same time
	lineTime       = time.Minute      // for a command, or a line of a message
	sessionTime    = 10 * time.Minute // for a connection: those that only keep it would leave no room for others
)

// lmtpScheme stands before an address at which LMTP is spoken.
const lmtpScheme = "lmtp://"

// ParseListen splits what says where to listen into an address and whether LMTP is spoken there. KindInvalid.
func ParseListen(text string) (address string, lmtp bool, err error) {
	address, lmtp = strings.CutPrefix(text, lmtpScheme)
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		return "", false, keyturn.Errorf(keyturn.KindInvalid, "must be an address such as :2525, or lmtp://:2525")
	}
	return address, lmtp, nil
}

// Run listens until ctx ends. What cannot be had at the moment is tried again: e-mails are sent all the same.
func (l *Listener) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := l.serve(ctx); err != nil && ctx.Err() == nil {
			l.Logger.Warn("reports about e-mails are not taken by SMTP; it is tried again in 30 s", "address", l.Listen,
				"error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(listenAgain):
		}
	}
}

func (l *Listener) serve(ctx context.Context) error {
	address, lmtp, err := ParseListen(l.Listen)
	if err != nil {
		return err
	}
	open, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{Listener: l, ctx: ctx}, nil
	}))
	_, server.Domain, _ = strings.Cut(l.Address, "@")
	server.LMTP = lmtp
	server.MaxRecipients = 1 // of a report; a server with more tries the others again
	server.MaxMessageBytes = MaxMessage
	server.ReadTimeout, server.WriteTimeout = lineTime, lineTime
	server.ErrorLog = slog.NewLogLogger(l.Logger.Handler(), slog.LevelDebug) // broken connections and the like
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	l.Logger.Info("reports about e-mails are taken", "address", open.Addr().String(), "lmtp", lmtp)
	limited := brief{netutil.LimitListener(open, maxConnections), cmp.Or(l.sessionTime, sessionTime)}
	if err := server.Serve(limited); !errors.Is(err, smtp.ErrServerClosed) {
		return err
	}
	return nil
}

// brief is a listener whose connections end after a time, whatever they do.
type brief struct {
	net.Listener
	most time.Duration
}

func (b brief) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	if err == nil {
		time.AfterFunc(b.most, func() { _ = c.Close() })
	}
	return c, err
}

// session is one connection.
type session struct {
	*Listener
	ctx context.Context //nolint:containedctx // of the process: the protocol has none
	ref string          // of the message's recipient
}

func (s *session) Reset() { s.ref = "" }

func (s *session) Logout() error { return nil }

// Mail accepts any sender: reports have none, or say so.
func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt accepts a tagged address of an e-mail of ours.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	ref, tagged := refOf(s.Address, to)
	_, ours := s.DB.MailOfRef(ref)
	if tagged && !ours {
		metrics.Bounce(string(keyturn.InletSMTP), string(db.BounceForged), "")
	}
	if !tagged || !ours {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such address here"}
	}
	s.ref = ref
	return nil
}

// Data books the report. One that cannot be booked now is to be sent again.
func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r) // no more than MaxMessage
	if err != nil {
		return err
	}
	if _, err := s.take(s.ctx, keyturn.InletSMTP, raw, s.ref); err != nil {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "try again later"}
	}
	return nil
}

// refOf is the reference in a tagged form of the bounce address: bounce+REF@mail.shop.example.
func refOf(address, to string) (string, bool) {
	local, domain, _ := strings.Cut(strings.ToLower(address), "@")
	to = strings.ToLower(strings.TrimSpace(to))
	ref, ok := strings.CutPrefix(to, local+"+")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(ref, "@"+domain)
}

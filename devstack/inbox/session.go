package inbox

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/emersion/go-smtp"
)

// Faults that a hook set with Fail can return, besides Reject.
var (
	// ErrCut: the message is kept, then the connection is cut, so that the sender never hears the answer.
	ErrCut = errors.New("cut the connection after the final dot")
	// ErrHang: the message is kept, then nothing is answered until the sender gives up or a minute is over.
	ErrHang = errors.New("hang after the final dot")
)

// Reject is a fault that answers the recipient with an SMTP code, 4xx or 5xx; the message is not kept.
func Reject(code int) error {
	return &smtp.SMTPError{
		Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0},
		Message: "Rejected by a fault of the inbox",
	}
}

// Fail sets a hook that decides what goes wrong for each recipient: nil for nothing, Reject, ErrCut or ErrHang. A nil
// hook ends the faults.
func (s *Server) Fail(hook func(from, to string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = hook
}

func (s *Server) faultFor(from, to string) error {
	s.mu.Lock()
	hook := s.fault
	s.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(from, to)
}

// session is one SMTP connection. The SMTP server calls its methods one after the other.
type session struct {
	server *Server
	conn   net.Conn
	from   string
	to     []string
	fault  error // ErrCut or ErrHang, for the message that comes next
}

func (s *Server) newSession(c *smtp.Conn) (smtp.Session, error) {
	return &session{server: s, conn: c.Conn()}, nil
}

func (s *session) Reset() { s.from, s.to, s.fault = "", nil, nil }

func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	fault := s.server.faultFor(s.from, to)
	if errors.Is(fault, ErrCut) || errors.Is(fault, ErrHang) {
		s.fault, fault = fault, nil
	}
	if fault == nil {
		s.to = append(s.to, to)
		return nil
	}
	if _, ok := errors.AsType[*smtp.SMTPError](fault); ok {
		return fault
	}
	return &smtp.SMTPError{
		Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0},
		Message: "Fault of the inbox: " + fault.Error(),
	}
}

// Data keeps the message before it returns, because the answer goes out right after.
func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.server.store.add(s.from, s.to, data, s.fault == nil); err != nil {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: fmt.Sprintf("Not kept: %v", err)}
	}
	s.server.reports(s.from, s.to)
	switch {
	case errors.Is(s.fault, ErrCut):
		_ = s.conn.Close() // what the server answers now goes nowhere
	case errors.Is(s.fault, ErrHang):
		select {
		case <-s.server.closing:
		case <-time.After(time.Minute):
		}
		_ = s.conn.Close()
	}
	return nil
}

package mail

import (
	"context"
	"errors"
	"net"
	"os"

	"github.com/emersion/go-smtp"

	"keyturn.dev/keyturn"
)

// stage is how far sending got; errors name it.
type stage string

const (
	stageConnect   stage = "the connection"
	stageTLS       stage = "the change to TLS"
	stageSignIn    stage = "our sign-in"
	stageSender    stage = "the sender"
	stageRecipient stage = "the recipient"
	stageMessage   stage = "the message"
	stageAnswer    stage = "the message, after all of it," // the final dot has left
)

// lostAnswer means that the final dot was sent and no answer arrived: the server may have the mail or not.
type lostAnswer struct{ cause error }

func (e *lostAnswer) Error() string { return "no answer to the final dot: " + e.cause.Error() }
func (e *lostAnswer) Unwrap() error { return e.cause }

// Ambiguous reports whether the server may have accepted the mail although Send failed: the connection broke, or time
// ran out, after the final dot was sent. Sending the same Message again is right, because mailboxes can recognise its
// Message-ID, but its keys count as seen.
func Ambiguous(err error) bool {
	_, ok := errors.AsType[*lostAnswer](err)
	return ok
}

// Code returns the SMTP reply code behind an error of Send, such as 550, or 0 if the server did not answer.
func Code(err error) int {
	if reply, ok := errors.AsType[*smtp.SMTPError](err); ok {
		return reply.Code
	}
	return 0
}

// failure returns an error its kind. The server's text goes only into the Cause, because it often quotes the recipient.
func failure(at stage, err error) error {
	reply, answered := errors.AsType[*smtp.SMTPError](err)
	answered = answered && reply.Code >= 400 // any other code makes no sense where it came, so it says nothing
	switch {
	case answered && reply.Code >= 500 && !aboutUs(at, reply.Code):
		return keyturn.Errorf(keyturn.KindRejected, "the mail server refused %s with code %d: %w", at, reply.Code, err)
	case answered:
		return keyturn.Errorf(keyturn.KindUnavailable, "the mail server does not take %s now, code %d: %w", at, reply.Code,
			err)
	case at == stageAnswer:
		return keyturn.Errorf(keyturn.KindUnavailable, "the mail server may have taken the message: its answer was lost: %w",
			&lostAnswer{err})
	case isTimeout(err):
		return keyturn.Errorf(keyturn.KindUnavailable, "the mail server did not answer in time during %s: %w", at, err)
	}
	return keyturn.Errorf(keyturn.KindUnavailable, "the mail server could not be used during %s: %w", at, err)
}

// aboutUs reports whether a refusal concerns this installation (a wrong password, TLS required) and not the mail. An
// operator can mend it, so it must not count as permanent and cost customers their orders.
func aboutUs(at stage, code int) bool {
	return at == stageConnect || at == stageTLS || at == stageSignIn ||
		at == stageSender && (code == 530 || code == 535 || code == 538)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

package payment

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyturn.dev/keyturn"
)

// Sessions keeps the sandbox's payment sessions (package db).
type Sessions interface {
	// OpenSandboxSession stores a session under its key, once. If there is one under the key, it gives that one as it is.
	OpenSandboxSession(ctx context.Context, s keyturn.SandboxSession) (keyturn.SandboxSession, error)
	// ChangeSandboxSession locks a session, lets change change it, and stores what it has changed; change may run more
	// than once. What it captures goes into the books that Ledger refunds from. KindNotFound; an error of change changes
	// nothing.
	ChangeSandboxSession(ctx context.Context, ref keyturn.SandboxRef, change func(*keyturn.SandboxSession) error) (
		keyturn.SandboxSession, error)
}

var _ Processor = Sandbox{}

const (
	// sandboxAuthorizes is how long an authorization of the sandbox can be captured.
	sandboxAuthorizes = 7 * 24 * time.Hour
	// sandboxSettles is how long a method takes that takes time.
	sandboxSettles = 30 * time.Second
)

// Origin is Processor.Origin.
func (x Sandbox) Origin() string {
	u, err := url.Parse(x.PublicURL)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// CheckSum is Processor.CheckSum: it takes everything.
func (x Sandbox) CheckSum(keyturn.Money) error { return nil }

// CheckTotal is Processor.CheckTotal.
func (x Sandbox) CheckTotal(keyturn.Money) error { return nil }

// Open is Processor.Open.
func (x Sandbox) Open(ctx context.Context, o Opening) (keyturn.ProcessorState, error) {
	if o.Key == "" || o.Total.Minor <= 0 || !keyturn.ValidPaymentID(o.PaymentID) {
		return keyturn.ProcessorState{}, refused("the sandbox opens a session for a key, a payment and a sum above zero")
	}
	if _, err := parseScript(o.AdditionalData["sandbox"]); err != nil {
		return keyturn.ProcessorState{}, err
	}
	o.ExpiresAt = o.ExpiresAt.UTC().Truncate(time.Microsecond)
	request, err := json.Marshal(o)
	if err != nil {
		return keyturn.ProcessorState{}, err
	}
	s := keyturn.SandboxSession{
		ID: "sbx_" + newRandom(), Key: o.Key, Request: x.mac("request", string(request)), PaymentID: o.PaymentID,
		OrderID: o.OrderID, Total: o.Total, Locale: o.Locale, BackURL: o.BackURL, ReturnURL: o.ReturnURL,
		AuthorizeAs: keyturn.CaptureAtOnce, Script: o.AdditionalData["sandbox"], ExpiresAt: o.ExpiresAt,
	}
	switch {
	case o.AuthorizeOnly:
		s.AuthorizeAs = keyturn.CaptureWhenObtained
	case o.AuthorizeFirst:
		s.AuthorizeAs = keyturn.CaptureWhenPossible
	}
	for _, l := range o.Lines {
		s.Lines = append(s.Lines, keyturn.SandboxLine{Name: l.Name, UnitPrice: l.UnitPrice.String(), Quantity: l.Quantity})
	}
	s.TokenHash = tokenHash(x.token(s.ID))
	stored, err := x.Sessions.OpenSandboxSession(ctx, s)
	if err != nil {
		return keyturn.ProcessorState{}, err
	}
	if !hmac.Equal(stored.Request, s.Request) {
		return keyturn.ProcessorState{}, refused("the sandbox has opened another session under this key")
	}
	x.passTime(&stored)
	return x.state(stored), nil
}

// Retrieve is Processor.Retrieve.
func (x Sandbox) Retrieve(ctx context.Context, ref Ref) (keyturn.ProcessorState, error) {
	s, err := x.Sessions.ChangeSandboxSession(ctx, sandboxRef(ref), func(s *keyturn.SandboxSession) error {
		x.passTime(s)
		return nil
	})
	if err != nil {
		return keyturn.ProcessorState{}, err
	}
	return x.state(s), nil
}

// Expire is Processor.Expire.
func (x Sandbox) Expire(ctx context.Context, ref Ref) (keyturn.ProcessorState, error) {
	s, err := x.change(ctx, sandboxRef(ref), func(s *keyturn.SandboxSession, _ script) error {
		if s.Status == keyturn.AtProcessorOpen {
			s.Status = keyturn.AtProcessorExpired
		}
		return nil
	})
	if err != nil {
		return keyturn.ProcessorState{}, err
	}
	return x.state(s), nil
}

// Capture is Processor.Capture. A payment that was captured under another key is not captured again: the state says
// what was taken.
func (x Sandbox) Capture(ctx context.Context, ref Ref, sum keyturn.Money, key string) (keyturn.ProcessorState, error) {
	var answer error // of a call that has changed something all the same
	s, err := x.change(ctx, sandboxRef(ref), func(s *keyturn.SandboxSession, do script) error {
		answer = nil
		switch s.Status {
		case keyturn.AtProcessorCaptured:
			if s.CaptureKey == key && s.Captured != sum {
				return refused("the sandbox has captured another sum under this key")
			}
			return nil
		case keyturn.AtProcessorAuthorized:
		case keyturn.AtProcessorVoided, keyturn.AtProcessorExpired, keyturn.AtProcessorFailed:
			return refused("the sandbox has no authorization any more: the payment is %s", s.Status)
		case keyturn.AtProcessorOpen, keyturn.AtProcessorProcessing:
			return keyturn.Errorf(keyturn.KindRejected, "the sandbox has no authorization yet: the payment is %s", s.Status)
		}
		if key == "" || sum.Currency != s.Authorized.Currency || sum.Minor <= 0 || sum.Minor > s.Authorized.Minor {
			return keyturn.Errorf(keyturn.KindRejected,
				"the sandbox captures a sum above zero, at most what was authorized, under a key")
		}
		s.CaptureTries++
		switch {
		case do.captureRefused:
			s.Status = keyturn.AtProcessorVoided
			answer = refused("the customer's bank refuses the capture, as the link asks")
			return nil
		case s.CaptureTries <= do.captureFails:
			answer = keyturn.Errorf(keyturn.KindUnavailable, "the sandbox did nothing and did not answer, as the link asks")
			return nil
		case do.captureLost && s.CaptureTries == 1:
			answer = keyturn.Errorf(keyturn.KindUnavailable, "the sandbox's answer was lost, as the link asks")
		}
		s.Status, s.Captured, s.CaptureKey = keyturn.AtProcessorCaptured, sum, key
		return nil
	})
	if err == nil {
		err = answer
	}
	if err != nil {
		return keyturn.ProcessorState{}, err
	}
	return x.state(s), nil
}

// Void is Processor.Void. What is not authorized is left as it is.
func (x Sandbox) Void(ctx context.Context, ref Ref, _ string) (keyturn.ProcessorState, error) {
	s, err := x.change(ctx, sandboxRef(ref), func(s *keyturn.SandboxSession, _ script) error {
		if s.Status == keyturn.AtProcessorAuthorized {
			s.Status = keyturn.AtProcessorVoided
		}
		return nil
	})
	if err != nil {
		return keyturn.ProcessorState{}, err
	}
	return x.state(s), nil
}

// Session gives the session behind the address of its page. KindNotFound.
func (x Sandbox) Session(ctx context.Context, token string) (keyturn.SandboxSession, error) {
	return x.change(ctx, keyturn.SandboxRef{TokenHash: tokenHash(token)},
		func(*keyturn.SandboxSession, script) error { return nil })
}

// Act does what a visitor chooses on the page. A session that is not open any more is left as it is. KindNotFound;
// KindRejected: the payment is declined, and the session stays open.
func (x Sandbox) Act(ctx context.Context, token string, a keyturn.SandboxAction) (keyturn.SandboxSession, error) {
	var declined Event
	s, err := x.change(ctx, keyturn.SandboxRef{TokenHash: tokenHash(token)},
		func(s *keyturn.SandboxSession, do script) error {
			declined = Event{}
			late := a == keyturn.SandboxPayLate || do.settles > 0 || do.settlesNot
			switch {
			case s.Status != keyturn.AtProcessorOpen:
				return nil
			case a == keyturn.SandboxCancel:
				return nil
			case a != keyturn.SandboxPay && a != keyturn.SandboxPayLate:
				declined = Event{
					ID: "evt_" + newRandom(), Type: sandboxDeclined, SessionReference: s.ID, Outcome: keyturn.Refused,
				}
				return keyturn.Errorf(keyturn.KindRejected, "the payment was declined")
			case s.AuthorizeAs == keyturn.CaptureWhenObtained && (late || do.cannotAuthorize):
				return keyturn.Errorf(keyturn.KindRejected, "this means of payment cannot be authorized first")
			}
			s.Reference = strings.Join(append([]string{"sbxp_" + newRandom()}, do.refund...), "-")
			if late {
				s.Status, s.Method = keyturn.AtProcessorProcessing, "transfer/sandbox"
				s.SettlesAt = s.Now.Add(max(do.settles, 0))
				if do.settles == 0 {
					s.SettlesAt = s.Now.Add(sandboxSettles)
				}
				return nil
			}
			s.Method = "card/sandbox"
			if s.AuthorizeAs == keyturn.CaptureAtOnce || do.cannotAuthorize {
				take(s, do)
				return nil
			}
			s.Status, s.Authorized, s.CaptureBy = keyturn.AtProcessorAuthorized, do.paid(s.Total), s.Now.Add(sandboxAuthorizes)
			if do.runsOutIn > 0 {
				s.CaptureBy = s.Now.Add(do.runsOutIn)
			}
			return nil
		})
	if declined.ID != "" && x.OnEvent != nil {
		x.OnEvent(ctx, declined)
	}
	return s, err
}

// take charges the customer without an authorization first.
func take(s *keyturn.SandboxSession, do script) {
	s.Status, s.Authorized, s.Captured = keyturn.AtProcessorCaptured, do.paid(s.Total), do.paid(s.Total)
}

// passTime does what only time brings.
func (x Sandbox) passTime(s *keyturn.SandboxSession) {
	if x.Clock != nil {
		s.Now = x.Clock(s.Now)
	}
	do, _ := parseScript(s.Script) // it was checked
	switch {
	case s.Status == keyturn.AtProcessorOpen && !s.Now.Before(s.ExpiresAt):
		s.Status = keyturn.AtProcessorExpired
	case s.Status == keyturn.AtProcessorAuthorized && !s.Now.Before(s.CaptureBy):
		s.Status = keyturn.AtProcessorVoided
	case s.Status == keyturn.AtProcessorProcessing && !s.Now.Before(s.SettlesAt) && do.settlesNot:
		s.Status = keyturn.AtProcessorFailed
	case s.Status == keyturn.AtProcessorProcessing && !s.Now.Before(s.SettlesAt):
		take(s, do)
	}
}

// change changes a session, and tells of it once it is stored.
func (x Sandbox) change(ctx context.Context, ref keyturn.SandboxRef,
	change func(*keyturn.SandboxSession, script) error,
) (keyturn.SandboxSession, error) {
	var before keyturn.ProcessorStatus
	s, err := x.Sessions.ChangeSandboxSession(ctx, ref, func(s *keyturn.SandboxSession) error {
		before = s.Status
		x.passTime(s)
		do, err := parseScript(s.Script)
		if err != nil {
			return err
		}
		return change(s, do)
	})
	if err == nil && s.Status != before && x.OnEvent != nil {
		kind := "session." + string(s.Status)
		x.OnEvent(ctx, Event{
			ID: "evt_" + newRandom(), Type: kind, SessionReference: s.ID, PaymentReference: s.Reference,
			Outcome: outcomeOf(kind),
		})
	}
	return s, err
}

func (x Sandbox) state(s keyturn.SandboxSession) keyturn.ProcessorState {
	out := keyturn.ProcessorState{
		Status: s.Status, SessionReference: s.ID, PaymentReference: s.Reference,
		URL: strings.TrimRight(x.PublicURL, "/") + "/sandbox/pay/" + x.token(s.ID), Authorized: s.Authorized,
		Captured: s.Captured, Refunded: s.Refunded, Method: s.Method,
	}
	if s.Status == keyturn.AtProcessorAuthorized {
		out.CaptureWithin = s.CaptureBy.Sub(s.Now)
	}
	return out
}

func sandboxRef(ref Ref) keyturn.SandboxRef {
	return keyturn.SandboxRef{ID: ref.SessionReference, Reference: ref.PaymentReference, PaymentID: ref.PaymentID}
}

// token is the unguessable part of the address of a session's page. The books alone do not give it.
func (x Sandbox) token(sessionID string) string {
	return base64.RawURLEncoding.EncodeToString(x.mac("page", sessionID)[:16])
}

func tokenHash(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

func (x Sandbox) mac(purpose, text string) []byte {
	h := hmac.New(sha256.New, x.Secret)
	h.Write([]byte(purpose + "/" + text))
	return h.Sum(nil)
}

func newRandom() string {
	id := uuid.New()
	return hex.EncodeToString(id[:])
}

func refused(format string, args ...any) error {
	err := keyturn.Errorf(keyturn.KindRejected, format, args...)
	err.Permanent = true
	return err
}

package workflows_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
)

// model answers for one line as the database and the activities do, from a clock of its own. What its surroundings say
// is set before the workflow starts, or while it waits.
type model struct {
	now func() time.Time // the database's clock

	mu        sync.Mutex
	trace     []string
	cancelled []string // activities that were cancelled: the test environment runs them again, a server does not

	// Surroundings.
	stock    int
	partner  func(try int) *failure // nil: it answers with keys
	mail     func(try int) *failure // nil: the mail server takes the e-mail
	slowMail time.Duration          // how long the first e-mail takes; longer than 3 s is too long for a local activity
	payment  func(try int) bool     // whether the provider refunds
	dbDown   int                    // so many local activities fail

	// The line.
	policy    keyturn.RetryPolicy
	sources   []keyturn.Do // claim, call or await
	source    int
	status    keyturn.LineStatus
	obtained  bool
	blocked   bool
	apply     bool // an operation on a licence that needs nobody outside
	version   int
	attempts  int
	failures  int
	refunds   int
	nextAt    time.Time
	heldUntil time.Time
	giveUpAt  time.Time
	mailDone  time.Time // when the e-mail under way is booked
	last      *keyturn.Failure
}

// failure is how an attempt fails.
type failure struct {
	kind      keyturn.Kind
	permanent bool
	after     time.Duration // the partner's Retry-After
}

func (m *model) sourceName() string {
	return map[keyturn.Do]string{
		keyturn.DoClaim: "pool/keys", keyturn.DoCall: "endpoint/acme",
		keyturn.DoAwait: "manual",
	}[m.sources[m.source]]
}

func (m *model) in(t time.Time) keyturn.Duration { return keyturn.Duration(max(t.Sub(m.now()), 0)) }

func (m *model) next() keyturn.Next {
	n := keyturn.Next{
		Status: m.status, Source: m.sourceName(), Left: m.in(m.giveUpAt), Attempts: m.attempts, Version: m.version,
		Failure: m.last, Do: m.sources[m.source],
	}
	if !m.nextAt.IsZero() {
		n.Wait = m.in(m.nextAt)
	}
	switch {
	case !m.status.Open():
		n.Do, n.Wait, n.Left = keyturn.DoNothing, 0, 0
	case m.status == keyturn.LineCanceling:
		n.Do = keyturn.DoRefund
	case m.status == keyturn.LineHeld:
		n.Do, n.Wait = keyturn.DoAwait, n.Left
		if !m.heldUntil.IsZero() {
			n.Wait = min(m.in(m.heldUntil), n.Left)
		}
	case m.blocked:
		n.Do, n.Wait = keyturn.DoQueue, n.Left
	case m.obtained:
		n.Do = keyturn.DoDeliver
	case m.apply:
		n.Do = keyturn.DoApply
	case n.Do == keyturn.DoAwait:
		n.Wait = n.Left
	}
	return n
}

// saved ends a step that changed the line.
func (m *model) saved() keyturn.Next {
	m.version++
	return m.next()
}

func (m *model) fail(f failure) keyturn.Next {
	m.failures++
	m.last = &keyturn.Failure{Kind: f.kind, Message: "it did not work", At: m.now()}
	m.status = keyturn.LineRetrying
	if f.kind == keyturn.KindOutOfStock {
		m.status = keyturn.LineWaitingForStock
	}
	switch {
	case !f.permanent && m.now().Before(m.giveUpAt):
		m.nextAt = m.now().Add(max(m.policy.Delay(m.failures), f.after))
		if m.nextAt.After(m.giveUpAt) {
			m.nextAt = m.giveUpAt
		}
	case !m.obtained && m.now().Before(m.giveUpAt) && m.source+1 < len(m.sources):
		m.source, m.nextAt, m.failures, m.attempts, m.status = m.source+1, time.Time{}, 0, 0, keyturn.LineRetrying
	default:
		m.status, m.nextAt = keyturn.LineCanceling, time.Time{}
	}
	return m.saved()
}

func (m *model) obtain() keyturn.Next {
	m.obtained, m.nextAt, m.failures, m.attempts = true, time.Time{}, 0, 0
	if m.status == keyturn.LinePending {
		m.status = keyturn.LineObtained
	} else {
		m.status = keyturn.LineRetrying
	}
	return m.saved()
}

var (
	errDown    = temporal.NewApplicationError("the database does not answer", string(keyturn.KindUnavailable))
	errPhantom = temporal.NewNonRetryableApplicationError("it was cancelled", "test", nil)
)

// step runs a step of the line as its activity does, if that is what the line needs.
func (m *model) step(ctx context.Context, name string, in activities.Step, do keyturn.Do,
	run func() keyturn.Next,
) (keyturn.Next, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	info := activity.GetInfo(ctx)
	if slices.Contains(m.cancelled, info.ActivityID) {
		return keyturn.Next{}, errPhantom
	}
	if info.IsLocalActivity {
		name += " locally"
		if m.dbDown > 0 {
			m.dbDown--
			m.log(name + ": the database is down")
			return keyturn.Next{}, errDown
		}
	}
	m.log(name)
	next := m.next()
	if next.Do == do {
		next = run()
	}
	again := in.Retry && next.Do == do && next.Status == in.Status && next.Source == in.Source && next.Wait > 0
	if again {
		return next, temporal.NewApplicationErrorWithOptions("not yet", string(keyturn.KindUnavailable),
			temporal.ApplicationErrorOptions{NextRetryDelay: time.Duration(next.Wait)})
	}
	return next, nil
}

func (m *model) ClaimKeys(ctx context.Context, in activities.Step) (keyturn.Next, error) {
	return m.step(ctx, "ClaimKeys", in, keyturn.DoClaim, func() keyturn.Next {
		m.attempts++
		if m.stock == 0 {
			return m.fail(failure{kind: keyturn.KindOutOfStock})
		}
		m.stock--
		return m.obtain()
	})
}

func (m *model) CallEndpoint(ctx context.Context, in activities.Step) (keyturn.Next, error) {
	return m.step(ctx, "CallEndpoint", in, keyturn.DoCall, func() keyturn.Next {
		m.attempts++
		if f := m.partner(m.attempts); f != nil {
			return m.fail(*f)
		}
		return m.obtain()
	})
}

func (m *model) UpdateLicense(ctx context.Context, in activities.Step) (keyturn.Next, error) {
	return m.step(ctx, "UpdateLicense", in, keyturn.DoApply, func() keyturn.Next {
		m.apply = false
		m.status = keyturn.LineDelivered
		return m.saved()
	})
}

func (m *model) SendEmail(ctx context.Context, in activities.Step) (keyturn.Next, error) {
	if wait := m.underWay(); wait > 0 {
		m.mu.Lock()
		m.log("SendEmail: another process is sending")
		m.mu.Unlock()
		return keyturn.Next{}, temporal.NewApplicationErrorWithOptions("busy", string(keyturn.KindConflict),
			temporal.ApplicationErrorOptions{NextRetryDelay: min(wait, 2*time.Second)})
	}
	next, err := m.step(ctx, "SendEmail", in, keyturn.DoDeliver, func() keyturn.Next {
		if m.slowMail > 0 { // it goes on after the activity's time is up
			m.mailDone, m.slowMail = m.now().Add(m.slowMail), 0
			return m.next()
		}
		m.attempts++
		if f := m.mail(m.attempts); f != nil && m.mailDone.IsZero() {
			return m.fail(*f)
		}
		m.status, m.nextAt = keyturn.LineDelivered, time.Time{}
		return m.saved()
	})
	if m.underWay() > 0 {
		return next, temporal.NewTimeoutError(enums.TIMEOUT_TYPE_START_TO_CLOSE, errors.New("the mail server takes its time"))
	}
	return next, err
}

// underWay is how long an e-mail is still being sent.
func (m *model) underWay() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mailDone.IsZero() {
		return 0
	}
	return time.Duration(m.in(m.mailDone))
}

func (m *model) Refund(ctx context.Context, in activities.Step) (keyturn.Next, error) {
	declined := false
	next, err := m.step(ctx, "Refund", in, keyturn.DoRefund, func() keyturn.Next {
		m.refunds++
		if declined = !m.payment(m.refunds); declined {
			return m.next()
		}
		m.status = keyturn.LineCanceled
		return m.saved()
	})
	if declined {
		return next, temporal.NewApplicationErrorWithOptions("declined", string(keyturn.KindUnavailable),
			temporal.ApplicationErrorOptions{NextRetryDelay: 2 * time.Second << (m.refunds - 1)})
	}
	return next, err
}

// ReviewLine moves on what the clock has decided.
func (m *model) ReviewLine(context.Context, activities.Step) (keyturn.Next, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.log("ReviewLine")
	over := !m.now().Before(m.giveUpAt)
	switch {
	case m.status == keyturn.LineHeld && (over || !m.heldUntil.IsZero() && !m.now().Before(m.heldUntil)):
		m.status, m.heldUntil, m.nextAt = keyturn.LineRetrying, time.Time{}, time.Time{}
		return m.saved(), nil
	case over && (m.blocked || m.next().Do == keyturn.DoAwait):
		m.blocked = false
		return m.fail(failure{kind: keyturn.KindUnavailable, permanent: true}), nil
	}
	return m.next(), nil
}

func (m *model) RecordDecision(ctx context.Context, in activities.Decision) (keyturn.Next, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := in.Resolution
	m.log("RecordDecision " + string(r.Action))
	if err := r.CheckUntil(m.now()); err != nil {
		return keyturn.Next{}, temporal.NewNonRetryableApplicationError(err.Error(), string(keyturn.KindInvalid), nil)
	}
	switch r.Action {
	case keyturn.ActionRefund:
		m.status, m.nextAt = keyturn.LineCanceling, time.Time{}
	case keyturn.ActionSupply:
		return m.obtain(), nil
	case keyturn.ActionRetry, keyturn.ActionRelease:
		m.nextAt, m.heldUntil = time.Time{}, time.Time{}
		if m.status == keyturn.LineHeld {
			m.status = keyturn.LineRetrying
		}
	case keyturn.ActionHold:
		m.status = keyturn.LineHeld
		if r.Until != nil {
			m.heldUntil = *r.Until
		}
	case keyturn.ActionExtend:
		m.giveUpAt = *r.Until
	}
	return m.saved(), nil
}

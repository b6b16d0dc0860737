package db

import (
	"time"

	"keyturn.dev/keyturn"
)

// sourceFrom is the next source, at no or after it, that can serve the order's currency; -1 if there is none.
func (l *line) sourceFrom(no int) int {
	for ; no < len(l.product.Sources); no++ {
		if fits(l.product.Sources[no], currencies(l.Currencies), l.Currency) {
			return no
		}
	}
	return -1
}

// fits says whether the line's source can serve the order's currency.
func (l *line) fits() bool { return fits(l.source(), currencies(l.Currencies), l.Currency) }

// deadline is when the customer has keys or money: a person's decision, else the product's policy of today.
// While its money is not taken, the end of the authorization comes first.
func (l *line) deadline() time.Time {
	end := l.CreatedAt.Add(time.Duration(l.product.Retry.GiveUpAfter))
	if l.ExtendedUntil != nil {
		end = *l.ExtendedUntil
	}
	if l.PaymentCaptureBy != nil && !l.charged() {
		end = minTime(end, *l.PaymentCaptureBy)
	}
	return end
}

// charged says that the line's money was taken, as it is of every order that came in paid.
func (l *line) charged() bool {
	return l.PaymentStatus == nil || *l.PaymentStatus == keyturn.PaymentCaptured
}

// sourceDeadline is when the current source gives up and the next one starts; the last one has the line's deadline. A
// source that partners or people serve and that names no time of its own gets its equal share of the line's.
func (l *line) sourceDeadline() time.Time {
	s, last := l.source(), l.sourceFrom(l.SourceNo+1) < 0
	switch {
	case s.GiveUpAfter > 0:
		return minTime(l.SourceStartedAt.Add(time.Duration(s.GiveUpAfter)), l.GiveUpAt)
	case last:
		return l.GiveUpAt
	case s.Type.HasPool(): // an empty pool with another source behind it
		return l.SourceStartedAt
	}
	return minTime(l.SourceStartedAt.Add(time.Duration(l.product.Retry.GiveUpAfter)/time.Duration(len(l.product.Sources))),
		l.GiveUpAt)
}

// now is the database's clock at this moment, as far as a process knows it that read the line a while ago.
func (l *line) now() time.Time { return l.Now.Add(time.Since(l.readAt)) }

// next says what the line needs now.
func (l *line) next() keyturn.Next {
	n := keyturn.Next{
		Status: l.Status, Source: l.source().Name(), Left: l.until(l.GiveUpAt), Attempts: l.Attempts, Version: l.Version,
		Failure: l.failure(),
	}
	if l.NextAttemptAt != nil {
		n.Wait = l.until(*l.NextAttemptAt)
	}
	switch {
	case !l.Status.Open():
		n.Do, n.Wait, n.Left = keyturn.DoNothing, 0, 0
	case l.awaitsRefund():
		n.Do, n.Wait, n.Left = keyturn.DoAwait, lookAtManualRefund, 0
	case l.Status == keyturn.LineCanceling:
		n.Do = keyturn.DoRefund
	case l.Status == keyturn.LineHeld:
		n.Do, n.Wait = keyturn.DoAwait, n.Left
		if l.HeldUntil != nil {
			n.Wait = min(l.until(*l.HeldUntil), n.Left)
		}
	case l.Blocked:
		n.Do, n.Wait = keyturn.DoQueue, n.Left
	case l.ObtainedAt != nil && !l.charged():
		n.Do = keyturn.DoCapture
	case l.ObtainedAt != nil:
		n.Do = keyturn.DoDeliver
	case !l.asksSource():
		n.Do = keyturn.DoApply
	default:
		if n.Do = l.source().Type.Info().First; n.Do == keyturn.DoAwait {
			n.Wait = l.until(l.sourceDeadline())
		}
	}
	return n
}

// until is how long it is from the line's Now to a time of the database's clock, rounded up to a millisecond so that
// nobody comes back too early; 0 for what is past.
func (l *line) until(t time.Time) keyturn.Duration {
	const unit = time.Millisecond
	d := t.Sub(l.Now) + unit - 1
	return keyturn.Duration(max(d-d%unit, 0))
}

package worker

import (
	"context"
	"os"
	"time"
)

// Clocks are compared this often, and operations hear of ones that differ by more than this. No line depends on it:
// every wait and deadline is a duration by the database's clock. What depends on the worker's own clock is outside: the
// validity of certificates and tokens, signatures with a time in them, and the dates of e-mails.
const (
	lookAtClock = time.Minute
	skewAllowed = 5 * time.Second
)

// watchClock opens or closes the alert of this host's clock.
func (h *Housekeeping) watchClock(ctx context.Context) error {
	if time.Since(h.lookedAtClock) < lookAtClock {
		return nil
	}
	h.lookedAtClock = time.Now()
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	skew, uncertain, err := h.DB.ClockSkew(ctx)
	if err != nil {
		return err
	}
	return h.DB.WatchClock(ctx, host, skew, skew.Abs()-uncertain > skewAllowed)
}

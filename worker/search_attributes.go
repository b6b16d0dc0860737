package worker

import (
	"context"
	"time"
)

// Search attributes are looked at this often, and more often while some are missing: no workflow starts without them.
const (
	lookAtAttributesEvery   = time.Minute
	lookAtAttributesMissing = 5 * time.Second
)

// watchSearchAttributes creates the search attributes that Temporal's namespace lacks, and opens or closes the alert
// that some could not be created.
func (h *Housekeeping) watchSearchAttributes(ctx context.Context) error {
	if h.EnsureSearchAttributes == nil || time.Now().Before(h.lookAtAttributes) {
		return nil
	}
	h.lookAtAttributes = time.Now().Add(lookAtAttributesMissing)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	missing, howTo, err := h.EnsureSearchAttributes(ctx)
	if err != nil && len(missing) == 0 {
		return err // nobody knows whether some are missing
	}
	if len(missing) == 0 {
		h.lookAtAttributes = time.Now().Add(lookAtAttributesEvery)
	} else {
		h.Logger.Warn("Temporal's namespace lacks search attributes; no workflow starts", "namespace", h.Namespace,
			"missing", missing, "error", err)
	}
	return h.DB.WatchSearchAttributes(ctx, h.Namespace, missing, howTo)
}

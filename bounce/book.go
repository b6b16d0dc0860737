package bounce

import (
	"context"
	"log/slog"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/metrics"
)

// Books books reports.
type Books struct {
	DB     *db.DB
	Logger *slog.Logger
}

// bookTime is how long booking a report may take: whoever brings it waits.
const bookTime = 10 * time.Second

// take books a message that came in by an inlet. refs are those that its envelope names. understood is false for a
// message that is no report about an e-mail of ours.
func (b Books) take(ctx context.Context, via keyturn.BounceInlet, raw []byte, refs ...string) (understood bool,
	err error,
) {
	report, ok := Parse(raw)
	if !ok {
		metrics.Bounce(string(via), "ignored", "")
		return true, nil
	}
	report.Via, report.Refs = via, append(refs, report.Refs...)
	return b.book(ctx, report)
}

// book books a report.
func (b Books) book(ctx context.Context, r db.BounceReport) (understood bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, bookTime)
	defer cancel()
	result, err := b.DB.Bounced(ctx, r)
	if err != nil {
		metrics.Bounce(string(r.Via), "failed", "")
		b.Logger.Error("a report about an e-mail could not be booked; it is taken again", "via", string(r.Via), "kind",
			string(keyturn.KindOf(err)), "error", err)
		return false, err
	}
	kind := r.Kind
	if result != db.BounceBooked {
		kind = ""
	}
	metrics.Bounce(string(r.Via), string(result), string(kind))
	return (result == db.BounceBooked || result == db.BounceKnown) && r.Kind != keyturn.BounceUnknown, nil
}

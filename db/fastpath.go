package db

import (
	"context"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// The fast path carries out a step of a line that goes well in one statement, without BEGIN, lock and COMMIT. Each step
// has two forms that decide and write by the same functions (mark…, append…):
//
//   - The general form (claim, BeginCall, FinishCall, BeginDelivery, FinishDelivery) locks the line's row, reads
//     what is true, and handles every case.
//   - The fast form (claimFast, beginFast, answerFast, leaseFast, finishFast) admits the usual case alone. It has the
//     line from a read without a lock, or from the step before, and decides in Go as if nothing had changed since. One
//     statement then writes everything. Its expression `moved` is the UPDATE of the line in the version that was read;
//     all others read FROM moved, so that nothing is written if the line has changed. leaseFast takes the line's lock
//     in its statement instead.
//
// A fast form returns ok false when a precondition failed, the line has changed, or the outcome is unknown. The caller
// falls back to the general form, which also finds what a statement wrote whose answer was lost. The reasons are in
// docs/decide/0010-fast-path.md.

// runFast runs the statement of a fast form and reports whether it saved the line.
func (d *DB) runFast(ctx context.Context, l *line, write func(*pg.StmtBuilder) error) bool {
	var w pg.StmtBuilder
	if err := write(&w); err != nil {
		return false
	}
	return l.runUpdate(ctx, d.pg.Implicit(), &w) == nil
}

// untouched says that nothing has happened with the line yet, and that it acts on no licence.
func (l *line) untouched() bool {
	return l.Status == keyturn.LinePending && l.CancelReason == nil && l.LicenseID == nil &&
		l.FailureJSON == nil && l.NextAttemptAt == nil && l.HeldUntil == nil
}

// undisturbed is the condition on line_items that nobody has asked for the line's end, which leaves its version alone.
const undisturbed = ` AND cancel_reason IS NULL
	AND NOT EXISTS (SELECT FROM orders o WHERE o.id = order_id AND o.cancel_reason IS NOT NULL)`

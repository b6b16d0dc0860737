package db

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// admission is what decides whether a line may call its partner now: the calls that are running or recent over all
// workers, the lines that wait in front, and the state of the breaker.
type admission struct {
	Now        time.Time  `db:"now"`
	OpenedAt   *time.Time `db:"opened_at"`   // set: the breaker is open
	NextTryAt  *time.Time `db:"next_try_at"` // nobody calls before
	ProbeUntil *time.Time `db:"probe_until"` // a probe is under way
	Troubled   bool       `db:"troubled"`    // calls failed since the last answer
	Running    int        `db:"running"`
	Recent     int        `db:"recent"` // running, or over for less than the rate's time
	Older      int        `db:"older"`  // lines that wait in front, as far as it matters
	Queued     bool       `db:"queued"`
	AtOnce     bool       `db:"at_once"` // a person wants this line tried now
}

// sleepWhileDown is how long a line whose partner is down sleeps before it asks by itself: this long, or up to twice as
// long, so that lines which came together do not return together. It is dispatched long before, when the partner
// answers again, and once more if it does not come then.
const sleepWhileDown = time.Hour

// minTurn is the shortest wait for a turn, so that nobody asks in a tight loop.
const minTurn = 50 * time.Millisecond

// callEstimate is the assumed duration of a call when all permitted calls are running: nobody knows when one ends.
const callEstimate = 100 * time.Millisecond

// decide says whether the line may call now, and if not, how long it waits before it asks again. The rules, in their
// order:
//
//   - no more calls at once and in a second than the integration allows, whoever asks;
//   - a person's decision passes everything else;
//   - while the breaker is open only a probe goes, one at a time, when its time has come, and it is the oldest line's;
//   - what the partner asked us to wait is waited;
//   - lines that wait in front go first: one that has as many before it as calls are free waits, too.
func (g admission) decide(limits keyturn.Limits) (ok bool, wait time.Duration) {
	calls, in := limits.Rate()
	free, each := calls-g.Recent, in/time.Duration(calls)
	if room := limits.MaxConcurrent - g.Running; room < free {
		free, each = room, max(each, callEstimate)
	}
	turn := max(time.Duration(max(g.Older-max(free, 0), 0)+1)*each, minTurn)
	switch {
	case free <= 0:
		return false, turn
	case g.AtOnce:
		return true, 0
	case g.open() && (g.Older > 0 || after(g.NextTryAt, g.Now) || after(g.ProbeUntil, g.Now)):
		return false, sleepWhileDown
	case after(g.NextTryAt, g.Now):
		return false, g.NextTryAt.Sub(g.Now) + turn
	case g.Older >= free:
		return false, turn
	}
	return true, 0
}

func (g admission) open() bool { return g.OpenedAt != nil }

func after(t *time.Time, now time.Time) bool { return t != nil && t.After(now) }

// queueSeen is how many lines in front are counted: the estimate of a turn needs no more.
const queueSeen = 20_000

// lockAdmission takes the lock under which the calls of one partner begin, each after the commit of the one before, and
// reads the admission. It is the one statement that a call of a partner pays for its limits and its breaker.
func (d *DB) lockAdmission(ctx context.Context, tx *sqlx.Tx, l *line, in keyturn.Integration) (admission, error) {
	var g admission
	_, hold := in.Limits.WithDefaults().Rate()
	err := tx.GetContext(ctx, &g, `
		SELECT now, opened_at, next_try_at, probe_until, troubled, running, recent, older, queued, at_once
		FROM partner_gate($1, $2, $3, (SELECT `+placeSQL+` FROM line_items l WHERE l.id = $3), $4, $5)`,
		in.ID, partnerSource(in.ID), l.ID, queueSeen, hold.Seconds())
	return g, err
}

// partnerSource is the name of the sources that an integration serves; partnerOf is the way back, "" for other sources.
func partnerSource(integration string) string { return keyturn.FromIntegration(integration).Name() }

func partnerOf(source string) string { return keyturn.ParseSource(source).Integration }

// admit lets the line call its partner now (ok), or puts it into the queue and says for how long, 0 if its source's
// time is over.
func (d *DB) admit(ctx context.Context, tx *sqlx.Tx, l *line, call *Call) (ok bool, wait time.Duration, err error) {
	if !call.Source.Type.HasIntegration() {
		return true, 0, nil
	}
	g, err := d.lockAdmission(ctx, tx, l, call.Integration)
	if err != nil {
		return false, 0, err
	}
	if ok, wait = g.decide(call.Integration.Limits.WithDefaults()); !ok {
		wait, err = d.waitInQueue(ctx, tx, l, g, wait)
		return false, wait, err
	}
	return true, 0, d.bookAdmission(ctx, tx, l, g, call)
}

// bookAdmission books the start of a call that decide has let through.
func (d *DB) bookAdmission(ctx context.Context, tx *sqlx.Tx, l *line, g admission, call *Call) error {
	call.Troubled, call.Probe = g.Troubled, g.open()
	if g.Queued {
		var err error
		if call.asleep, err = takePlace(ctx, tx, l); err != nil {
			return err
		}
	}
	if !call.Probe {
		return nil
	}
	_, err := tx.ExecContext(ctx, `UPDATE partner_gates SET probe_until = $2 WHERE integration = $1`, call.Integration.ID,
		call.deadline)
	return err
}

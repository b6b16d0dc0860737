package db

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// The breaker of a partner. It opens when the calls of so many different lines failed in a row, over all workers: one
// poisoned order that fails for ever does not close a partner to the others. Then one call goes out as a probe after
// probeFirst, and after twice the time before at each that fails, until one is answered.
const (
	breakerLines = 5
	probeFirst   = 5 * time.Second
	probeMost    = time.Minute
	maxPause     = time.Hour // the longest that a Retry-After keeps all other lines from a partner
)

// partnerRow is what is remembered of a partner that does not do well.
type partnerRow struct {
	Failing   pq.StringArray `db:"failing"`
	OpenedAt  *time.Time     `db:"opened_at"`
	Probes    int            `db:"probes"`
	NextTryAt *time.Time     `db:"next_try_at"`
	Now       time.Time      `db:"now"`
}

// bookPartner books what a call says about its partner. A success costs nothing while the partner does well. open says
// that the breaker is open afterwards.
func (d *DB) bookPartner(ctx context.Context, tx *sqlx.Tx, lineID, source string, r CallResult) (open bool, err error) {
	id := partnerOf(source)
	if id == "" {
		return false, nil
	}
	down := r.Failed != nil && (r.Failed.Failure.Kind == keyturn.KindUnavailable ||
		r.Failed.Failure.Kind == keyturn.KindRateLimited)
	answered := r.Failed == nil || r.Failed.Failure.Kind == keyturn.KindRejected
	if !down && !r.Troubled {
		return false, nil
	}
	var p partnerRow
	if err := tx.GetContext(ctx, &p, `
		INSERT INTO partner_gates AS g (integration) VALUES ($1) ON CONFLICT (integration) DO UPDATE
			SET integration = excluded.integration
		RETURNING failing, opened_at, probes, next_try_at, clock_timestamp() AS now`, id); err != nil {
		return false, err
	}
	switch {
	case answered:
		return false, partnerAnswered(ctx, tx, id, p)
	case !down && p.OpenedAt == nil: // it answers, and not well: that is each line's own trouble
		return false, nil
	}
	return partnerFailed(ctx, tx, id, lineID, p, r)
}

func partnerAnswered(ctx context.Context, tx *sqlx.Tx, id string, p partnerRow) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM partner_gates WHERE integration = $1`, id); err != nil ||
		p.OpenedAt == nil {
		return err
	}
	if err := closeAlertOf(ctx, tx, partnerSource(id), keyturn.AlertPartnerDown); err != nil {
		return err
	}
	var waiting int
	if err := tx.GetContext(ctx, &waiting,
		`SELECT count(*) FROM (SELECT FROM partner_queue WHERE integration = $1 LIMIT 100000) q`, id); err != nil {
		return err
	}
	happened := fmt.Sprintf("%s answers again after %s; %d lines wait and are tried now, the oldest first",
		partnerSource(id), p.Now.Sub(*p.OpenedAt).Round(time.Second), waiting)
	if err := openAlertOf(ctx, tx, partnerSource(id), keyturn.AlertPartnerBack,
		AlertDetail{Source: partnerSource(id), Happened: happened}); err != nil {
		return err
	}
	return closeAlertOf(ctx, tx, partnerSource(id), keyturn.AlertPartnerBack) // good news is told and over
}

func partnerFailed(ctx context.Context, tx *sqlx.Tx, id, lineID string, p partnerRow, r CallResult) (open bool,
	err error,
) {
	if !slices.Contains(p.Failing, lineID) && len(p.Failing) < breakerLines {
		p.Failing = append(p.Failing, lineID)
	}
	pause := time.Duration(0)
	if r.Failed.RetryAfter > 0 {
		pause = min(r.Failed.RetryAfter, maxPause)
	}
	opens := p.OpenedAt == nil && len(p.Failing) == breakerLines
	switch {
	case opens:
		p.OpenedAt, p.Probes = &p.Now, 0
		pause = max(pause, probeFirst)
	case p.OpenedAt != nil && r.Probe:
		p.Probes++
		pause = max(pause, min(probeFirst<<min(p.Probes, 10), probeMost))
	}
	if until := p.Now.Add(pause); pause > 0 && !after(p.NextTryAt, until) {
		p.NextTryAt = &until
	}
	if _, err := tx.ExecContext(ctx, `
		UPDATE partner_gates SET failing = $2, opened_at = $3, probes = $4, next_try_at = $5, failure = $6,
			probe_until = CASE WHEN $7 THEN NULL ELSE probe_until END, gathered = gathered AND NOT $8
		WHERE integration = $1`, id, p.Failing, p.OpenedAt, p.Probes, p.NextTryAt, r.Failed.Failure.Message, r.Probe, opens); err != nil {
		return false, err
	}
	if opens {
		err = openAlertOf(ctx, tx, partnerSource(id), keyturn.AlertPartnerDown,
			AlertDetail{Source: partnerSource(id), Happened: fmt.Sprintf(
				"%s did not answer for %d orders in a row: %s. Its lines wait; one call at a time finds out whether it is back",
				partnerSource(id), breakerLines, r.Failed.Failure.Message)})
	}
	return p.OpenedAt != nil, err
}

// WatchCertificates opens the alert of each integration in expiring, which says what happens to it, once, and closes
// those of all others.
func (d *DB) WatchCertificates(ctx context.Context, expiring map[string]string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		subjects := pq.StringArray{}
		for _, id := range slices.Sorted(maps.Keys(expiring)) {
			subjects = append(subjects, partnerSource(id))
			if err := openAlertOf(ctx, tx, partnerSource(id), keyturn.AlertCertificateExpiring,
				AlertDetail{Source: partnerSource(id), Happened: expiring[id]}); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx,
			`UPDATE alerts SET closed_at = now() WHERE cause = $1 AND closed_at IS NULL AND NOT subject = ANY($2)`,
			keyturn.AlertCertificateExpiring, subjects)
		return err
	})
}

// PartnerState says how an integration's partner does.
func (d *DB) PartnerState(ctx context.Context, integration string) (keyturn.PartnerState, error) {
	var row struct {
		Failing   int        `db:"failing"`
		OpenedAt  *time.Time `db:"opened_at"`
		NextTryAt *time.Time `db:"next_try_at"`
		Probing   bool       `db:"probing"`
		Failure   *string    `db:"failure"`
		Running   int        `db:"running"`
		Waiting   int        `db:"waiting"`
		OldestAt  *time.Time `db:"oldest_at"`
	}
	err := d.pg.GetContext(ctx, &row, `
		SELECT coalesce(cardinality(g.failing), 0) AS failing, g.opened_at, CASE
			WHEN g.next_try_at > now() THEN g.next_try_at END AS next_try_at,
			coalesce(g.probe_until > now(), false) AS probing, g.failure,
			(SELECT count(*) FROM attempts WHERE source = $2 AND outcome = 'running' AND deadline_at > now()) AS running,
			(SELECT count(*) FROM partner_queue WHERE integration = $1) AS waiting,
			(SELECT min(created_at) FROM partner_queue WHERE integration = $1) AS oldest_at
		FROM (SELECT 1) one LEFT JOIN partner_gates g ON g.integration = $1`, integration, partnerSource(integration))
	if err != nil {
		return keyturn.PartnerState{}, pg.AsKind(err)
	}
	s := keyturn.PartnerState{
		Breaker: keyturn.BreakerClosed, Failing: row.Failing, OpenedAt: row.OpenedAt, NextTryAt: row.NextTryAt,
		Running: row.Running, Waiting: row.Waiting, OldestAt: row.OldestAt,
	}
	switch {
	case row.OpenedAt != nil && row.Probing:
		s.Breaker = keyturn.BreakerProbing
	case row.OpenedAt != nil:
		s.Breaker = keyturn.BreakerOpen
	}
	if row.Failure != nil {
		s.Failure = *row.Failure
	}
	return s, nil
}

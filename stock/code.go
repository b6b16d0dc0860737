package stock

import (
	"context"

	"keyturn.dev/keyturn"
)

// ofLinesSQL are the codes that lines have which did not come from a pool: those of partners and people. One whose
// cancel the partner has acknowledged is the line's no more. In two parts, because there is an index for each.
const ofLinesSQL = `
	SELECT fingerprint, line_id, created_at FROM deliverables WHERE fingerprint IS NOT NULL AND shared IS NULL
	UNION ALL
	SELECT fingerprint, line_id, created_at FROM deliverables WHERE fingerprint IS NOT NULL AND shared IS NOT NULL
		AND shared <> 'returned'`

// lookAgain refuses an import if a line got one of its keys since its transaction began: from a partner or a person,
// which look at the keys of pools, but do not see those of an import that has not ended. From here on, codes wait until
// the import has ended. It comes last, so that they do not wait for long: it looks at what came lately, not at all the
// import's keys.
func (im *importer) lookAgain(ctx context.Context) error {
	if _, err := im.tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('codes', 0))`); err != nil {
		return err
	}
	var taken []string
	if err := im.tx.SelectContext(ctx, &taken, `
		SELECT CAST(y.line_id AS text) FROM deliverables y
		JOIN pool_keys k ON k.fingerprint = y.fingerprint AND k.state <> 'withdrawn' AND k.batch_id = $1
		WHERE y.created_at > now() - make_interval(secs => $2) AND y.fingerprint IS NOT NULL
			AND y.shared IS DISTINCT FROM 'returned'
		LIMIT 1`, im.batch, settled.Seconds()); err != nil {
		return err
	}
	if len(taken) > 0 {
		return keyturn.Errorf(keyturn.KindUnavailable,
			"a line got one of these keys from elsewhere while they were imported, and nothing was stored: send them again, "+
				"and the answer names it")
	}
	return nil
}

package db

import (
	"bytes"
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
)

// lookUpFirst turns a create into a look-up if the partner can be asked and nobody knows what became of an earlier
// attempt of this unit. It looks up until there is an answer to that.
func lookUpFirst(ctx context.Context, tx *sqlx.Tx, l *line, f *CallFacts, tries int) error {
	_, asks := f.Integration.Operations[string(keyturn.OpLookUp)]
	if !asks || tries == 0 || f.Operation != keyturn.OpCreate {
		return nil
	}
	var unknown bool
	err := tx.GetContext(ctx, &unknown, `
		SELECT coalesce(max(no) FILTER (WHERE operation = 'create' AND outcome = 'unknown'), 0)
			> coalesce(max(no) FILTER (WHERE operation = 'lookup' AND outcome = 'success'), 0)
		FROM attempts WHERE line_id = $1 AND source = $2 AND unit_no = $3`, l.ID, f.Source.Name(), f.UnitNo)
	if unknown {
		f.Operation = keyturn.OpLookUp
	}
	return err
}

// answeredBefore says whether the line has keys of this call's source and units already, from another attempt. They
// stay. If these are others, somebody has to hear of it: the partner issued twice for one fulfillmentId, and may bill
// or block either.
func (d *DB) answeredBefore(ctx context.Context, tx *sqlx.Tx, l *line, source string, r CallResult) (bool, error) {
	if r.Attempt == 1 || len(r.Codes) == 0 {
		return false, nil
	}
	var have [][]byte
	if err := tx.SelectContext(ctx, &have, `
		SELECT fingerprint FROM deliverables
		WHERE line_id = $1 AND source = $2 AND kind = 'code' AND unit_no >= $3 AND unit_no < $4 ORDER BY unit_no`,
		l.ID, source, r.UnitNo, r.UnitNo+len(r.Codes)); err != nil || len(have) == 0 {
		return false, err
	}
	for i, code := range r.Codes {
		if i < len(have) && bytes.Equal(have[i], d.keys.Fingerprint(code.Reveal())) {
			continue
		}
		return true, openLineAlert(ctx, tx, l, keyturn.AlertTwoAnswers,
			source+" answered two attempts of one fulfillment with "+
				"different keys; the customer has the first: ask the partner to block the other")
	}
	return true, nil
}

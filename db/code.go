package db

import (
	"context"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Whose a code is, is decided here: where a partner's answer or a person's keys become a line's. One that another line
// has, or that a pool sells, is refused. The function known_codes has the rule, for the audit too; the index
// deliverables_once decides between lines whose codes come at the same time; an import looks at the codes that came
// since it began before it ends (stock). docs/decide/0023-whose-a-code-is.md has the reasons.

// codeTries bounds how often a step is tried whose codes other lines get at the same moment: each try sees those.
const codeTries = 4

// codeStep is step for one that gives a line codes. When another line got one of them at the same moment, the step runs
// again and sees it.
func (d *DB) codeStep(ctx context.Context, fulfillmentID string, fn func(*sqlx.Tx, *line) error) (keyturn.Next, error) {
	for try := 1; ; try++ {
		next, err := d.step(ctx, fulfillmentID, fn)
		if !pg.IsUniqueViolation(err, "deliverables_once") || try == codeTries {
			return next, err
		}
	}
}

// knownCode is a code that a line must not have.
type knownCode struct {
	OfPool  bool    `db:"of_pool"`
	OfOrder *string `db:"of_order"` // the other line's, if it is the same client's
}

// appendKnown appends the expression `known`: what is known of the codes among the parts, which the line is to have. It
// returns the condition under which it may have all of them; empty if there are none.
func (l *line) appendKnown(w *pg.StmtBuilder, parts []part) (allowed string) {
	var units []int64
	var codes [][]byte
	for _, p := range parts {
		if p.kind == "code" {
			units, codes = append(units, int64(p.unit)), append(codes, p.fingerprint)
		}
	}
	if len(codes) == 0 {
		return ""
	}
	w.WithMaterialized("known", `
		SELECT code, why, refused, of_pool, of_order FROM known_codes(?, ?, ?, ?)`,
		l.ID, pq.Array(units), pq.Array(codes), l.product.VolumeCodes)
	return ` AND NOT EXISTS (SELECT FROM known WHERE refused)`
}

// refusedSQL gives the codes of a statement that has appendKnown which the line must not have.
const refusedSQL = `SELECT of_pool, of_order FROM known WHERE refused`

// holder says who has the code that was refused.
func (k knownCode) holder() string {
	switch {
	case k.OfPool:
		return "a pool sells it, or sold it"
	case k.OfOrder != nil:
		return "a line of order " + *k.OfOrder + " has it"
	}
	return "another line has it"
}

// refuseCode books that a partner gave a code which its line must not have: operations are alerted, and the line waits
// for a person. A line whose time is over is given up instead.
func (d *DB) refuseCode(ctx context.Context, tx *sqlx.Tx, l *line, source string, r CallResult, code knownCode) error {
	s := StepFailure{Permanent: true, Failure: keyturn.Failure{
		Kind: keyturn.KindDuplicateKey, At: l.Now,
		Message: source + " gave a code that is not this line's: " + code.holder() + ". It was not delivered. If the same " +
			"code for several is meant, set volumeCodes at the product",
	}}
	if err := pg.ExpectOne(tx.ExecContext(ctx, `
		UPDATE attempts SET outcome = 'unknown', error_kind = $3, message = $4 WHERE line_id = $1 AND no = $2`,
		l.ID, r.Attempt, s.Failure.Kind, s.Failure.Message)); err != nil {
		return err
	}
	if !l.Now.Before(l.GiveUpAt) {
		return d.fail(ctx, tx, l, s)
	}
	l.setFailure(s.Failure)
	if err := openLineAlert(ctx, tx, l, keyturn.AlertDuplicateKey, s.Failure.Message); err != nil {
		return err
	}
	l.Status = keyturn.LineHeld
	l.HeldUntil, l.NextAttemptAt, l.WaitingPool = nil, nil, nil
	return l.save(ctx, tx, byWorkflow, string(s.Failure.Kind))
}

// hideKeys masks the keys that the line and its licence have where a partner quotes them on a failure: its words are
// shown in places that hold no key.
func (d *DB) hideKeys(ctx context.Context, tx *sqlx.Tx, l *line, r CallResult) (CallResult, error) {
	if r.Failed == nil || r.PartnerSays == "" && r.Failed.Failure.Code == "" {
		return r, nil
	}
	keys, err := d.keysOfLicense(ctx, tx, l)
	if err != nil || len(keys) == 0 {
		return r, err
	}
	hide := personalData(storedCustomer{}, keys...)
	failed := *r.Failed
	if code := hide.text(failed.Failure.Code); code != failed.Failure.Code { // it is a word of its own, or nothing
		failed.Failure.Code = ""
	}
	r.PartnerSays, r.Failed = hide.text(r.PartnerSays), &failed
	return r, nil
}

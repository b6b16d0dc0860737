package audit

import (
	"context"
	"slices"
	"strings"

	"keyturn.dev/keyturn/db"
)

// Repair sets going what the audit found standing still, and notes it in the report: lines, revocations and e-mails
// without a workflow (A5), and lines that wait for something that has passed (F5). It is safe at any time, because it
// only has the relay start or wake workflows, and a workflow does what the database says. Nothing else is repaired: the
// rest is for people to judge.
func (r *Report) Repair(ctx context.Context, d *db.DB) error {
	lines, errands := slices.Clone(r.unattendedLines), r.unattendedErrands
	for _, v := range r.Result("F5").Listed {
		if v.LineID != "" {
			lines = append(lines, v.LineID)
		}
	}
	if len(lines) == 0 && len(errands) == 0 {
		return nil
	}
	woken, err := d.WakeUnattended(ctx, lines, errands)
	if err != nil {
		return err
	}
	r.Repaired = append(r.Repaired, woken...)
	return nil
}

// Findings says in one sentence what does not hold, and nothing if all does, for the alert. It is the same for the same
// set of invariants, however often each is violated.
func (r *Report) Findings() db.AuditFindings {
	f := db.AuditFindings{Evidence: r.Evidence}
	if violated := r.Violated(); len(violated) > 0 {
		f.Text = "the books do not balance: " + strings.Join(violated, ", ")
	}
	return f
}

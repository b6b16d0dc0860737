package audit

import "context"

// checkSecrets opens a sample of the ciphertexts.
func (r *run) checkSecrets(ctx context.Context) error {
	opened, broken, err := r.s.OpenSample(ctx, r.Sample)
	if err != nil {
		return err
	}
	r.counts[looksOpened] = int64(opened)
	for _, b := range broken {
		r.found("G2", Violation{OrderID: b.OrderID, LineID: b.LineID, Subject: b.Table + " " + b.Row, What: b.Why})
	}
	return nil
}

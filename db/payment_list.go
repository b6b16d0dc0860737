package db

import (
	"context"
	"slices"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
)

// firstUUID is before every ID: a list that begins at the newest has it for a place.
const firstUUID = "00000000-0000-0000-0000-000000000000"

// Payments lists payments of checkout links from the newest to the oldest, all, or those in one status, from where an
// earlier page's cursor points. KindInvalid with a field for what is not valid; a cursor belongs to the filter it was
// made for.
func (d *DB) Payments(ctx context.Context, prefix keyturn.Prefix, status keyturn.PaymentStatus, cursor string,
	limit int,
) (keyturn.PaymentPage, error) {
	var bad keyturn.Problems
	bad.Check(status == "" || slices.Contains(keyturn.PaymentStatuses, status), "status",
		"must be one of CREATED, OPEN, PROCESSING, FAILED, EXPIRED, MISMATCH, AUTHORIZED, CAPTURING, CAPTURED, VOIDING, "+
			"VOIDED, LOST")
	bad.Check(limit >= 1 && limit <= MaxPage, "limit", "must be between 1 and %d", MaxPage)
	list := "payment/" + string(status)
	before, beforeID, ok := d.readCursor(list, cursor)
	bad.Check(ok, "cursor", "must be the nextCursor of an earlier page of the same list")
	if err := bad.Err("the query is not valid"); err != nil {
		return keyturn.PaymentPage{}, err
	}
	if beforeID == "" {
		beforeID = firstUUID
	}
	where := `(p.created_at, p.id) < ($1, CAST($2 AS uuid))`
	if status != "" {
		where += ` AND p.status = ` + pq.QuoteLiteral(string(status))
	}
	if prefix != "" {
		where += ` AND ` + merchantSQL("p.link_order_id", "$4")
	}
	found, err := d.paymentsWhere(ctx, where+` ORDER BY p.created_at DESC, p.id DESC LIMIT $3`,
		prefixed(prefix, before, beforeID, limit+1)...)
	if err != nil {
		return keyturn.PaymentPage{}, err
	}
	page := keyturn.PaymentPage{Payments: found[:min(limit, len(found))]}
	if len(found) > limit {
		last := found[limit-1]
		page.NextCursor = d.cursor(list, last.CreatedAt, last.ID)
	}
	return page, nil
}

// OrderOfPayment says which order a payment is for: whose order it is, the payment is. KindNotFound.
func (d *DB) OrderOfPayment(ctx context.Context, id string) (string, error) {
	if !keyturn.ValidPaymentID(id) {
		return "", keyturn.Errorf(keyturn.KindNotFound, "there is no such payment")
	}
	place, err := d.PaymentPlace(ctx, id)
	return place.OrderID, err
}

package db

import (
	"context"
	"slices"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Links lists checkout links from the newest to the oldest, all, or those in one status, or with one reference, from
// where an earlier page's cursor points. KindInvalid with a field for what is not valid; a cursor belongs to the filter
// it was made for. Lines are as they were made: what visitors chose is on the link's own page.
func (d *DB) Links(ctx context.Context, prefix keyturn.Prefix, status keyturn.LinkStatus, reference, cursor string,
	limit int,
) (keyturn.LinkPage, error) {
	var bad keyturn.Problems
	bad.Check(status == "" || slices.Contains(keyturn.LinkStatuses, status), "status",
		"must be one of OPEN, PAYING, USED, EXPIRED, CANCELED")
	bad.Check(keyturn.CleanText(reference, 0, 100), "reference", "must be at most 100 printable characters")
	bad.Check(limit >= 1 && limit <= MaxPage, "limit", "must be between 1 and %d", MaxPage)
	list := "link/" + string(status) + "/" + reference
	before, beforeID, ok := d.readCursor(list, cursor)
	bad.Check(ok, "cursor", "must be the nextCursor of an earlier page of the same list")
	if err := bad.Err("the query is not valid"); err != nil {
		return keyturn.LinkPage{}, err
	}
	where := `(k.created_at, k.id) < ($1, $2)`
	if status != "" {
		where += ` AND k.status = ` + pq.QuoteLiteral(string(status))
	}
	args := prefixed(prefix, before, beforeID, limit+1)
	if prefix != "" {
		where += ` AND ` + merchantSQL("k.order_id", "$4")
	}
	if reference != "" { // an argument: each text of a statement is prepared and kept
		args = append(args, reference)
		where += ` AND k.reference = $` + itoa(len(args))
	}
	var rows []linkRow
	//keyturn:autocommit it reads
	if err := d.pg.SelectContext(ctx, &rows, linkColumns+where+` ORDER BY k.created_at DESC, k.id DESC LIMIT $3`,
		args...); err != nil {
		return keyturn.LinkPage{}, pg.AsKind(err)
	}
	page := keyturn.LinkPage{CheckoutLinks: make([]keyturn.LinkView, 0, min(limit, len(rows)))}
	for _, row := range rows[:min(limit, len(rows))] {
		v, err := d.viewOfLink(row)
		if err != nil {
			return keyturn.LinkPage{}, err
		}
		page.CheckoutLinks = append(page.CheckoutLinks, v)
	}
	if len(rows) > limit {
		last := rows[limit-1]
		page.NextCursor = d.cursor(list, last.CreatedAt, last.ID)
	}
	return page, nil
}

package db

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// MaxPage is the most orders that one page of a list shows.
const MaxPage = 200

// listOrdersSQL lists the orders of every merchant, or of one ($4), in a status, or in all. Each goes by an index of
// its own, so the status is written out.
func listOrdersSQL(prefix keyturn.Prefix, status keyturn.OrderStatus) string {
	in := ""
	if status != "" {
		in = ` AND status = ` + pq.QuoteLiteral(string(status))
	}
	if prefix != "" {
		in += ` AND ` + merchantSQL("id", "$4")
	}
	return `
		SELECT id, status, currency, gross_minor, created_at, lines_total AS total, lines_trouble AS trouble,
			lines_delivered AS delivered, lines_canceling AS canceling, lines_canceled AS canceled
		FROM orders
		WHERE (created_at, id) < ($1, $2)` + in + `
		ORDER BY created_at DESC, id DESC LIMIT $3`
}

// Orders lists orders of the prefix from the newest to the oldest, all or those in one status, from where an earlier
// page's cursor points. KindInvalid with a field for a status, cursor or limit (1 to MaxPage) that is none; a cursor
// belongs to the status it was made for.
func (d *DB) Orders(ctx context.Context, prefix keyturn.Prefix, status keyturn.OrderStatus, cursor string, limit int,
) (keyturn.OrderPage, error) {
	var bad keyturn.Problems
	bad.Check(status == "" || slices.Contains(keyturn.OrderStatuses, status), "status",
		"must be one of PENDING, PARTIAL_COMPLETED, COMPLETED, CANCEL_PENDING, PARTIAL_CANCELED, CANCELED")
	bad.Check(limit >= 1 && limit <= MaxPage, "limit", "must be between 1 and %d", MaxPage)
	before, beforeID, ok := d.readCursor(string(status), cursor)
	bad.Check(ok, "cursor", "must be the nextCursor of an earlier page of the same list")
	if err := bad.Err("the query is not valid"); err != nil {
		return keyturn.OrderPage{}, err
	}
	var rows []struct {
		orderRow
		keyturn.LineCounts
	}
	args := prefixed(prefix, before, beforeID, limit+1)
	//keyturn:autocommit it reads
	if err := d.pg.SelectContext(ctx, &rows, listOrdersSQL(prefix, status), args...); err != nil {
		return keyturn.OrderPage{}, pg.AsKind(err)
	}
	page := keyturn.OrderPage{Orders: make([]keyturn.OrderSummary, 0, min(limit, len(rows)))}
	for _, r := range rows[:min(limit, len(rows))] {
		page.Orders = append(page.Orders, keyturn.OrderSummary{
			ID: r.ID, Status: r.Status, Currency: r.Currency, CreatedAt: r.CreatedAt.UTC(),
			GrossPrice: keyturn.Money{Minor: r.GrossMinor, Currency: r.Currency}.String(),
			Lines:      keyturn.LineTotals(r.LineCounts),
		})
	}
	if len(rows) > limit {
		last := page.Orders[limit-1]
		page.NextCursor = d.cursor(string(status), last.CreatedAt, last.ID)
	}
	return page, nil
}

// cursor is a place in a list that begins with the newest, with a keyed hash, so that nobody takes its inside for an
// interface.
func (d *DB) cursor(list string, at time.Time, id string) string {
	place := strconv.FormatInt(at.UnixMicro(), 10) + " " + id
	return base64.RawURLEncoding.EncodeToString(append(d.cursorMAC(list, place), place...))
}

const cursorMACSize = 8

func (d *DB) cursorMAC(list, place string) []byte {
	return d.keys.MAC("cursor/" + list + "/" + place)[:cursorMACSize]
}

// readCursor gives the place of a cursor; the empty one is before the newest entry.
func (d *DB) readCursor(list, cursor string) (time.Time, string, bool) {
	if cursor == "" {
		return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), "", true
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) < cursorMACSize {
		return time.Time{}, "", false
	}
	place := string(raw[cursorMACSize:])
	micros, id, _ := strings.Cut(place, " ")
	n, err := strconv.ParseInt(micros, 10, 64)
	return time.UnixMicro(n).UTC(), id, err == nil && hmac.Equal(raw[:cursorMACSize], d.cursorMAC(list, place))
}

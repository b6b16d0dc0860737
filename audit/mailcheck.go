package audit

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/mail"
)

const (
	letterChunk = 500
	clockSkew   = 2 * time.Second // between the database's clock and those of evidence servers
)

// mailCheck compares the mailbox with what is booked.
type mailCheck struct {
	*run
	owners  map[string][]string  // of keys that people supplied: lines by fingerprint
	copies  map[string]int       // of each delivery
	last    map[string]time.Time // arrival of each delivery
	arrived []string             // deliveries
}

func (r *run) checkMailbox(ctx context.Context) error {
	if r.Mailbox == nil {
		return nil
	}
	c := &mailCheck{run: r, owners: map[string][]string{}, copies: map[string]int{}, last: map[string]time.Time{}}
	supplied, err := r.suppliedKeys(ctx)
	if err != nil {
		return err
	}
	for _, k := range supplied {
		c.owners[string(k.Fingerprint)] = append(c.owners[string(k.Fingerprint)], k.LineID)
	}
	for chunk := range slices.Chunk(r.letters, letterChunk) {
		if err := c.chunk(ctx, chunk); err != nil {
			return err
		}
	}
	return c.missing(ctx)
}

func (c *mailCheck) chunk(ctx context.Context, letters []Letter) error {
	parsed := make([]parsedMail, len(letters))
	var ids []string
	for i, l := range letters {
		raw, err := c.Mailbox.Raw(ctx, l.ID)
		if err != nil {
			return err
		}
		parsed[i] = parseMail(raw)
		if parsed[i].deliveryID != "" {
			ids = append(ids, parsed[i].deliveryID)
		}
	}
	booked, err := c.storedLetters(ctx, ids)
	if err != nil {
		return err
	}
	for i, l := range letters {
		p := &parsed[i]
		b, known := booked[p.deliveryID]
		if p.deliveryID != "" && !known {
			c.found("D2", Violation{Subject: "letter " + l.ID, What: "it is no e-mail that was booked"})
		}
		if known {
			if c.copies[b.ID] == 0 {
				c.arrived = append(c.arrived, b.ID)
			}
			if l.Received.After(c.last[b.ID]) {
				c.last[b.ID] = l.Received
			}
			c.letter(l, p, b)
		}
	}
	return c.foreignKeys(ctx, letters, parsed, booked)
}

// letter compares one letter with the e-mail that was booked.
func (c *mailCheck) letter(l Letter, p *parsedMail, b storedLetter) {
	at := func(id, what string) {
		c.found(id, Violation{OrderID: b.OrderID, LineID: b.LineID, Subject: "letter " + l.ID, What: what})
	}
	var stored mail.Message
	switch {
	case len(b.Stored) == 0: // its customer was erased, or it was kept long enough
	case stored.UnmarshalBinary(b.Stored) != nil:
		at("D2", "what was stored of it is no e-mail")
	default:
		// where a mail server saved it, the signature stands with what others put before it
		if sha256.Sum256(stored.Data) != p.sum && sha256.Sum256(stored.Unsigned()) != p.sum {
			at("D2", "its bytes are not those that were stored")
		}
		if len(l.To) != 1 || l.To[0] != stored.To || p.to != stored.To || stored.To != b.Address && !b.Resent {
			at("D3", "it did not go to the order's address alone")
		}
	}
	if c.copies[b.ID]++; c.copies[b.ID] == b.Attempts+1 {
		at("D2", "it arrived more often than it was tried")
	}
	if p.badHeader != "" {
		at("D3", p.badHeader)
	}
	if b.Kind != keyturn.DeliveryKeys {
		return
	}
	for _, code := range b.Codes {
		key := code.Reveal()
		if b.ByPage { // it leads to the page, and shows none
			if len(key) >= shortest && (strings.Contains(p.text, key) || strings.Contains(p.html, key)) {
				at("D5", "it leads to the order page, and shows a key all the same")
				break
			}
			continue
		}
		if !strings.Contains(p.text, key) || !strings.Contains(p.html, key) || strings.ContainsAny(key, "<&") &&
			strings.Contains(p.rawHTML, key) {
			at("D5", "it does not show each key of its line exactly, in text and in HTML")
			break
		}
	}
}

// foreignKeys finds keys in letters by their fingerprints.
func (c *mailCheck) foreignKeys(ctx context.Context, letters []Letter, parsed []parsedMail,
	booked map[string]storedLetter,
) error {
	prints := map[string][]int{} // letters by fingerprint
	var all [][]byte
	for i := range parsed {
		for candidate := range parsed[i].candidates() {
			fp := string(c.DB.Fingerprint(candidate))
			if prints[fp] == nil {
				all = append(all, []byte(fp))
			}
			prints[fp] = append(prints[fp], i)
		}
	}
	var rows []struct {
		Fingerprint []byte  `db:"fingerprint"`
		LineID      *string `db:"line_id"`
		Key         string  `db:"key"`
	}
	if err := c.s.Select(ctx, &rows, keyOwnersSQL, map[string]any{"fingerprints": pq.Array(all)}); err != nil {
		return err
	}
	owners := map[string][]string{}
	for fp := range prints {
		owners[fp] = slices.Clone(c.owners[fp])
	}
	for _, row := range rows {
		fp := string(row.Fingerprint)
		if row.LineID != nil {
			owners[fp] = append(owners[fp], *row.LineID)
			continue
		}
		for _, i := range prints[fp] {
			b := booked[parsed[i].deliveryID]
			c.found("B5", Violation{OrderID: b.OrderID, LineID: b.LineID, Subject: row.Key, What: "it was e-mailed in letter " +
				letters[i].ID + " and is for sale"})
		}
	}
	for fp, lines := range owners {
		for _, i := range prints[fp] {
			b := booked[parsed[i].deliveryID]
			if len(lines) > 0 && (b.Kind != keyturn.DeliveryKeys || !slices.Contains(lines, b.LineID)) {
				c.found("B4", Violation{
					OrderID: b.OrderID, LineID: b.LineID, Subject: "letter " + letters[i].ID,
					What: "it shows a key of line " + lines[0],
				})
			}
		}
	}
	return nil
}

// keyOwnersSQL: what was done to a licence may show the keys that it had before, as {PARENT_KEY}.
const keyOwnersSQL = `
	WITH held AS (
		SELECT k.fingerprint, k.line_id, 'key ' || k.id || ' of pool ' || k.pool_id AS key FROM pool_keys k
		WHERE k.fingerprint = ANY(CAST(:fingerprints AS bytea[])) AND k.state <> 'withdrawn'
			AND (k.line_id IS NOT NULL OR k.state = 'available')
		UNION ALL
		SELECT y.fingerprint, y.line_id, '' FROM deliverables y WHERE y.fingerprint = ANY(CAST(:fingerprints AS bytea[])))
	SELECT fingerprint, line_id, key FROM held
	UNION ALL
	SELECT h.fingerprint, o.id, '' FROM held h JOIN line_items l ON l.id = h.line_id
		JOIN line_items o ON o.license_id = coalesce(l.license_id, l.fulfillment_id)`

// missing compares the other way round: what counts as sent has arrived. What was booked since the mailbox was read is
// not looked for.
func (c *mailCheck) missing(ctx context.Context) error {
	args := map[string]any{"arrived": pq.Array(c.arrived)}
	if err := c.probe(ctx, probe{"D1", notArrivedSQL}, args); err != nil {
		return err
	}
	if err := c.probe(ctx, probe{"D1", paymentMailLostSQL}, args); err != nil {
		return err
	}
	if err := c.probe(ctx, probe{"D1", libraryMailLostSQL}, args); err != nil {
		return err
	}
	if err := c.probe(ctx, probe{"E3", arrivedAndRefundedSQL}, args); err != nil {
		return err
	}
	return c.lateLetters(ctx)
}

const notArrivedSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject, 'it is delivered, and no e-mail of it arrived' AS what
	FROM line_items l LEFT JOIN (
		SELECT d.line_id FROM unnest(CAST(:arrived AS uuid[])) AS t (id) JOIN deliveries d ON d.id = t.id
			WHERE d.kind = 'keys'
	) a ON a.line_id = l.id
	WHERE l.status = 'DELIVERED' AND l.delivered_at < :seen AND a.line_id IS NULL AND NOT ` + revealedSQL + `
		AND (l.license_id IS NULL OR EXISTS (SELECT FROM deliveries d WHERE d.line_id = l.id AND d.status = 'SENT'
			AND d.sent_at < :seen))`

const paymentMailLostSQL = `
	SELECT p.order_id, NULL AS line_id, 'e-mail ' || m.id AS subject, 'it was sent, and did not arrive' AS what
	FROM payment_mails m JOIN payments p ON p.id = m.payment_id
	WHERE m.status = 'SENT' AND m.sent_at < :seen AND NOT m.id = ANY(CAST(:arrived AS uuid[]))`

const libraryMailLostSQL = `
	SELECT NULL AS order_id, NULL AS line_id, 'e-mail ' || k.id AS subject, 'it was sent, and did not arrive' AS what
	FROM library_links k
	WHERE k.status = 'SENT' AND k.sent_at < :seen AND NOT k.id = ANY(CAST(:arrived AS uuid[]))`

// arrivedAndRefundedSQL: a line that was delivered and cancelled later had both in turn, and its keys are in
// quarantine.
const arrivedAndRefundedSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject,
		'it was refunded, its e-mail arrived, and there is no open alert' AS what
	FROM unnest(CAST(:arrived AS uuid[])) AS t (id) JOIN deliveries d ON d.id = t.id JOIN line_items l ON l.id = d.line_id
	WHERE d.kind = 'keys' AND l.status = 'CANCELED' AND l.delivered_at IS NULL AND NOT d.exposed
		AND NOT EXISTS (SELECT FROM alerts a WHERE a.line_id = l.id AND ` + knownAlertSQL + `)`

const canceledSQL = `
	SELECT d.id, l.order_id, l.id AS line_id, l.canceled_at
	FROM unnest(CAST(:arrived AS uuid[])) AS t (id) JOIN deliveries d ON d.id = t.id JOIN line_items l ON l.id = d.line_id
	WHERE d.kind = 'keys' AND l.status = 'CANCELED'`

// lateLetters finds keys that arrived after their line was cancelled.
func (c *mailCheck) lateLetters(ctx context.Context) error {
	var rows []struct {
		ID         string    `db:"id"`
		OrderID    string    `db:"order_id"`
		LineID     string    `db:"line_id"`
		CanceledAt time.Time `db:"canceled_at"`
	}
	if err := c.s.Select(ctx, &rows, canceledSQL, map[string]any{"arrived": pq.Array(c.arrived)}); err != nil {
		return err
	}
	for _, row := range rows {
		if last := c.last[row.ID]; last.After(row.CanceledAt.Add(clockSkew)) {
			c.found("D4", Violation{
				OrderID: row.OrderID, LineID: row.LineID, Subject: "e-mail " + row.ID,
				What: "keys arrived after the line was cancelled",
			})
		}
	}
	return nil
}

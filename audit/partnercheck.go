package audit

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// calledLine is what is booked of a line that a partner was asked about.
type calledLine struct {
	FulfillmentID string             `db:"fulfillment_id"`
	LicenseID     string             `db:"license_id"` // that it acts on, or its own
	Operation     string             `db:"operation"`
	ID            string             `db:"id"`
	OrderID       string             `db:"order_id"`
	Status        keyturn.LineStatus `db:"status"`
	Obtained      bool               `db:"obtained"`
	TakenBack     bool               `db:"taken_back"` // a revocation or an open alert knows of what was issued
	Converted     bool               `db:"converted"`  // its keys may be written otherwise than the partner did
	codes         [][]byte
}

// bookedCalls are the attempts of one operation on one unit.
type bookedCalls struct {
	LineID    string    `db:"line_id"`
	Operation string    `db:"operation"`
	UnitNo    int       `db:"unit_no"`
	First     time.Time `db:"first"`
	Last      time.Time `db:"last"` // when the last of them was certainly over
}

type unitOf struct {
	line *calledLine
	unit int
}

// partnerCheck compares the partner's log with what is booked.
type partnerCheck struct {
	*run
	lines  map[string]unitOf // creates, by the ID that the partner was given
	ops    map[string]unitOf // operations on licences, by ID, operation and order
	booked map[string][]bookedCalls
	hashes map[string]string
}

func (r *run) checkPartner(ctx context.Context) error {
	if r.Partner == nil {
		return nil
	}
	c := &partnerCheck{
		run: r, lines: map[string]unitOf{}, ops: map[string]unitOf{}, booked: map[string][]bookedCalls{},
		hashes: map[string]string{},
	}
	if err := c.load(ctx); err != nil {
		return err
	}
	for _, call := range r.calls {
		if call.FulfillmentID == "" || call.Op == "" || call.Op == "token" || call.Op == "lookup" ||
			call.OrderID == "" && call.Op != string(keyturn.OpCreate) && call.Op != string(keyturn.OpCancel) {
			continue // not about a licence, or one that cannot be told from others
		}
		c.call(call)
	}
	return nil
}

const calledLinesSQL = `
	SELECT l.fulfillment_id, coalesce(l.license_id, l.fulfillment_id) AS license_id, CASE WHEN l.license_id IS NULL THEN ''
		ELSE l.operation END AS operation, l.id, l.order_id, l.status, l.obtained_at IS NOT NULL AS obtained,
		EXISTS (SELECT FROM revocations v WHERE v.line_id = l.id) OR EXISTS (
			SELECT FROM alerts a WHERE a.line_id = l.id AND a.cause = '` + string(keyturn.AlertRevocation) + `'
				AND ` + knownAlertSQL + `) AS taken_back,
		EXISTS (SELECT FROM deliverables y JOIN integrations i ON y.source = 'endpoint/' || i.id WHERE y.line_id = l.id
			AND i.spec LIKE '%conversionTemplate%') AS converted
	FROM line_items l
	WHERE l.fulfillment_id = ANY(CAST(:ids AS uuid[])) OR l.license_id = ANY(CAST(:ids AS uuid[]))
		OR l.id IN (SELECT a.line_id FROM attempts a WHERE a.unit_no > 0)`

const bookedCallsSQL = `
	SELECT a.line_id, a.operation, a.unit_no, min(a.started_at) AS first,
		max(coalesce(a.deadline_at, a.started_at)) AS last
	FROM attempts a WHERE a.line_id = ANY(CAST(:lines AS uuid[]))
	GROUP BY a.line_id, a.operation, a.unit_no`

func (c *partnerCheck) load(ctx context.Context) error {
	seen := map[string]bool{}
	var ids []string
	for _, call := range c.calls {
		if id, err := uuid.Parse(call.FulfillmentID); err == nil && !seen[id.String()] {
			seen[id.String()] = true
			ids = append(ids, id.String())
		}
	}
	var lines []calledLine
	if err := c.s.Select(ctx, &lines, calledLinesSQL, map[string]any{"ids": pq.Array(ids)}); err != nil {
		return err
	}
	byID := map[string]*calledLine{}
	lineIDs := make([]string, len(lines))
	for i := range lines {
		l := &lines[i]
		byID[l.ID], lineIDs[i] = l, l.ID
		c.add(l, 0)
	}
	var booked []bookedCalls
	if err := c.s.Select(ctx, &booked, bookedCallsSQL, map[string]any{"lines": pq.Array(lineIDs)}); err != nil {
		return err
	}
	for _, b := range booked {
		c.booked[b.LineID] = append(c.booked[b.LineID], b)
		if l := byID[b.LineID]; b.UnitNo > 0 {
			c.add(l, b.UnitNo)
		}
	}
	var codes []struct {
		LineID      string `db:"line_id"`
		Fingerprint []byte `db:"fingerprint"`
	}
	if err := c.s.Select(ctx, &codes, `
		SELECT y.line_id, y.fingerprint FROM deliverables y
		WHERE y.line_id = ANY(CAST(:lines AS uuid[]))
			AND y.fingerprint IS NOT NULL`, map[string]any{"lines": pq.Array(lineIDs)}); err != nil {
		return err
	}
	for _, y := range codes {
		byID[y.LineID].codes = append(byID[y.LineID].codes, y.Fingerprint)
	}
	shared := map[string][][]byte{} // a licence keeps its key over what is done to it
	for _, l := range byID {
		shared[l.LicenseID] = append(shared[l.LicenseID], l.codes...)
	}
	for _, l := range byID {
		l.codes = shared[l.LicenseID]
	}
	return nil
}

// add notes a unit of a line under the ID that its partner was given.
func (c *partnerCheck) add(l *calledLine, unit int) {
	id := db.UnitID(l.LicenseID, unit)
	if l.Operation == "" {
		c.lines[id] = unitOf{l, unit}
		return
	}
	c.ops[operationKey(id, l.Operation, l.OrderID)] = unitOf{l, unit}
}

func operationKey(id, operation, order string) string { return id + " " + operation + " " + order }

func (c *partnerCheck) call(call PartnerCall) {
	subject := strings.TrimSpace(call.Op + " of " + call.FulfillmentID + " at " + call.Partner)
	u, operates := c.ops[operationKey(strings.ToLower(call.FulfillmentID), call.Op, call.OrderID)]
	if !operates {
		u = c.lines[strings.ToLower(call.FulfillmentID)]
	}
	at := func(id, what string) {
		v := Violation{Subject: subject, What: what}
		if u.line != nil {
			v.OrderID, v.LineID = u.line.OrderID, u.line.ID
		}
		c.found(id, v)
	}
	// a partner that moved gets a request of its own at its new address
	key := call.Host + "\x00" + call.Partner + "\x00" + call.FulfillmentID + "\x00" + call.Op + "\x00" + call.OrderID
	if first, ok := c.hashes[key]; ok && first != call.BodySHA256 && call.BodySHA256 != "" {
		at("C1", "the partner got other bytes than at the first attempt")
	} else if !ok && call.BodySHA256 != "" {
		c.hashes[key] = call.BodySHA256
	}
	if u.line == nil {
		at("C2", "the partner was asked about a fulfillment that is not ours")
		return
	}
	first, last := c.when(u, call.Op)
	switch {
	case first.IsZero():
		at("C2", "no attempt was booked for it")
	case call.Time.Before(first.Add(-clockSkew)):
		at("C2", "it left before its attempt was booked")
	case call.Op != "cancel" && call.Time.After(last.Add(clockSkew)):
		at("C4", "it came after the last booked attempt was over")
	}
	for _, issued := range call.Issued {
		if !c.accounted(u.line, issued) {
			at("C3", "a key was issued that the line does not have and nobody takes back")
			break
		}
	}
}

// when says from when to when calls of an operation are booked. A dynamic URL is asked the same way for every
// operation, and its log says create.
func (c *partnerCheck) when(u unitOf, op string) (first, last time.Time) {
	for _, b := range c.booked[u.line.ID] {
		same := b.Operation == op || op == "create" && b.Operation != "cancel"
		if !same || b.UnitNo != u.unit {
			continue
		}
		if first.IsZero() || b.First.Before(first) {
			first = b.First
		}
		if b.Last.After(last) {
			last = b.Last
		}
	}
	return first, last
}

// accounted says whether a key that was issued is where it belongs: with its line, on its way back, or about to be
// asked for again because the answer was lost.
func (c *partnerCheck) accounted(l *calledLine, issued []byte) bool {
	if l.TakenBack {
		return true
	}
	gone := l.Status == keyturn.LineCanceling || l.Status == keyturn.LineCanceled
	if gone {
		return false
	}
	if !l.Obtained {
		return true
	}
	return l.Converted || slices.ContainsFunc(l.codes, func(code []byte) bool { return string(code) == string(issued) })
}

// checkHoneypots: any request at a honeypot is one too many.
func (r *run) checkHoneypots(context.Context) error {
	for _, call := range r.honeypotCalls {
		r.found("C7", Violation{
			Subject: strings.TrimSpace(call.Op + " of " + call.FulfillmentID),
			What:    "a honeypot was asked at " + call.Time.UTC().Format(time.DateTime),
		})
	}
	return nil
}

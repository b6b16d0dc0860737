package db

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// BounceReport is what an inlet has understood of a report about an e-mail.
type BounceReport struct {
	Refs       []string // the references (MailRef) that it names; the first with a right tag counts
	DeliveryID string   // of the e-mail, where the inlet has proved who reports; then no reference is needed
	Kind       keyturn.BounceKind
	Status     string // RFC 3463, such as 5.1.1
	Diagnostic string // what the mail server said
	Recipient  string // whom the e-mail did not reach
	Via        keyturn.BounceInlet
}

// BounceResult says what became of a report.
type BounceResult string

// The results of reports.
const (
	BounceBooked  BounceResult = "booked"
	BounceKnown   BounceResult = "known"   // it came before
	BounceForged  BounceResult = "forged"  // it names e-mails by tags that are not ours
	BounceForeign BounceResult = "foreign" // it is about no e-mail of ours
	BounceProbe   BounceResult = "probe"   // it is about one that was sent to find out whether it comes back
)

const maxDiagnostic = 300

var lostKindsSQL = pg.TextList(keyturn.LostKinds...)

// lostSQL is the condition on the e-mail y that it came back.
var lostSQL = `EXISTS (SELECT FROM bounces b WHERE b.delivery_id = y.id AND b.kind IN (` + lostKindsSQL + `))`

// Bounced books a report about an e-mail, once for each kind, and tells operations of one that has come back or is
// called spam. The line's status stays. Of an e-mail that a newer one has replaced nobody is told, nor of one whose
// customer was erased. A report without a reference of ours changes nothing.
func (d *DB) Bounced(ctx context.Context, r BounceReport) (BounceResult, error) {
	id, ok := d.reported(r)
	if !ok && len(r.Refs) > 0 {
		return BounceForged, nil
	}
	if !ok {
		return BounceForeign, nil
	}
	result := BounceForeign
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		for _, book := range []func(context.Context, *sqlx.Tx, string, BounceReport) (BounceResult, error){
			d.lineBounced, d.paymentBounced, d.libraryBounced, probeReturned,
		} {
			var err error
			if result, err = book(ctx, tx, id, r); err != nil || result != BounceForeign {
				return err
			}
		}
		return nil // it was made before a restore
	})
	return result, err
}

// lineBounced books a report about an e-mail of a line. BounceForeign: there is no such e-mail.
func (d *DB) lineBounced(ctx context.Context, tx *sqlx.Tx, id string, r BounceReport) (BounceResult, error) {
	var found []string
	if err := tx.SelectContext(ctx, &found, `
		SELECT l.fulfillment_id FROM deliveries y JOIN line_items l ON l.id = y.line_id WHERE y.id = $1`, id); err != nil ||
		len(found) == 0 {
		return BounceForeign, err
	}
	l, err := lockLine(ctx, tx, found[0])
	if err != nil {
		return "", err
	}
	return d.bookBounce(ctx, tx, l, id, r)
}

// reported is the ID of the e-mail that a report is about.
func (d *DB) reported(r BounceReport) (string, bool) {
	for _, ref := range r.Refs {
		if id, ok := d.MailOfRef(ref); ok {
			return id, true
		}
	}
	return canonicalID(r.DeliveryID)
}

// replacedSQL is the condition on the e-mail y that its way concerns nobody any more.
const replacedSQL = `(y.kind = '` + string(keyturn.DeliveryAddressChanged) + `' OR EXISTS (SELECT FROM deliveries n
	WHERE n.line_id = y.line_id AND n.kind = y.kind AND n.number > y.number))`

func (d *DB) bookBounce(ctx context.Context, tx *sqlx.Tx, l *line, deliveryID string, r BounceReport) (BounceResult,
	error,
) {
	id := newID()
	diagnostic, err := d.sealDiagnostic(l, id, r.Diagnostic)
	if err != nil {
		return "", err
	}
	var booked []bool
	if err := tx.SelectContext(ctx, &booked, `
		INSERT INTO bounces (id, delivery_id, kind, status, diagnostic, via, replaced)
		SELECT $1, y.id, $3, $4, $5, $6, `+replacedSQL+` OR $7 FROM deliveries y WHERE y.id = $2
		ON CONFLICT (delivery_id, kind) DO NOTHING RETURNING replaced`,
		id, deliveryID, r.Kind, r.Status, diagnostic, r.Via, l.erased()); err != nil {
		return "", err
	}
	switch {
	case len(booked) == 0:
		return BounceKnown, nil
	case booked[0] || !r.Kind.Alerts():
		return BounceBooked, nil
	}
	before, err := goOn(ctx, tx, "deliveries", l.OrderID, deliveryID, r.Kind)
	if err != nil {
		return "", err
	}
	if r.Kind == keyturn.BounceBadAddress && !before {
		if err := d.noteBadAddress(ctx, tx, l, r.Recipient); err != nil {
			return "", err
		}
	}
	return BounceBooked, openLineAlert(ctx, tx, l, keyturn.AlertBounced, happenedTo(r))
}

// goOn has the change go on that gave the order another address after an e-mail was made that came back now: the e-mail
// is made anew for it. It is false where there is none.
func goOn(ctx context.Context, tx *sqlx.Tx, table, orderID, mailID string, kind keyturn.BounceKind) (bool, error) {
	if !kind.Lost() {
		return false, nil
	}
	var changes []string
	err := tx.SelectContext(ctx, &changes, `
		UPDATE address_changes h SET carry_at = clock_timestamp() FROM `+table+` y
		WHERE y.id = $1 AND h.order_id = $2 AND h.done_at IS NOT NULL AND `+madeBeforeSQL+` AND `+newestDoneSQL+`
		RETURNING h.id`, mailID, orderID)
	return len(changes) > 0, err
}

// sealDiagnostic seals what a server said for the line's customer; of one who was erased nothing is kept.
func (d *DB) sealDiagnostic(l *line, bounceID, text string) ([]byte, error) {
	if text = clipText(text, maxDiagnostic); text == "" || l.erased() {
		return []byte{}, nil
	}
	dk, err := d.keys.OpenDataKey(l.CustomerKey, "customer/"+l.CustomerID)
	if err != nil {
		return nil, err
	}
	return dk.Seal([]byte(text), bouncePlace(bounceID))
}

func bouncePlace(id string) string { return "bounces/" + id }

// clipText is the beginning of a text that somebody else wrote, on one line and in valid UTF-8.
func clipText(text string, most int) string {
	text = strings.ReplaceAll(strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " "), "\x00", "")
	return strings.ToValidUTF8(text[:min(len(text), most)], "") // without half a letter at its end
}

// noteBadAddress notes that nobody has the order's address.
func (d *DB) noteBadAddress(ctx context.Context, tx *sqlx.Tx, l *line, recipient string) error {
	c, _, err := d.customer(l)
	if err != nil {
		return err
	}
	return d.markAddress(ctx, tx, l.CustomerID, recipient, d.EmailTag(c.Email))
}

// markAddress notes that nobody has the address with a tag, of which the customer's next order to it is warned. It does
// not where another address is reported: one that an operator has sent to, or that an e-mail was forwarded to.
func (d *DB) markAddress(ctx context.Context, tx *sqlx.Tx, customerID, recipient string, tag []byte) error {
	if recipient != "" && !bytes.Equal(d.EmailTag(recipient), tag) {
		return nil
	}
	_, err := tx.ExecContext(ctx, `
		UPDATE customers SET bad_address_tag = $2 WHERE id = $1 AND data_key IS NOT NULL`, customerID, tag)
	return err
}

// warnOfAddress warns of an order to an address that nobody has. Nothing is refused because of it: a mailbox may be
// there again, and the customer can give another address on the order page.
func (d *DB) warnOfAddress(c keyturn.Customer, known acceptContext) []keyturn.Warning {
	if len(known.BadAddress) == 0 || !bytes.Equal(known.BadAddress, d.EmailTag(c.Email)) {
		return nil
	}
	return []keyturn.Warning{{
		Location: "customer.email",
		Message:  "an e-mail to this address came back: nobody has it. Ask the customer for another",
	}}
}

// happenedTo says what a report means, in our own words.
func happenedTo(r BounceReport) string {
	what := map[keyturn.BounceKind]string{
		keyturn.BounceBadAddress:    "an e-mail came back: nobody has its address",
		keyturn.BounceRefused:       "an e-mail came back: the recipient's mail server refused it",
		keyturn.BounceUndeliverable: "an e-mail came back: the recipient's mail server did not take it for days",
		keyturn.BounceComplaint:     "the recipient of an e-mail calls it spam",
	}[r.Kind]
	if r.Status == "" {
		return what
	}
	return fmt.Sprintf("%s (%s)", what, r.Status)
}

// bouncesOf gives the reports about a line's e-mails, by the e-mail.
func (d *DB) bouncesOf(ctx context.Context, l *shownLine) (map[string][]keyturn.BounceView, error) {
	var rows []struct {
		ID         string              `db:"id"`
		DeliveryID string              `db:"delivery_id"`
		Kind       keyturn.BounceKind  `db:"kind"`
		Status     string              `db:"status"`
		Diagnostic []byte              `db:"diagnostic"`
		Via        keyturn.BounceInlet `db:"via"`
		At         time.Time           `db:"at"`
	}
	if err := d.pg.SelectContext(ctx, &rows, `
		SELECT b.id, b.delivery_id, b.kind, b.status, b.diagnostic, b.via, b.at
		FROM bounces b WHERE b.delivery_id = ANY(ARRAY(SELECT y.id FROM deliveries y WHERE y.line_id = $1))
		ORDER BY b.at, b.id LIMIT 200`, l.ID); err != nil || len(rows) == 0 {
		return nil, pg.AsKind(err)
	}
	read, err := d.readLine(ctx, l.FulfillmentID) // with whom it is for
	if err != nil {
		return nil, pg.AsKind(err)
	}
	out := map[string][]keyturn.BounceView{}
	for _, r := range rows {
		v := keyturn.BounceView{Kind: r.Kind, Status: r.Status, Via: r.Via, At: r.At.UTC()}
		if len(r.Diagnostic) > 0 && !read.erased() {
			if v.Diagnostic, err = d.shownDiagnostic(read, r.ID, r.Diagnostic); err != nil {
				return nil, err
			}
		}
		out[r.DeliveryID] = append(out[r.DeliveryID], v)
	}
	return out, nil
}

// addressText is an e-mail address in what a server said: a customer's other one, where an e-mail was forwarded.
var addressText = regexp.MustCompile(`[^\s<>@]+@[^\s<>@]+`)

// shownDiagnostic is what a server said, without whom the e-mail was for.
func (d *DB) shownDiagnostic(l *line, id string, sealed []byte) (string, error) {
	c, dk, err := d.customer(l)
	if err != nil {
		return "", err
	}
	plain, err := dk.Open(sealed, bouncePlace(id))
	return personalData(c).text(addressText.ReplaceAllString(string(plain), redactedText)), err
}

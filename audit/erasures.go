package audit

import (
	"context"
	"fmt"

	"github.com/lib/pq"
)

// erasedProbes look at customers who were erased: of their orders from before nothing personal is left, and their key
// is gone unless they came back.
var erasedProbes = []probe{
	{"G3", erasedOrderSQL},
	{"G3", erasedLineSQL},
	{"G3", erasedLinkSQL},
	{"G3", erasedPaymentSQL},
	{"G3", erasedLibrarySQL},
	{"G3", erasedAnswerSQL},
	{"G3", erasedKeySQL},
}

const erasedOrderSQL = `
	SELECT o.id AS order_id, NULL AS line_id, NULL AS subject,
		'its customer was erased, and whom it is for is still there' AS what
	FROM customers c JOIN orders o ON o.customer_id = c.id AND o.created_at <= c.erased_at
	WHERE c.erased_at IS NOT NULL AND (o.customer <> '' OR EXISTS (SELECT FROM idempotency_keys i WHERE i.order_id = o.id
		AND i.response <> '') OR EXISTS (SELECT FROM address_changes h WHERE h.order_id = o.id AND h.address <> ''))`

const erasedLineSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject,
		'its customer was erased, and what was sent or answered is still there' AS what
	FROM customers c JOIN orders o ON o.customer_id = c.id AND o.created_at <= c.erased_at
		JOIN line_items l ON l.order_id = o.id
	WHERE c.erased_at IS NOT NULL AND (
		EXISTS (SELECT FROM deliverables y WHERE y.line_id = l.id AND y.content <> '')
		OR EXISTS (SELECT FROM deliveries y WHERE y.line_id = l.id AND y.message <> '')
		OR EXISTS (SELECT FROM bounces b JOIN deliveries y ON y.id = b.delivery_id
			WHERE y.line_id = l.id AND b.diagnostic <> '')
		OR EXISTS (SELECT FROM partner_requests y WHERE y.line_id = l.id)
		OR EXISTS (SELECT FROM supplies y WHERE y.line_id = l.id)
		OR EXISTS (SELECT FROM replacements y WHERE y.line_id = l.id AND y.reason <> '[erased]')
		OR EXISTS (SELECT FROM attempts y WHERE y.line_id = l.id AND (y.reply IS NOT NULL OR y.message IS NOT NULL)))`

const erasedPaymentSQL = `
	SELECT p.order_id, NULL AS line_id, 'payment ' || p.id AS subject,
		'its customer was erased, and what was bought or told of it is still there' AS what
	FROM customers c JOIN payments p ON p.customer_id = c.id AND p.created_at <= c.erased_at
	WHERE c.erased_at IS NOT NULL AND (p.snapshot <> ''
		OR EXISTS (SELECT FROM payment_mails y WHERE y.payment_id = p.id AND y.message <> ''))`

// erasedLibrarySQL: the order of an erased customer is found by no address.
const erasedLibrarySQL = `
	SELECT o.id AS order_id, NULL AS line_id, NULL AS subject,
		'its customer was erased, and it can be found by an e-mail address' AS what
	FROM orders o WHERE o.email_tag IS NOT NULL AND o.customer = ''
	UNION ALL
	SELECT NULL, NULL, 'library link ' || k.id, 'its customer was erased, and what was sent to them is still there'
	FROM customers c JOIN library_links k ON k.customer_id = c.id AND k.created_at <= c.erased_at
	WHERE c.erased_at IS NOT NULL AND (k.email_tag IS NOT NULL OR k.message <> '')`

const erasedLinkSQL = `
	SELECT k.order_id, NULL AS line_id, 'link ' || k.id AS subject,
		'its customer was erased, and whom it is for is still there' AS what
	FROM customers c JOIN checkout_links k ON k.customer_id = c.id AND k.created_at <= c.erased_at
	WHERE c.erased_at IS NOT NULL AND k.spec <> ''`

const erasedAnswerSQL = `
	SELECT e.about AS order_id, NULL AS line_id, 'event ' || e.id AS subject,
		'its customer was erased, and what webhook ' || d.webhook || ' answered is still there' AS what
	FROM (
		SELECT o.id FROM customers c JOIN orders o ON o.customer_id = c.id AND o.created_at <= c.erased_at
		UNION SELECT k.order_id FROM customers c JOIN checkout_links k ON k.customer_id = c.id AND k.created_at <= c.erased_at
	) o JOIN events e ON e.about = o.id JOIN event_deliveries d ON d.event_id = e.id
	WHERE d.reply IS NOT NULL`

const erasedKeySQL = `
	SELECT (SELECT min(o.id) FROM orders o WHERE o.customer_id = c.id) AS order_id, NULL AS line_id, NULL AS subject,
		'its customer was erased, and the data key is still there' AS what
	FROM customers c
	WHERE c.erased_at IS NOT NULL AND c.data_key IS NOT NULL
		AND NOT EXISTS (SELECT FROM orders o WHERE o.customer_id = c.id AND o.created_at > c.erased_at)`

// checkErasures compares the list from outside with the database: one that was restored from a backup of before lags
// it.
func (r *run) checkErasures(ctx context.Context) error {
	if r.Erasures == nil {
		return nil
	}
	customers, err := r.DB.Unerased(ctx, r.s, r.Erasures)
	if err != nil {
		return err
	}
	var orders []string
	if err := r.s.Select(ctx, &orders, `
		SELECT id FROM orders WHERE customer_id = ANY(:customers) ORDER BY created_at, id`,
		map[string]any{"customers": pq.Array(customers)}); err != nil {
		return err
	}
	for _, id := range orders {
		r.found("G3", Violation{
			OrderID: id,
			What:    "its customer is on the list of erasures, and not erased here: replay the list",
		})
	}
	if len(customers) > 0 && len(orders) == 0 {
		r.found("G3", Violation{What: fmt.Sprintf("%d customers are on the list of erasures, and not erased here: replay "+
			"the list", len(customers))})
	}
	return nil
}

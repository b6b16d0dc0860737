package db

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ofPersons are the columns that can hold what says who somebody is, or what only that person should have:
// EraseCustomer blanks or removes each. Whoever adds a column decides here which it is.
var ofPersons = []string{
	"access_log.address",
	"alerts.close_reason",
	"address_changes.address",
	"attempts.error_code",
	"attempts.message",
	"attempts.reply",
	"bounces.diagnostic",
	"checkout_links.end_reason",
	"checkout_links.spec",
	"customers.bad_address_tag",
	"customers.data_key",
	"deliverables.content",
	"deliveries.message",
	"event_deliveries.reply",
	"idempotency_keys.response",
	"key_log.reason",
	"library_links.email_tag",
	"library_links.message",
	"line_log.reason",
	"link_log.reason",
	"orders.cancel_reason",
	"orders.customer",
	"orders.email_tag",
	"partner_requests.request",
	"payment_log.reason",
	"payment_mails.message",
	"payments.session_url",
	"payments.snapshot",
	"refunds.confirm_reason",
	"refunds.reason",
	"replacements.reason",
	"resolutions.reason",
	"supplies.content",
}

// ofTheBooks are those of each table that hold our own words, IDs, hashes and settings, or the merchant's keys, and
// stay.
var ofTheBooks = map[string]string{
	"access_log":      "by subject what",
	"address_changes": "by done_by order_id",
	"alerts":          "cause closed_by detail pool_id subject",
	"api_tokens":      "hash name prefix scopes",
	"attempts":        "error_kind operation outcome source",
	"audits":          "report",
	"bounces":         "kind status via",
	"batches":         "created_by pool_id recall undone_by",
	"checkout_links": "client currency customer_id draft id idempotency_key order_id page_hash provider reference " +
		"request_hash status",
	"customers":        "id",
	"deliverables":     "fingerprint kind shared source",
	"deliveries":       "error kind status",
	"erasures":         "by customer_hash",
	"event_deliveries": "digest error_kind status webhook",
	"event_watch":      "what",
	"events":           "about body facts type",
	"idempotency_keys": "client key order_id request_hash",
	"images":           "content owner sha256 type",
	"installation":     "key_file name",
	"integrations":     "id secrets spec",
	"key_log":          "by from_state pool_id to_state",
	"mail_probes":      "kind via",
	"payment_mails":    "error kind status",
	"library_links":    "customer_id error session_hash status token_hash",
	"license_steps":    "from_status operation product_before source_before to_status",
	"licenses":         "customer_id product_id source status",
	"line_items": "cancel_reason failure license_source operation order_id product_id quantity_mode status " +
		"sold_as subscription_id trial_context waiting_pool",
	"link_log":          "by from_status link_id to_status",
	"line_log":          "by from_status to_status",
	"lost_lines":        "order_id product_id source status",
	"merchant_payments": "merchant provider reference",
	"orders": "cancel_failure client currency customer_id id page_hash payment_provider payment_reference " +
		"status",
	"outbox":            "subject workflow",
	"payment_aftermath": "currency id kind provider reason reference status",
	"payment_log":       "by from_status to_status",
	"payment_refunds":   "currency error provider_id status",
	"payments": "capture currency customer_id failure link_id link_order_id mixed order_id payment_reference provider " +
		"session_reference status",
	"processor_reviews":  "provider",
	"processor_troubles": "failing failure provider",
	"provider_events":    "id outcome provider type",
	"sandbox_sessions": "authorize back_url capture_key currency id key lines locale method order_id reference request " +
		"return_url script status token_hash",
	"partner_gates":    "failing failure integration",
	"partner_queue":    "integration",
	"partner_requests": "operation source",
	"pool_keys":        "content fingerprint pool_id state",
	"pool_pace":        "pool_id",
	"pool_stock":       "pool_id",
	"pools":            "data_key id spec",
	"products":         "id pool_currencies spec",
	"refunds":          "confirmed_by currency error failure_kind order_id provider provider_id reference status",
	"replacements":     "by pool_id status",
	"reservations":     "pool_id",
	"resolutions":      "action by id",
	"revocations":      "error source status",
	"sandbox_payments": "currency order_id reference",
	"sandbox_refunds":  "key order_id reference",
	"shop":             "id spec",
	"supplies":         "fingerprint resolution",
	"webhook_types":    "pattern prefix webhook",
	"webhooks":         "failing id off_why secrets spec",
}

func TestEveryColumnIsClassifiedForErasure(t *testing.T) {
	s := newShop(t)
	columns := reads[string](s, `
		SELECT table_name || '.' || column_name FROM information_schema.columns
		WHERE table_schema = 'public' AND data_type IN ('text', 'bytea', 'json', 'jsonb', 'ARRAY', 'character varying')
			AND table_name NOT LIKE 'goose%'
		ORDER BY 1`)
	classified := slices.Clone(ofPersons)
	for table, names := range ofTheBooks {
		for name := range strings.FieldsSeq(names) {
			classified = append(classified, table+"."+name)
		}
	}
	slices.Sort(classified)
	require.Equal(t, classified, columns, "say of each column whether it is of a person")
	for _, column := range ofPersons {
		table, name, _ := strings.Cut(column, ".")
		require.True(t, slices.ContainsFunc(slices.Concat(eraseSQL, eraseLinksSQL), func(query string) bool {
			return strings.HasPrefix(query, "DELETE FROM "+table+" ") || strings.HasPrefix(query, "UPDATE "+table+" ") &&
				strings.Contains(query, name+" = ")
		}) || table == "customers", "erasing does not touch %s", column)
	}
}

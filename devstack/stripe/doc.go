// Package stripe emulates Stripe on loopback, for development and tests: the part of its HTTP API that sells through
// Checkout, its hosted payment page on an origin of its own, and its signed webhooks. It keeps state, so a session that
// was paid can be captured once, voided or refunded, and nothing else.
//
// # What is emulated
//
// Checkout Sessions in payment mode, the PaymentIntents and Charges that come of them, Refunds, Disputes, early fraud
// warnings, Events, webhook endpoints, the account and its balance. Bodies are form-encoded and read strictly: a
// parameter that is not in the table of its route is refused with parameter_unknown. Idempotency keys behave as
// documented: the first answer is saved with its status and body, errors 500 included, once the request began to
// execute; another request under the same key is an idempotency_error; 409 while the first is under way; forgotten
// after 24 hours.
//
// # Time
//
// The emulator has a clock of its own (Server.Advance). It brings what time brings: sessions and authorizations run
// out, delayed means of payment settle, refunds fail later, webhooks that were not accepted are sent again.
//
// # Trouble
//
// Server.SetFaults decides for each call how its answer goes wrong, Server.SetWebhooks for each event how often, when
// and how it is sent. The page takes card numbers that Stripe documents for tests (CardDeclined and the like).
//
// # Evidence
//
// Server.Books is what became of each payment. Config.Exchanges gets every exchange as a JSON line, which
// tools/stripecheck compares with the OpenAPI document that Stripe publishes.
package stripe

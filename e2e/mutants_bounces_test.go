package e2e_test

import (
	"context"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// bounceMutants are those of e-mails that come back, and of addresses that are corrected.
var bounceMutants = []mutant{
	{name: "nobody is told of an e-mail that came back", invariants: "M1", run: (*stack).editorComesBack},
	{name: "nobody is told of a confirmation that came back", invariants: "M1", run: (*stack).confirmationComesBack},
	{
		name: "an old address is not told of the new one", invariants: "M2",
		run: func(s *stack) { s.corrects(s.comesBack("editor")) },
	},
	{
		name: "an e-mail is made anew twice", invariants: "M2",
		edits: becomes(`y\.change_id IS DISTINCT FROM h\.id AND y\.created_at`, `y.created_at`),
		run: func(s *stack) {
			f := s.comesBack("editor")
			s.corrects(f)
			s.reported(f)
		},
	},
	{
		name: "nobody goes on with a corrected address", invariants: "M2",
		run: func(s *stack) {
			s.corrects(s.comesBack("editor"))
			s.exec(`UPDATE address_changes SET done_at = done_at - interval '1 hour', carry_at = now() - interval '1 hour'`)
		},
	},
	{
		name: "an erasure leaves what mail servers said", invariants: "G3",
		edits: becomes(`(UPDATE bounces SET diagnostic = '' WHERE)`, `$1 false AND`),
		run:   (*stack).erasesWhoseEmailCameBack,
	},
	{
		name: "an erasure leaves addresses that were given", invariants: "G3",
		edits: becomes(`UPDATE address_changes SET address = '', carry_at = NULL WHERE`,
			`UPDATE address_changes SET carry_at = NULL WHERE`),
		run: (*stack).erasesWhoseEmailCameBack,
	},
}

// comesBack has an order of a product delivered whose e-mail comes back, and gives its line's fulfillment.
func (s *stack) comesBack(product string) string {
	s.t.Helper()
	a := s.order(product)
	s.await(a, keyturn.OrderCompleted)
	s.reported(fulfillment(a))
	return fulfillment(a)
}

// reported reports the newest e-mail with a line's keys as one that came back.
func (s *stack) reported(f string) {
	s.t.Helper()
	s.reports(s.texts(`SELECT CAST(y.id AS text) FROM deliveries y JOIN line_items l ON l.id = y.line_id
		WHERE l.fulfillment_id = $1 AND y.kind = 'keys' ORDER BY y.number DESC LIMIT 1`, f)[0])
}

func (s *stack) reports(id string) {
	s.t.Helper()
	_, err := s.db.Bounced(context.Background(), db.BounceReport{
		Refs: []string{s.db.MailRef(id)}, Kind: keyturn.BounceRefused, Status: "5.7.1", Diagnostic: "550 not you",
		Via: keyturn.InletSMTP,
	})
	require.NoError(s.t, err)
}

// corrects has the customer give another address.
func (s *stack) corrects(f string) {
	s.t.Helper()
	token := s.db.PageToken(s.texts(`SELECT order_id FROM line_items WHERE fulfillment_id = $1`, f)[0])
	_, err := s.db.CorrectAddress(context.Background(), token, f, "jean@new.test", s.acts.Letters.Render)
	require.NoError(s.t, err)
}

func (s *stack) editorComesBack() { s.comesBack("editor") }

func (s *stack) confirmationComesBack() {
	s.sellsEditorByLink()
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM payment_mails WHERE kind = 'confirmation' AND status = 'SENT'`) > 0, "it is sent"
	})
	s.reports(s.texts(`SELECT CAST(id AS text) FROM payment_mails WHERE kind = 'confirmation'`)[0])
}

func (s *stack) erasesWhoseEmailCameBack() {
	f := s.comesBack("editor")
	s.corrects(f)
	s.eventually(func() (bool, string) {
		return s.count(`SELECT count(*) FROM deliveries WHERE status <> 'SENT'`) == 0, "they are on their way"
	})
	_, err := s.db.EraseCustomer(context.Background(), "", s.texts(`SELECT customer_id FROM orders`)[0], "operator")
	require.NoError(s.t, err)
}

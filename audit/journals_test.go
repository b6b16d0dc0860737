package audit

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// journal writes lines into a file.
func journal(t *testing.T, entries ...any) string {
	t.Helper()
	var text bytes.Buffer
	for _, e := range entries {
		require.NoError(t, json.NewEncoder(&text).Encode(e))
	}
	text.WriteString(`{"half a li`) // one that is being written
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	require.NoError(t, os.WriteFile(path, text.Bytes(), 0o600))
	return path
}

// sent are the journal's lines of all orders of the healthy shop.
func (s *shop) sent() (out []any) {
	rows, err := s.x.QueryContext(s.ctx, `SELECT id, gross_minor FROM orders`)
	s.ok(err)
	defer rows.Close()
	for rows.Next() {
		var e Submission
		s.ok(rows.Scan(&e.OrderID, &e.AmountMinor))
		e.Key, e.Currency, e.At = "order-"+e.OrderID, "EUR", time.Now()
		answer := e
		answer.Status, answer.Answered = 201, e.OrderID
		out = append(out, e, answer)
	}
	s.ok(rows.Err())
	return out
}

func TestSendersJournalIsCompared(t *testing.T) {
	s := newShop(t)
	sent := s.sent()
	run := func(entries ...any) []string {
		submissions, err := OpenSubmissions(journal(t, entries...))
		require.NoError(t, err)
		return s.auditWith(func(e *Evidence) { e.Submissions = submissions }).Violated()
	}
	require.Empty(t, run(sent...))
	require.Equal(t, []string{"A1"}, run(append(sent, Submission{
		OrderID: "lost", Key: "k", Status: 201, Answered: "lost",
		Currency: "EUR",
	})...))
	require.Empty(t, run(append(sent, Submission{OrderID: "refused", Key: "k", Status: 422, Currency: "EUR"})...))
	require.Empty(t, run(append(sent, Submission{OrderID: "never answered", Key: "k", Currency: "EUR"})...))
	require.Equal(t, []string{"A3"}, run(sent[2:]...))
	wrong := sent[1].(Submission)
	wrong.Answered = "another"
	require.Equal(t, []string{"A2"}, run(append(sent, wrong)...))
	wrong = sent[1].(Submission)
	wrong.AmountMinor++
	require.Equal(t, []string{"A4"}, run(append(sent, wrong)...))

	_, err := OpenSubmissions("/no/such/file")
	require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err))
}

// A provider that keeps its own books: every probe of the sandbox's holds for it, too.
func TestPaymentJournalIsCompared(t *testing.T) {
	s := newLaxShop(t)
	s.exec(`UPDATE orders SET payment_provider = 'till'; UPDATE refunds
		SET provider = 'till', provider_id = CASE WHEN amount_minor > 0 THEN 're_' || line_id ELSE provider_id END`)
	s.exec(`CREATE TABLE moved AS SELECT * FROM sandbox_payments; DELETE FROM sandbox_payments; DELETE
		FROM sandbox_refunds`)
	var books []any
	rows, err := s.x.QueryContext(s.ctx, `
		SELECT 'capture', '', reference, order_id, captured_minor, '' FROM moved
		UNION ALL SELECT 'refund', 'refund-' || line_id, reference, order_id, amount_minor, provider_id FROM refunds
			WHERE status = 'DONE' AND amount_minor > 0`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		e := paymentEntry{Applied: true, Currency: "EUR", Time: time.Now().Add(-time.Hour)}
		require.NoError(t, rows.Scan(&e.Op, &e.Key, &e.Reference, &e.OrderID, &e.AmountMinor, &e.ID))
		books = append(books, e)
	}
	require.NoError(t, rows.Err())
	run := func(entries ...any) []string {
		log, err := OpenPaymentLog("till", journal(t, entries...))
		require.NoError(t, err)
		return s.auditWith(func(e *Evidence) { e.Payments = []Payments{SandboxPayments{}, log} }).Violated()
	}
	require.Empty(t, run(books...))
	ghost := paymentEntry{
		Op: "capture", Reference: "pay-ghost", OrderID: "ghost", AmountMinor: 1, Currency: "EUR",
		Applied: true, Time: time.Now(),
	}
	require.Empty(t, run(append(books, ghost)...), "its order may be on its way")
	ghost.Time = time.Now().Add(-time.Hour)
	require.Equal(t, []string{"A1"}, run(append(books, ghost)...))
	last := books[len(books)-1].(paymentEntry)
	require.Equal(t, "refund", last.Op)
	require.Equal(t, []string{"E2"}, run(books[:len(books)-1]...), "we say that it is paid, the provider does not")
	asked := last
	asked.Applied = false
	again := append(books, asked, asked, asked, asked, asked, asked, asked, asked)
	require.Equal(t, []string{"E4"}, run(again...), "more attempts than were booked")

	_, err = OpenPaymentLog("till", "/no/such/file")
	require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err))
}

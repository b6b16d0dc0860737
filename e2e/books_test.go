package e2e_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/audit"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/workflows"
)

// evidence is what `keyturn audit` reads on the development stack.
func (s *stack) evidence() audit.Evidence {
	s.t.Helper()
	mailbox, err := audit.OpenMailbox("http://" + s.inbox.HTTPAddr())
	require.NoError(s.t, err)
	partner, err := audit.OpenPartnerLog(s.partner.URL() + "/_emulator/log")
	require.NoError(s.t, err)
	return audit.Evidence{
		DB: s.db, Mailbox: mailbox, Partner: partner,
		Temporal:   audit.Temporal{Client: s.temporal, TaskQueue: s.queue},
		Processors: s.acts.Desk.Processors,
	}
}

// books audits with all evidence and requires that nothing is wrong.
func (s *stack) books(change func(*audit.Evidence)) *audit.Report {
	s.t.Helper()
	e := s.evidence()
	change(&e)
	r, err := audit.Run(context.Background(), e)
	require.NoError(s.t, err)
	for _, res := range r.Invariants {
		require.Empty(s.t, res.Listed, "%s: %s", res.ID, res.Meaning)
	}
	return r
}

// sellEverything places orders that go every way at once and waits until all but the patient ones are decided.
func (s *stack) sellEverything() {
	s.t.Helper()
	quick := every(200*time.Millisecond, time.Second)
	s.product(keyturn.Product{ID: "editor", Sources: sources(fromPool("editor-keys"))}, "KEY-01", "KEY-02", "KEY-03",
		"KEY-04", "KEY-05")
	s.product(keyturn.Product{ID: "studio", Sources: sources(fromEndpoint("studio"))})
	s.product(keyturn.Product{ID: "wallpaper", Sources: sources(s.fromURL("paper"))})
	s.product(keyturn.Product{ID: "ghost", Sources: sources(fromEndpoint("ghost")), Retry: quick})
	s.product(keyturn.Product{ID: "rare", Sources: sources(fromPool("rare-keys"))})
	s.drill("ghost", "fail:500")
	done := map[string]keyturn.OrderStatus{
		"editor": keyturn.OrderCompleted, "studio": keyturn.OrderCompleted,
		"wallpaper": keyturn.OrderCompleted, "ghost": keyturn.OrderCanceled,
	}
	placed := map[string]*db.Accepted{}
	for product := range done {
		placed[product] = s.order(product)
	}
	for product, status := range done {
		s.await(placed[product], status)
	}
	s.await(s.accept([]keyturn.LineItem{
		{ProductID: "studio", Quantity: 3, GrossPrice: "9.00"},
		{ProductID: "editor", Quantity: 2, GrossPrice: "1.00"},
	}, "pay_1"), keyturn.OrderCompleted)
	mixed := s.order("rare", "editor")
	s.await(mixed, keyturn.OrderPartialCompleted)
	s.awaitLine(mixed.Starts[1].FulfillmentID, keyturn.LineDelivered)
}

func TestBooksOfARunningShopBalance(t *testing.T) {
	s := start(t, options{})
	s.sellEverything()
	r := s.books(func(*audit.Evidence) {})
	require.True(t, r.OK)
	for _, id := range []string{"A5", "B4", "C1", "D1", "E2", "F6"} {
		require.True(t, r.Result(id).Checked, id)
	}
	for _, what := range []string{"letters in the mailbox", "calls in the partner's log", "open workflows"} {
		require.Positive(t, looked(r, what), what)
	}
}

func looked(r *audit.Report, what string) (n int64) {
	for _, res := range r.Invariants {
		for _, c := range res.Looked {
			if c.What == what {
				n = c.N
			}
		}
	}
	return n
}

// While orders come in and lines move, nothing is a violation.
func TestBooksBalanceUnderLoad(t *testing.T) {
	s := start(t, options{})
	s.sellEverything()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 40 { // not for as long as the audits take: the more there is, the longer they take
			select {
			case <-stop:
				return
			default:
				s.order("studio")
				s.order("wallpaper")
				s.order("ghost")
				time.Sleep(200 * time.Millisecond)
			}
		}
	}()
	for range 4 {
		s.books(func(*audit.Evidence) {})
		time.Sleep(200 * time.Millisecond)
	}
	close(stop)
	<-done
}

// The evidence outside of the database is compared, whichever way it comes.
func TestTamperedEvidenceIsFound(t *testing.T) {
	s := start(t, options{})
	s.sellEverything()
	folder := s.mailFolder()
	log := filepath.Join(t.TempDir(), "requests.jsonl")
	require.NoError(t, os.WriteFile(log, []byte(s.partnerLog()), 0o600))
	change := func(e *audit.Evidence) {
		var err error
		e.Mailbox, err = audit.OpenMailbox(folder)
		require.NoError(t, err)
		e.Partner, err = audit.OpenPartnerLog(log)
		require.NoError(t, err)
	}
	s.books(change)

	violated := func() []string {
		e := s.evidence()
		change(&e)
		r, err := audit.Run(context.Background(), e)
		require.NoError(t, err)
		return r.Violated()
	}
	t.Run("partner", func(t *testing.T) {
		whole := s.partnerLog()
		lines := strings.Split(strings.TrimSpace(whole), "\n")
		require.NoError(t, os.WriteFile(log, []byte(whole+strings.Replace(lines[0], `"bodySha256":"`, `"bodySha256":"00`,
			1)+"\n"), 0o600))
		require.Equal(t, []string{"C1"}, violated())
		require.NoError(t, os.WriteFile(log, []byte(whole), 0o600))
	})
	t.Run("mailbox", func(t *testing.T) {
		files, err := filepath.Glob(filepath.Join(folder, "*.eml"))
		require.NoError(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			if strings.Contains(string(text), "KEY-01") {
				require.NoError(t, os.Remove(file))
				require.Equal(t, []string{"D1"}, violated())
				require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "KEY-01", "KEY-02")), 0o600))
				require.Equal(t, []string{"B4", "D2", "D5"}, violated())
				require.NoError(t, os.WriteFile(file, text, 0o600))
				return
			}
		}
		t.Fatal("no letter has the first key")
	})
	t.Run("temporal", func(t *testing.T) {
		ctx := context.Background()
		id := workflows.LineWorkflowID(uuid.NewString())
		_, err := s.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: s.queue + "-nobody"},
			"FulfillLineItem", workflows.LineInput{})
		require.NoError(t, err)
		defer func() { require.NoError(t, s.temporal.TerminateWorkflow(ctx, id, "", "a test")) }()
		e := s.evidence()
		change(&e)
		e.Temporal = audit.Temporal{Client: s.temporal, TaskQueue: s.queue + "-nobody"}
		e.Slack = time.Millisecond
		s.eventually(func() (bool, string) { // Temporal's list is a moment behind
			r, err := audit.Run(ctx, e)
			require.NoError(t, err)
			found := r.Violated()
			return slices.Contains(found, "F6"), strings.Join(found, " ")
		})
	})
	t.Run("a lost workflow", func(t *testing.T) {
		var f string
		require.NoError(t, s.sql(&f, `SELECT fulfillment_id FROM line_items WHERE status = 'WAITING_FOR_STOCK'`))
		require.NoError(t, s.temporal.TerminateWorkflow(context.Background(), workflows.LineWorkflowID(f), "", "a test"))
		s.eventually(func() (bool, string) { // Temporal's list is a moment behind
			found := strings.Join(violated(), " ")
			return found == "A5", found
		})
	})
}

// mailFolder copies the mailbox into a folder as an inbox keeps it.
func (s *stack) mailFolder() string {
	s.t.Helper()
	dir := s.t.TempDir()
	for _, m := range s.inbox.Messages() {
		raw, ok := s.inbox.Raw(m.ID)
		require.True(s.t, ok)
		head, err := json.Marshal(map[string]any{"from": m.From, "to": m.To, "received": m.Received, "answered": m.Answered})
		require.NoError(s.t, err)
		require.NoError(s.t, os.WriteFile(filepath.Join(dir, m.ID+".eml"),
			append([]byte("X-Inbox-Envelope: "+string(head)+"\r\n"), raw...), 0o600))
	}
	return dir
}

func (s *stack) partnerLog() string {
	s.t.Helper()
	var b strings.Builder
	for _, e := range s.partner.Log() {
		text, err := json.Marshal(e)
		require.NoError(s.t, err)
		b.Write(append(text, '\n'))
	}
	return b.String()
}

// Evidence that cannot be read is an error, not a clean result.
func TestUnreadableEvidenceIsAnError(t *testing.T) {
	s := start(t, options{noWorker: true})
	nobody := httptest.NewServer(http.NotFoundHandler())
	defer nobody.Close()
	mailbox, err := audit.OpenMailbox(nobody.URL)
	require.NoError(t, err)
	_, err = audit.Run(context.Background(), audit.Evidence{DB: s.db, Mailbox: mailbox})
	require.ErrorContains(t, err, "404")
	_, err = audit.OpenMailbox("/no/such/folder")
	require.Error(t, err)
	_, err = audit.OpenPartnerLog("/no/such/file")
	require.Error(t, err)
}

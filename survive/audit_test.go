package survive_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/devstack/emulator"
)

// row is a line as its table shows it.
type row struct {
	id, fulfillment, order, product, status string
	quantity                                int
	gross                                   int64
}

// quiesce waits until every line is decided and nothing is left to do anywhere.
func (s *site) quiesce(within time.Duration) {
	s.t.Helper()
	start := time.Now()
	temporal := s.dial()
	defer temporal.Close()
	s.within(within, "everything comes to its end", func() string {
		var lines, outbox, owed int
		if err := s.sql.QueryRow(`SELECT (SELECT count(*) FROM line_items WHERE status NOT IN ('DELIVERED', 'CANCELED')),
			(SELECT count(*) FROM outbox), (SELECT count(*) FROM revocations
				WHERE status = 'OWED')`).Scan(&lines, &outbox, &owed); err != nil {
			return err.Error()
		}
		open := s.openWorkflows(temporal)
		if lines+outbox+owed+len(open) == 0 {
			return ""
		}
		return fmt.Sprintf("%d lines undecided, %d starts due, %d cancels owed, %d workflows open\n%s", lines, outbox, owed,
			len(open), s.undecided(open))
	})
	s.t.Logf("quiet %s after the load", seconds(time.Since(start)))
}

// undecided describes some of what is left, for the person who reads why a test failed.
func (s *site) undecided(open []string) string {
	rows, err := s.sql.Query(`
		SELECT concat_ws(' ', l.fulfillment_id, l.product_id, l.status, 'attempts', l.attempts, 'next', l.next_attempt_at,
			'wake', l.wake_at, l.failure,
			(SELECT string_agg(concat_ws(':', a.operation, a.outcome, a.deadline_at::time), ',' ORDER BY no) FROM attempts a
				WHERE a.line_id = l.id))
		FROM line_items l WHERE status NOT IN ('DELIVERED', 'CANCELED') ORDER BY l.created_at LIMIT 5`)
	if err != nil {
		return err.Error()
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err.Error()
		}
		out = append(out, "  "+text)
	}
	if err := rows.Err(); err != nil {
		return err.Error()
	}
	return strings.Join(append(out, "  open: "+strings.Join(open[:min(5, len(open))], ", ")), "\n")
}

func (s *site) openWorkflows(temporal interface {
	ListWorkflow(ctx context.Context,
		request *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error)
},
) []string {
	s.t.Helper()
	list, err := temporal.ListWorkflow(context.Background(),
		&workflowservice.ListWorkflowExecutionsRequest{Query: `ExecutionStatus = "Running"`, PageSize: 100})
	if err != nil {
		return []string{err.Error()}
	}
	var open []string
	for _, w := range list.GetExecutions() {
		open = append(open, w.GetExecution().GetWorkflowId())
	}
	return open
}

// audit checks from outside that what was promised is so.
func (s *site) audit(l *load) {
	s.t.Helper()
	lines := s.lines()
	byOrder := map[string][]row{}
	for _, line := range lines {
		byOrder[line.order] = append(byOrder[line.order], line)
	}
	s.auditOrders(l, byOrder)
	s.auditRefunds(byOrder)
	shown := s.auditMails(lines)
	s.auditPool(lines, shown)
	s.auditPartners(lines, shown)
	s.auditWorkflows()
}

func (s *site) lines() []row {
	s.t.Helper()
	rows, err := s.sql.Query(`SELECT id, fulfillment_id, order_id, product_id, status, quantity, gross_minor
		FROM line_items`)
	require.NoError(s.t, err)
	defer rows.Close()
	var out []row
	for rows.Next() {
		var r row
		require.NoError(s.t, rows.Scan(&r.id, &r.fulfillment, &r.order, &r.product, &r.status, &r.quantity, &r.gross))
		out = append(out, r)
	}
	require.NoError(s.t, rows.Err())
	return out
}

// auditOrders: every order of the journal is there, decided, as its API says, and its status follows from its lines.
func (s *site) auditOrders(l *load, byOrder map[string][]row) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "acknowledged.txt"))
	require.NoError(s.t, err)
	journal := strings.Fields(string(text))
	require.NotEmpty(s.t, journal)
	require.Len(s.t, l.acked, len(journal))
	outcomes := map[string]int{}
	for _, id := range journal {
		placed, lines := l.acked[id], byOrder[id]
		if len(lines) != len(placed.LineItems) {
			s.t.Errorf("order %s was acknowledged with %d lines and has %d", id, len(placed.LineItems), len(lines))
			continue
		}
		want := "PARTIAL_CANCELED"
		canceled := 0
		for _, line := range lines {
			if line.status == "CANCELED" {
				canceled++
			}
			if wanted := map[bool]string{true: "CANCELED", false: "DELIVERED"}[refunded[line.product]]; line.status != wanted {
				s.t.Errorf("a line of %s, of order %s, ended %s instead of %s", line.product, id, line.status, wanted)
			}
		}
		switch canceled {
		case 0:
			want = "COMPLETED"
		case len(lines):
			want = "CANCELED"
		}
		v, err := s.api.Order(context.Background(), id)
		if err != nil || string(v.Status) != want || len(v.LineItems) != len(lines) {
			s.t.Errorf("order %s is %s with %d lines and should be %s (%v)", id, v.Status, len(v.LineItems), want, err)
		}
		outcomes[want]++
	}
	for id := range byOrder {
		if _, ok := l.acked[id]; !ok {
			s.t.Errorf("order %s was never acknowledged and is there", id)
		}
	}
	s.t.Logf("%d orders acknowledged, %d requests repeated: %v", len(journal), l.repeats.Load(), outcomes)
}

// auditRefunds: the provider paid back exactly the cancelled lines, each once.
func (s *site) auditRefunds(byOrder map[string][]row) {
	s.t.Helper()
	rows, err := s.sql.Query(`SELECT key, order_id, amount_minor FROM sandbox_refunds WHERE applied_at IS NOT NULL`)
	require.NoError(s.t, err)
	defer rows.Close()
	paid := map[string]int64{}
	for rows.Next() {
		var key, order string
		var minor int64
		require.NoError(s.t, rows.Scan(&key, &order, &minor))
		paid[key] = minor
		if byOrder[order] == nil {
			s.t.Errorf("a refund of the unknown order %s", order)
		}
	}
	require.NoError(s.t, rows.Err())
	due := 0
	for _, lines := range byOrder {
		for _, line := range lines {
			minor, ok := paid["refund-"+line.id]
			if line.status == "CANCELED" {
				due++
			}
			if ok != (line.status == "CANCELED") || ok && minor != line.gross {
				s.t.Errorf("line %s (%s) is %s, costs %d and was refunded %d (%v)", line.id, line.product, line.status, line.gross,
					minor, ok)
			}
		}
	}
	if len(paid) != due {
		s.t.Errorf("%d refunds for %d cancelled lines", len(paid), due)
	}
	s.t.Logf("%d lines refunded, each once", due)
}

var keyPattern = regexp.MustCompile(`\b(?:POOL-\d{6}|EMU(?:-[0-9A-Z]+){2,})`)

// auditMails: every delivered line's keys arrived in one e-mail, which may have come twice, byte for byte the same; no
// key is in two. It gives the line that each key was shown for.
func (s *site) auditMails(lines []row) map[string]row {
	s.t.Helper()
	byDelivery := s.deliveries(lines)
	raw := map[string][]byte{}    // by Message-ID
	shown := map[string]row{}     // by key
	mailOf := map[string]string{} // the Message-ID that shows a line's keys
	copies := 0
	for _, m := range s.inbox.Messages() {
		if slices.Contains(m.To, "ops@shop.test") {
			continue
		}
		bytesOf, ok := s.inbox.Raw(m.ID)
		require.True(s.t, ok)
		if before, seen := raw[m.MessageID]; seen {
			copies++
			if !bytes.Equal(before, bytesOf) {
				s.t.Errorf("two e-mails with the Message-ID %s differ", m.MessageID)
			}
			continue
		}
		raw[m.MessageID] = bytesOf
		delivery, _, _ := strings.Cut(m.MessageID, "@")
		line, ok := byDelivery[delivery]
		if !ok {
			s.t.Errorf("the e-mail %s to %v belongs to no line", m.MessageID, m.To)
			continue
		}
		if want := strings.ToLower(line.order) + "@buyer.test"; !slices.Equal(m.To, []string{want}) {
			s.t.Errorf("an e-mail of order %s went to %v", line.order, m.To)
		}
		keys := keyPattern.FindAllString(s.text(bytesOf), -1)
		slices.Sort(keys)
		keys = slices.Compact(keys)
		if len(keys) == 0 {
			continue // the news of a refund
		}
		if other, seen := mailOf[line.id]; seen {
			s.t.Errorf("line %s got its keys in two e-mails, %s and %s", line.id, other, m.MessageID)
		}
		mailOf[line.id] = m.MessageID
		if len(keys) != line.quantity {
			s.t.Errorf("line %s (%s) of %d units got %d keys: %v", line.id, line.product, line.quantity, len(keys), keys)
		}
		for _, key := range keys {
			if other, seen := shown[key]; seen {
				s.t.Errorf("the key %s went to line %s and to line %s", key, other.id, line.id)
			}
			shown[key] = line
		}
	}
	for _, line := range lines {
		if _, mailed := mailOf[line.id]; mailed != (line.status == "DELIVERED") {
			s.t.Errorf("line %s (%s) is %s; an e-mail with its keys: %v", line.id, line.product, line.status, mailed)
		}
	}
	s.t.Logf("%d e-mails, %d of them twice, show %d keys to %d lines", len(raw), copies, len(shown), len(mailOf))
	return shown
}

func (s *site) deliveries(lines []row) map[string]row {
	s.t.Helper()
	byID := map[string]row{}
	for _, line := range lines {
		byID[line.id] = line
	}
	rows, err := s.sql.Query(`SELECT id, line_id FROM deliveries`)
	require.NoError(s.t, err)
	defer rows.Close()
	out := map[string]row{}
	for rows.Next() {
		var id, line string
		require.NoError(s.t, rows.Scan(&id, &line))
		out[id] = byID[line]
	}
	require.NoError(s.t, rows.Err())
	return out
}

// auditPool: every key of the stock is in one place, delivered ones at delivered lines, and the figures are a recount.
func (s *site) auditPool(lines []row, shown map[string]row) {
	s.t.Helper()
	var available, claimed, delivered, quarantined, total, atDelivered int
	require.NoError(s.t, s.sql.QueryRow(`
		SELECT count(*) FILTER (WHERE k.state = 'available'), count(*) FILTER (WHERE k.state = 'claimed'),
			count(*) FILTER (WHERE k.state = 'delivered'),
			count(*) FILTER (WHERE k.state = 'quarantined'), count(*),
				count(*) FILTER (WHERE k.state = 'delivered' AND l.status = 'DELIVERED')
		FROM pool_keys k LEFT JOIN line_items l ON l.id = k.line_id`).Scan(&available, &claimed, &delivered, &quarantined, &total, &atDelivered))
	units := 0
	for _, line := range lines {
		if line.product == "editor" && line.status == "DELIVERED" {
			units += line.quantity
		}
	}
	inMails := 0
	for key := range shown {
		if strings.HasPrefix(key, "POOL-") {
			inMails++
		}
	}
	require.Equal(s.t, stock, total, "keys do not come or go")
	require.Equal(s.t, []int{units, units, units, 0, 0, stock - units},
		[]int{delivered, atDelivered, inMails, claimed, quarantined, available},
		"delivered, delivered at delivered lines, in e-mails, claimed, quarantined, available")
	view, err := s.api.Pool(context.Background(), "editor-keys")
	require.NoError(s.t, err)
	require.Equal(s.t, keyturn.Stock{Available: int64(available), Delivered: int64(delivered)}, view.Stock,
		"the figures are a recount")
	s.t.Logf("%d of %d keys of the pool delivered, none lost", delivered, stock)
}

// auditPartners: no create reaches a partner after the cancel, and what it issued is the customer's or taken back.
func (s *site) auditPartners(lines []row, shown map[string]row) {
	s.t.Helper()
	canceled := map[string]bool{}
	creates, repeats := 0, 0
	for _, e := range s.partner.Log() {
		id := e.Partner + "/" + e.FulfillmentID
		switch e.Op {
		case "create":
			creates++
			if e.Repeat {
				repeats++
			}
			if canceled[id] {
				s.t.Errorf("a create of %s came after its cancel", id)
			}
		case "cancel":
			canceled[id] = true
		}
	}
	revoked := 0
	for _, license := range s.partner.Issued() {
		for _, key := range license.Keys {
			line, delivered := shown[key]
			switch {
			case delivered && license.Status == emulator.StatusCanceled:
				s.t.Errorf("the key %s of %s was delivered to line %s and taken back", key, license.Partner, line.id)
			case !delivered && license.Status != emulator.StatusCanceled:
				s.t.Errorf("the key %s of %s for %s was neither delivered nor taken back", key, license.Partner,
					license.FulfillmentID)
			case !delivered:
				revoked++
			}
		}
	}
	owing := 0
	for _, line := range lines {
		if line.status == "CANCELED" {
			owing++
			partner := map[string]string{"ghost": "gone", "lost": "lost"}[line.product]
			if !canceled[partner+"/"+line.fulfillment] {
				// A line whose every attempt was cut short before it left owes its partner nothing.
				s.requireNothingSent(line)
			}
		}
	}
	s.t.Logf("partners: %d creates, %d of them repeats with the same key, %d keys taken back, %d lines cancelled at "+
		"partners", creates, repeats, revoked, owing)
}

func (s *site) requireNothingSent(line row) {
	s.t.Helper()
	for _, e := range s.partner.Log() {
		if e.FulfillmentID == line.fulfillment {
			s.t.Errorf("line %s (%s) is refunded, its partner was asked at %s, and never told to cancel", line.id, line.product,
				e.Time)
			return
		}
	}
}

// auditWorkflows: none is open, and none ended as a failure.
func (s *site) auditWorkflows() {
	s.t.Helper()
	temporal := s.dial()
	defer temporal.Close()
	found := map[string]int{}
	var next []byte
	for {
		list, err := temporal.ListWorkflow(context.Background(), &workflowservice.ListWorkflowExecutionsRequest{
			PageSize:      500,
			NextPageToken: next,
		})
		require.NoError(s.t, err)
		for _, w := range list.GetExecutions() {
			found[w.GetType().GetName()+" "+w.GetStatus().String()]++
		}
		if next = list.GetNextPageToken(); len(next) == 0 {
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if !strings.HasSuffix(name, " Completed") {
			s.t.Errorf("%d workflows are %s", found[name], name)
		}
	}
	s.t.Logf("workflows: %v; killed: %v; started again because the database was down: %d", found, s.kills, s.again.Load())
}

// text is what the reader of an e-mail sees.
func (s *site) text(raw []byte) string {
	s.t.Helper()
	parsed, err := netmail.ReadMessage(bytes.NewReader(raw))
	require.NoError(s.t, err)
	return partText(s, parsed.Header.Get("Content-Type"), parsed.Header.Get("Content-Transfer-Encoding"), parsed.Body)
}

func partText(s *site, contentType, encoding string, body io.Reader) string {
	s.t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	require.NoError(s.t, err)
	if strings.HasPrefix(kind, "multipart/") {
		var text strings.Builder
		for parts := multipart.NewReader(body, params["boundary"]); ; {
			p, err := parts.NextRawPart()
			if err != nil {
				return text.String()
			}
			text.WriteString(partText(s, p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p))
		}
	}
	switch encoding {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	plain, err := io.ReadAll(body)
	require.NoError(s.t, err)
	return string(plain) + "\n"
}

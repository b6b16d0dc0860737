// Package paymentemulator is a payment provider for tests: an HTTP server with a ledger of its own that speaks the
// contract of payment.Gateway and captures payments as a checkout would:
//
//	POST /captures   {"reference", "orderId", "amount", "currency"}    idempotent by reference
//	POST /refunds    the same body    idempotent by Idempotency-Key, never more than was captured
//	GET  /journal    every request, as JSON lines
//
// Each request is synced to the journal before it is answered, so the journal is evidence of what a client was told,
// and replaying it rebuilds the ledger. Some payment references make a refund fail: refund-fails-3 answers 503 to the
// first three attempts, refund-declined always answers 422.
package paymentemulator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"keyturn.dev/keyturn"
)

// Config configures a Server.
type Config struct {
	Addr    string        // host:port; port 0 picks a free port
	Journal string        // path of the journal; empty keeps it in memory
	Token   string        // bearer token required by /refunds; empty requires none
	Latency time.Duration // added to every refund
}

// Entry is one request in the journal.
type Entry struct {
	Time        time.Time `json:"ts"`
	Op          string    `json:"op"` // capture or refund
	Key         string    `json:"key,omitempty"`
	Reference   string    `json:"reference"`
	OrderID     string    `json:"orderId"`
	AmountMinor int64     `json:"amountMinor"`
	Currency    string    `json:"currency"`
	Applied     bool      `json:"applied,omitempty"` // this request moved money
	ID          string    `json:"id,omitempty"`      // refund ID
	Status      int       `json:"status"`            // HTTP status of the answer
}

// Server is the emulator. Start it before use and Close it after.
type Server struct {
	cfg  Config
	http *http.Server
	addr string

	mu     sync.Mutex
	ledger *ledger
}

// New returns a server that is not listening yet.
func New(cfg Config) *Server { return &Server{cfg: cfg} }

// Start replays the journal and begins to serve.
func (s *Server) Start() error {
	var err error
	if s.ledger, err = openLedger(s.cfg.Journal); err != nil {
		return fmt.Errorf("the payment emulator cannot use its journal: %w", err)
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("the payment emulator cannot listen: %w", err)
	}
	s.addr = l.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /captures", s.capture)
	mux.HandleFunc("POST /refunds", s.delayed(s.refund))
	mux.HandleFunc("GET /journal", s.journal)
	s.http = &http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() { _ = s.http.Serve(l) }()
	return nil
}

// URL returns the base URL.
func (s *Server) URL() string { return "http://" + s.addr }

// Entries returns a copy of the journal, oldest first.
func (s *Server) Entries() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Entry(nil), s.ledger.entries...)
}

// Capture records a captured payment without a request. Unlike POST /captures it is not idempotent.
func (s *Server) Capture(reference, orderID string, amount keyturn.Money) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.add(Entry{
		Time: time.Now().UTC(), Op: "capture", Reference: reference, OrderID: orderID,
		AmountMinor: amount.Minor, Currency: amount.Currency, Applied: true, Status: http.StatusOK,
	})
}

// Close stops serving.
func (s *Server) Close() error {
	err := s.http.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if closing := s.ledger.close(); err == nil {
		err = closing
	}
	return err
}

const maxRequest = 64 << 10

// read parses the request into an entry. If the request is malformed it answers 400 and ok is false.
func (s *Server) read(w http.ResponseWriter, r *http.Request, op string) (e Entry, ok bool) {
	var in struct {
		Reference string `json:"reference"`
		OrderID   string `json:"orderId"`
		Amount    string `json:"amount"`
		Currency  string `json:"currency"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "the body is not a JSON object")
		return e, false
	}
	amount, err := keyturn.ParseMoney(in.Amount, in.Currency)
	if err != nil || in.Reference == "" || in.OrderID == "" {
		refuse(w, http.StatusBadRequest, "reference, orderId, amount and currency are required")
		return e, false
	}
	return Entry{
		Time: time.Now().UTC(), Op: op, Reference: in.Reference, OrderID: in.OrderID,
		AmountMinor: amount.Minor, Currency: amount.Currency,
	}, true
}

func (s *Server) capture(w http.ResponseWriter, r *http.Request) {
	e, ok := s.read(w, r, "capture")
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.ledger.captures[e.Reference]
	e.Status, e.Applied = http.StatusOK, !known
	if known && (before.OrderID != e.OrderID || before.AmountMinor != e.AmountMinor || before.Currency != e.Currency) {
		e.Status = http.StatusConflict
	}
	s.answer(w, e)
}

var failsTimes = regexp.MustCompile(`refund-fails-(\d{1,6})`)

func (s *Server) refund(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Token != "" && r.Header.Get("Authorization") != "Bearer "+s.cfg.Token {
		refuse(w, http.StatusUnauthorized, "the bearer token is wrong")
		return
	}
	e, ok := s.read(w, r, "refund")
	if !ok {
		return
	}
	if e.Key = r.Header.Get("Idempotency-Key"); e.Key == "" {
		refuse(w, http.StatusBadRequest, "an Idempotency-Key is required")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decide(&e)
	s.answer(w, e)
}

// delayed runs a handler after the configured latency, unless the client leaves first.
func (s *Server) delayed(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(s.cfg.Latency):
			h(w, r)
		case <-r.Context().Done():
		}
	}
}

// decide sets the outcome of a refund: its status, and the refund ID if it is paid.
func (s *Server) decide(e *Entry) {
	fails := 0
	if m := failsTimes.FindStringSubmatch(e.Reference); m != nil {
		fails, _ = strconv.Atoi(m[1])
	}
	captured, known := s.ledger.captures[e.Reference]
	paid, replay := s.ledger.refunds[e.Key]
	switch {
	case replay && (paid.Reference != e.Reference || paid.AmountMinor != e.AmountMinor || paid.Currency != e.Currency):
		e.Status = http.StatusUnprocessableEntity // the key belongs to another refund
	case replay:
		e.Status, e.ID = http.StatusOK, paid.ID
	case s.ledger.attempts[e.Key] < fails:
		e.Status = http.StatusServiceUnavailable
	case strings.Contains(e.Reference, "refund-declined"),
		!known || captured.OrderID != e.OrderID || captured.Currency != e.Currency,
		s.ledger.refundedMinor[e.Reference]+e.AmountMinor > captured.AmountMinor:
		e.Status = http.StatusUnprocessableEntity
	default:
		e.Status, e.Applied, e.ID = http.StatusOK, true, fmt.Sprintf("re_%d", len(s.ledger.refunds)+1)
	}
}

// answer journals the entry, then replies with its status.
func (s *Server) answer(w http.ResponseWriter, e Entry) {
	if err := s.ledger.add(e); err != nil {
		refuse(w, http.StatusInternalServerError, "the journal cannot be written")
		return
	}
	if e.Status != http.StatusOK {
		refuse(w, e.Status, "the request was refused")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"id": e.ID})
}

func (s *Server) journal(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jsonl")
	out := json.NewEncoder(w)
	for _, e := range s.Entries() {
		_ = out.Encode(e)
	}
}

func refuse(w http.ResponseWriter, status int, why string) { http.Error(w, why, status) }

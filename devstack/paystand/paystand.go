// Package paystand plays a payment provider over HTTP, with books of its own: `keyturn dev`, tests and the fault
// laboratory refund there. It speaks the contract of payment.Gateway, and captures payments as a checkout would:
//
//	POST /captures   {"reference", "orderId", "amount", "currency"}      the same reference once
//	POST /refunds    the same, under an Idempotency-Key                  a key once, never more than was captured
//	GET  /journal    all of it, as JSON lines
//
// Each request is in the journal, and on the disk, before it is answered: the journal is evidence, and reading it back
// gives the books. A payment reference tells it to fail: …refund-fails-3… does not pay at the first three tries,
// …refund-declined… never pays.
package paystand

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

// Config says where a paystand listens and keeps its books.
type Config struct {
	Addr    string        // host:port; port 0 takes a free one
	Journal string        // file; "": memory
	Token   string        // that callers of /refunds show; "": none
	Latency time.Duration // of every refund
}

// Entry is one request as the journal keeps it.
type Entry struct {
	Time        time.Time `json:"ts"`
	Op          string    `json:"op"` // capture or refund
	Key         string    `json:"key,omitempty"`
	Reference   string    `json:"reference"`
	OrderID     string    `json:"orderId"`
	AmountMinor int64     `json:"amountMinor"`
	Currency    string    `json:"currency"`
	Applied     bool      `json:"applied,omitempty"` // money moved with this request
	ID          string    `json:"id,omitempty"`      // of the refund
	Status      int       `json:"status"`            // answered
}

// Server is a paystand.
type Server struct {
	cfg  Config
	http *http.Server
	addr string

	mu    sync.Mutex
	books *books
}

// New makes a paystand. Start opens it.
func New(cfg Config) *Server { return &Server{cfg: cfg} }

// Start reads its journal and serves.
func (s *Server) Start() error {
	var err error
	if s.books, err = openBooks(s.cfg.Journal); err != nil {
		return fmt.Errorf("the paystand cannot use its journal: %w", err)
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("the paystand cannot listen: %w", err)
	}
	s.addr = l.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /captures", s.capture)
	mux.HandleFunc("POST /refunds", s.later(s.refund))
	mux.HandleFunc("GET /journal", s.journal)
	s.http = &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = s.http.Serve(l) }()
	return nil
}

// URL is its address.
func (s *Server) URL() string { return "http://" + s.addr }

// Entries is a copy of the journal, oldest first.
func (s *Server) Entries() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Entry(nil), s.books.entries...)
}

// Capture takes money, as POST /captures does.
func (s *Server) Capture(reference, orderID string, amount keyturn.Money) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.books.add(Entry{
		Time: time.Now().UTC(), Op: "capture", Reference: reference, OrderID: orderID, AmountMinor: amount.Minor, Currency: amount.Currency,
		Applied: true, Status: http.StatusOK,
	})
}

// Close stops serving.
func (s *Server) Close() error {
	err := s.http.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if closing := s.books.close(); err == nil {
		err = closing
	}
	return err
}

const maxRequest = 64 << 10

// read gives the request as an entry, or answers what is wrong with it.
func (s *Server) read(w http.ResponseWriter, r *http.Request, op string) (e Entry, ok bool) {
	var in struct {
		Reference string `json:"reference"`
		OrderID   string `json:"orderId"`
		Amount    string `json:"amount"`
		Currency  string `json:"currency"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "the body is no JSON object")
		return e, false
	}
	amount, err := keyturn.ParseMoney(in.Amount, in.Currency)
	if err != nil || in.Reference == "" || in.OrderID == "" {
		refuse(w, http.StatusBadRequest, "reference, orderId, amount and currency are needed")
		return e, false
	}
	return Entry{Time: time.Now().UTC(), Op: op, Reference: in.Reference, OrderID: in.OrderID, AmountMinor: amount.Minor, Currency: amount.Currency}, true
}

func (s *Server) capture(w http.ResponseWriter, r *http.Request) {
	e, ok := s.read(w, r, "capture")
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, known := s.books.captured[e.Reference]
	e.Status, e.Applied = http.StatusOK, !known
	if known && (before.OrderID != e.OrderID || before.AmountMinor != e.AmountMinor || before.Currency != e.Currency) {
		e.Status = http.StatusConflict
	}
	s.answer(w, e)
}

var failsTimes = regexp.MustCompile(`refund-fails-(\d{1,6})`)

func (s *Server) refund(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Token != "" && r.Header.Get("Authorization") != "Bearer "+s.cfg.Token {
		refuse(w, http.StatusUnauthorized, "the token is not the paystand's")
		return
	}
	e, ok := s.read(w, r, "refund")
	if !ok {
		return
	}
	if e.Key = r.Header.Get("Idempotency-Key"); e.Key == "" {
		refuse(w, http.StatusBadRequest, "an Idempotency-Key is needed")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.judge(&e)
	s.answer(w, e)
}

// later is a handler that takes its time before it begins.
func (s *Server) later(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(s.cfg.Latency):
			h(w, r)
		case <-r.Context().Done():
		}
	}
}

// judge decides what becomes of a refund.
func (s *Server) judge(e *Entry) {
	fails := 0
	if m := failsTimes.FindStringSubmatch(e.Reference); m != nil {
		fails, _ = strconv.Atoi(m[1])
	}
	captured, known := s.books.captured[e.Reference]
	paid, again := s.books.refunded[e.Key]
	switch {
	case again && (paid.Reference != e.Reference || paid.AmountMinor != e.AmountMinor || paid.Currency != e.Currency):
		e.Status = http.StatusUnprocessableEntity // the key is another refund's
	case again:
		e.Status, e.ID = http.StatusOK, paid.ID
	case s.books.tries[e.Key] < fails:
		e.Status = http.StatusServiceUnavailable
	case strings.Contains(e.Reference, "refund-declined"),
		!known || captured.OrderID != e.OrderID || captured.Currency != e.Currency || s.books.paidBack[e.Reference]+e.AmountMinor > captured.AmountMinor:
		e.Status = http.StatusUnprocessableEntity
	default:
		e.Status, e.Applied, e.ID = http.StatusOK, true, fmt.Sprintf("re_%d", len(s.books.refunded)+1)
	}
}

// answer writes the journal first.
func (s *Server) answer(w http.ResponseWriter, e Entry) {
	if err := s.books.add(e); err != nil {
		refuse(w, http.StatusInternalServerError, "the journal cannot be written")
		return
	}
	if e.Status != http.StatusOK {
		refuse(w, e.Status, "not done")
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

package emulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Server is an emulator. Make it with New, then Start it.
type Server struct {
	cfg     Config
	ca      *authority // nil without HTTPS
	closing chan struct{}
	once    sync.Once
	inside  atomic.Int64 // handlers at work
	started bool

	netMu       sync.Mutex // listening: Start, Pause, Resume, Close
	ports       []*port
	paused      bool
	honeypotURL string // set before anything is served, never changed: handlers read it without netMu

	mu       sync.Mutex // guards the evidence: journal, ledger and honeypot
	journal  *journal
	ledger   *ledger
	honeypot *journal

	partnersMu sync.Mutex
	partners   map[string]*partner
}

// New prepares an emulator; nothing is opened yet.
func New(cfg Config) *Server {
	return &Server{
		cfg: cfg.withDefaults(), closing: make(chan struct{}), ledger: newLedger(), partners: map[string]*partner{},
		journal: &journal{max: defaultMaxEntries}, honeypot: &journal{max: defaultMaxEntries},
	}
}

// Start reads back what an earlier run left in Dir and begins to serve. When it fails nothing is left open. A Server is
// started once.
func (s *Server) Start() error {
	if s.started {
		return errors.New("emulator: started twice")
	}
	s.started = true
	for name, settings := range s.cfg.Partners {
		if err := s.SetPartner(name, settings); err != nil {
			return fmt.Errorf("emulator: partner %s: %w", name, err)
		}
	}
	err := s.openFiles()
	if err == nil {
		err = s.openPorts()
	}
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

func (s *Server) openFiles() error {
	var journalPath, honeypotPath string
	if s.cfg.Dir != "" {
		if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
			return fmt.Errorf("emulator: make the data directory: %w", err)
		}
		journalPath, honeypotPath = filepath.Join(s.cfg.Dir, "requests.jsonl"), filepath.Join(s.cfg.Dir, "honeypot.jsonl")
	}
	j, err := openJournal(journalPath, s.cfg.Fsync, s.cfg.MaxEntries, s.ledger.apply)
	if err != nil {
		return err
	}
	s.journal = j
	d, err := openJournal(honeypotPath, s.cfg.Fsync, s.cfg.MaxEntries, func(Entry) {})
	if err != nil {
		return err
	}
	s.honeypot = d
	if s.cfg.TLSAddr == "" && s.cfg.ExpiredTLSAddr == "" {
		return nil
	}
	s.ca, err = openAuthority(s.cfg.Dir)
	return err
}

// Close ends every request, also those that a drill holds, and stops serving. It takes about a second at most.
func (s *Server) Close() error {
	s.once.Do(func() { close(s.closing) })
	s.netMu.Lock()
	defer s.netMu.Unlock()
	s.closePorts(s.ports)
	s.paused = false
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.journal.close(), s.honeypot.close())
}

// record journals an entry that has no time yet and applies it.
func (s *Server) record(e *Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Time = time.Now().UTC()
	return s.recordLocked(e)
}

func (s *Server) recordLocked(e *Entry) error {
	if err := s.journal.append(*e); err != nil {
		return fmt.Errorf("emulator: write the journal: %w", err)
	}
	s.ledger.apply(*e)
	return nil
}

// serve wraps a handler so that Close can wait for it.
func (s *Server) serve(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.inside.Add(1)
		defer s.inside.Add(-1)
		h.ServeHTTP(w, r)
	})
}

// httpServer has no write deadline: drills decide how long an answer takes. HTTP/1 only, because cutting a connection
// is what half of the drills are about.
func (s *Server) httpServer(h http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler: s.serve(h), Protocols: protocols,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: log.New(io.Discard, "", 0), // refused handshakes are drills too
	}
}

// shutDown lets answers that are under way end, for a moment, and cuts the rest.
func shutDown(srv *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
	defer cancel()
	if srv.Shutdown(ctx) != nil {
		_ = srv.Close()
	}
}

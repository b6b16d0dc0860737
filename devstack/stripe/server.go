package stripe

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// APIVersion is the version of Stripe's API that is emulated: the one that stripe-go v85 asks for.
const APIVersion = "2026-03-25.dahlia"

// Key is the secret key that the emulator takes unless its Config says otherwise.
const Key = "sk_test_emulator"

// Config configures a Server. The zero value listens on free ports of loopback.
type Config struct {
	Addr     string // of the API; empty: a free port of 127.0.0.1
	PageAddr string // of the hosted payment page; empty: a free port of 127.0.0.1
	Key      string // secret key; empty: Key. One that begins with sk_live_ or rk_live_ makes the account live
	// Restricted are further keys with the operations that each may not carry out, such as refund.create.
	Restricted map[string][]string
	State      string    // file that keeps the state between runs; empty: memory alone
	Exchanges  io.Writer // gets each exchange as a JSON line (Exchange); nil: nobody
}

// Server is the emulator. Start it before use and Close it after.
type Server struct {
	cfg   Config
	api   *http.Server
	page  *http.Server
	addrs [2]string // of the API and the page
	live  bool

	ctx    context.Context //nolint:containedctx // ends with the server: of webhooks and of what waits
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	state    state
	running  map[string]bool // idempotency keys of requests under way
	faults   func(Call) Fault
	webhooks func(Notice) []Delivery
	calls    map[string]int // by operation and fault
	origin   origin
	kept     []byte // the state as its file has it

	exchangeMu sync.Mutex
}

// New returns a server that is not listening yet.
func New(cfg Config) *Server {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.PageAddr == "" {
		cfg.PageAddr = "127.0.0.1:0"
	}
	if cfg.Key == "" {
		cfg.Key = Key
	}
	s := &Server{cfg: cfg, live: isLive(cfg.Key), running: map[string]bool{}, calls: map[string]int{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Start loads the state and begins to serve.
func (s *Server) Start() error {
	if err := s.load(); err != nil {
		return fmt.Errorf("the Stripe emulator cannot read its state: %w", err)
	}
	for i, part := range []struct {
		addr    string
		handler http.Handler
		server  **http.Server
	}{{s.cfg.Addr, s.apiHandler(), &s.api}, {s.cfg.PageAddr, s.pageHandler(), &s.page}} {
		l, err := new(net.ListenConfig).Listen(s.ctx, "tcp", part.addr)
		if err != nil {
			return errors.Join(fmt.Errorf("the Stripe emulator cannot listen: %w", err), s.Close())
		}
		s.addrs[i] = l.Addr().String()
		*part.server = &http.Server{
			Handler: part.handler, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute,
			ErrorLog: log.New(io.Discard, "", 0),
		}
		go func() { _ = (*part.server).Serve(l) }()
	}
	s.work.Go(s.tick)
	return nil
}

// URL is the base URL of the API.
func (s *Server) URL() string { return "http://" + s.addrs[0] }

// PageURL is the origin of the hosted payment page.
func (s *Server) PageURL() string { return "http://" + s.addrs[1] }

// Close stops serving, and keeps the state if there is a file for it.
func (s *Server) Close() error {
	s.mu.Lock() // whoever sends a webhook now is waited for
	s.cancel()
	s.mu.Unlock()
	var errs []error
	for _, server := range []*http.Server{s.api, s.page} {
		if server != nil {
			errs = append(errs, server.Close())
		}
	}
	s.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(append(errs, s.save())...)
}

// tick does what time brings while nobody asks, and keeps the state every other second: whoever is killed loses that
// much.
func (s *Server) tick() {
	every := time.NewTicker(50 * time.Millisecond)
	defer every.Stop()
	for n := 1; ; n++ {
		select {
		case <-s.ctx.Done():
			return
		case <-every.C:
			s.mu.Lock()
			s.passTime()
			if n%40 == 0 {
				_ = s.save() // Close says what is wrong
			}
			s.mu.Unlock()
		}
	}
}

func (s *Server) load() error {
	s.state = newState()
	if s.cfg.State == "" {
		return nil
	}
	text, err := os.ReadFile(s.cfg.State)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &s.state); err != nil {
		return err
	}
	s.state.index()
	return nil
}

// save keeps the state. It is complete in its file, or the one before is.
func (s *Server) save() error {
	if s.cfg.State == "" || s.state.Intents == nil {
		return nil
	}
	text, err := json.Marshal(s.state)
	if err != nil || bytes.Equal(text, s.kept) {
		return err
	}
	s.kept = text
	if err := os.WriteFile(s.cfg.State+".part", text, 0o600); err != nil {
		return err
	}
	return os.Rename(s.cfg.State+".part", s.cfg.State)
}

// newID is an ID as Stripe makes them: a prefix that says what it is, and letters that say nothing.
func newID(prefix string) string { return prefix + rand.Text()[:24] }

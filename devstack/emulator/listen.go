package emulator

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// port is one address that the emulator serves.
type port struct {
	scheme  string
	addr    string // after the first listen: with the port that was given, so that a resume takes the same
	tls     *tls.Config
	handler http.Handler
	srv     *http.Server
	tcp     net.Listener // closed by hand: a server that has not begun to serve does not know it
}

func (s *Server) openPorts() error {
	s.netMu.Lock()
	defer s.netMu.Unlock()
	main := s.handler()
	s.ports = []*port{{scheme: "http", addr: s.cfg.Addr, handler: main}}
	add := func(addr string, expired bool) error {
		if addr == "" {
			return nil
		}
		conf, err := s.ca.serverConfig(s.cfg.Hosts, expired)
		s.ports = append(s.ports, &port{scheme: "https", addr: addr, tls: conf, handler: main})
		return err
	}
	if err := errors.Join(add(s.cfg.TLSAddr, false), add(s.cfg.ExpiredTLSAddr, true)); err != nil {
		return err
	}
	honeypot := &port{scheme: "http", addr: s.cfg.HoneypotAddr, handler: http.HandlerFunc(s.serveHoneypot)}
	if honeypot.addr == "" {
		host, _, err := net.SplitHostPort(s.cfg.Addr)
		if err != nil {
			return fmt.Errorf("emulator: %q is not an address such as 127.0.0.1:8090", s.cfg.Addr)
		}
		honeypot.addr = net.JoinHostPort(host, "0")
	}
	if err := s.open(honeypot); err != nil {
		return err
	}
	s.honeypotURL = honeypot.url()
	partners := s.ports
	s.ports = append(s.ports, honeypot)
	for _, p := range partners {
		if err := s.open(p); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) open(p *port) error {
	l, err := net.Listen("tcp", p.addr) //nolint:noctx // does not wait
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("emulator: %s is taken by another program: stop it or choose another address", p.addr)
	}
	if err != nil {
		return fmt.Errorf("emulator: listen: %w", err)
	}
	srv := s.httpServer(p.handler)
	p.addr, p.srv, p.tcp = l.Addr().String(), srv, l
	if p.tls != nil {
		l = tls.NewListener(l, p.tls)
	}
	go func() { _ = srv.Serve(l) }() // ends when its listener is closed
	return nil
}

// closePorts shuts down in parallel and waits for the handlers, which end because their connections and s.closing do.
func (s *Server) closePorts(ports []*port) {
	var wg sync.WaitGroup
	for _, p := range ports {
		if p.srv != nil {
			_ = p.tcp.Close()
			wg.Go(func() { shutDown(p.srv) })
		}
	}
	wg.Wait()
	for range 400 { // two seconds: a handler that ignores everything must not hold up its host
		if s.inside.Load() == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Pause takes the partners off the network: connections are refused, as if their host were up and the service down.
// The honeypot stays.
func (s *Server) Pause() {
	s.netMu.Lock()
	defer s.netMu.Unlock()
	if s.paused || s.closed() || len(s.ports) == 0 {
		return
	}
	s.paused = true
	for _, p := range s.ports[:len(s.ports)-1] {
		_ = p.tcp.Close()
		_ = p.srv.Close()
	}
}

// Resume listens again where it did before Pause.
func (s *Server) Resume() error {
	s.netMu.Lock()
	defer s.netMu.Unlock()
	if !s.paused || s.closed() {
		return nil
	}
	for _, p := range s.ports[:len(s.ports)-1] {
		if err := s.open(p); err != nil {
			return err
		}
	}
	s.paused = false
	return nil
}

func (s *Server) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

func (p *port) url() string {
	host, number, err := net.SplitHostPort(p.addr)
	if err == nil && (host == "::" || host == "0.0.0.0") {
		return p.scheme + "://" + net.JoinHostPort("127.0.0.1", number)
	}
	return p.scheme + "://" + p.addr
}

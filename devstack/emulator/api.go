package emulator

import (
	"errors"
	"fmt"
	"slices"
)

// URL is where the partners answer over plain HTTP, without a trailing slash. It is known after Start.
func (s *Server) URL() string { return s.portURL(s.cfg.Addr, 0) }

// PartnerURL is the base URL of one partner: an integration's baseUrl.
func (s *Server) PartnerURL(name string) string { return s.URL() + "/p/" + name }

// TLSURL is where the partners answer over HTTPS, "" if they do not.
func (s *Server) TLSURL() string { return s.portURL(s.cfg.TLSAddr, 1) }

// ExpiredTLSURL is the HTTPS address whose certificate has expired, "" if there is none.
func (s *Server) ExpiredTLSURL() string {
	index := 1
	if s.cfg.TLSAddr != "" {
		index = 2
	}
	return s.portURL(s.cfg.ExpiredTLSAddr, index)
}

// HoneypotURL is where redirects lead.
func (s *Server) HoneypotURL() string { return s.honeypotURL }

func (s *Server) portURL(configured string, index int) string {
	s.netMu.Lock()
	defer s.netMu.Unlock()
	if configured == "" || index >= len(s.ports) {
		return ""
	}
	return s.ports[index].url()
}

// SetPartner replaces the settings of a partner, for requests that arrive from now on.
func (s *Server) SetPartner(name string, settings Settings) error {
	if err := settings.Check(); err != nil {
		return err
	}
	p, err := s.partner(name)
	if err != nil {
		return err
	}
	p.set(settings)
	return nil
}

// Partner returns the settings of a partner, secrets included.
func (s *Server) Partner(name string) Settings {
	p, err := s.partner(name)
	if err != nil {
		return Settings{}
	}
	return p.get()
}

// SetDrill changes only the drill of a partner; "" or "ok" ends it.
func (s *Server) SetDrill(name, drill string) error {
	settings := s.Partner(name)
	settings.Drill = drill
	return s.SetPartner(name, settings)
}

// RevokeTokens makes every access token of a partner invalid, as a partner that restarts may.
func (s *Server) RevokeTokens(name string) {
	if p, err := s.partner(name); err == nil {
		p.revokeTokens()
	}
}

// Stats reports how hard a partner was called since the start or the last Reset.
func (s *Server) Stats(name string) Stats {
	p, err := s.partner(name)
	if err != nil {
		return Stats{}
	}
	return p.gauge.snapshot()
}

// Log returns the requests in the order in which they were processed: all that memory holds, at most MaxEntries.
func (s *Server) Log() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.newest()
}

// HoneypotLog returns the requests that followed a redirect.
func (s *Server) HoneypotLog() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.honeypot.newest()
}

// Issued returns every fulfillment for which a key was issued, oldest first.
func (s *Server) Issued() []License {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.issued()
}

// Reset forgets requests, keys and figures, on disk too, and keeps the partners' settings.
func (s *Server) Reset() error {
	for _, p := range s.allPartners() {
		p.gauge.reset()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger = newLedger()
	return errors.Join(s.journal.reset(), s.honeypot.reset())
}

// partner finds a partner, or makes one that asks for nothing: a test can use any name.
func (s *Server) partner(name string) (*partner, error) {
	s.partnersMu.Lock()
	defer s.partnersMu.Unlock()
	if p := s.partners[name]; p != nil {
		return p, nil
	}
	if !partnerName.MatchString(name) {
		return nil, fmt.Errorf("emulator: %q cannot name a partner", name)
	}
	if len(s.partners) >= maxPartners {
		return nil, fmt.Errorf("emulator: more than %d partners", maxPartners)
	}
	p := &partner{name: name}
	s.partners[name] = p
	return p, nil
}

func (s *Server) allPartners() []*partner {
	s.partnersMu.Lock()
	defer s.partnersMu.Unlock()
	list := make([]*partner, 0, len(s.partners))
	for _, p := range s.partners {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *partner) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return list
}

package emulator

import (
	"crypto/rand"
	"sync"
	"time"
)

// partner is one name under /p/: its settings, its tokens and how hard it is being called.
type partner struct {
	name  string
	gauge gauge

	mu       sync.Mutex
	settings Settings
	tokens   map[string]accessToken
}

type accessToken struct {
	client  string
	expires time.Time
}

const maxTokens = 10_000

func (p *partner) get() Settings {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settings
}

// set replaces the settings. Tokens die with the credentials that they were issued for.
func (p *partner) set(s Settings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.ClientID != p.settings.ClientID || s.ClientSecret != p.settings.ClientSecret {
		p.tokens = nil
	}
	p.settings = s
}

func (p *partner) newToken(client string, ttl time.Duration) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for token, t := range p.tokens {
		if now.After(t.expires) || len(p.tokens) >= maxTokens {
			delete(p.tokens, token)
		}
	}
	if p.tokens == nil {
		p.tokens = map[string]accessToken{}
	}
	token := "emu-" + rand.Text()
	p.tokens[token] = accessToken{client: client, expires: now.Add(ttl)}
	return token
}

// tokenOwner is the client that a living access token was issued to, or "".
func (p *partner) tokenOwner(token string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.tokens[token]
	if !ok || time.Now().After(t.expires) {
		return ""
	}
	return t.client
}

func (p *partner) revokeTokens() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens = nil
}

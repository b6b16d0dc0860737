package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// The scopes of a token.
const (
	ScopeOrdersWrite  = "orders:write"
	ScopeOrdersRead   = "orders:read"
	ScopeCatalogWrite = "catalog:write"
	ScopeKeysWrite    = "keys:write"
	ScopeKeysRead     = "keys:read" // reveals keys
	ScopeOps          = "ops"
)

// Scopes are all of them.
var Scopes = []string{ScopeOrdersWrite, ScopeOrdersRead, ScopeCatalogWrite, ScopeKeysWrite, ScopeKeysRead, ScopeOps}

const bearer = "bearer"

// anyOf is the security of an operation that one of the scopes opens.
func anyOf(scopes ...string) []map[string][]string {
	var out []map[string][]string
	for _, s := range scopes {
		out = append(out, map[string][]string{bearer: {s}})
	}
	return out
}

// authenticate lets a request through to its operation if its token has one of the operation's scopes.
func (a *API) authenticate(ctx huma.Context, next func(huma.Context)) {
	c := callOf(ctx.Context())
	security := ctx.Operation().Security
	if len(security) == 0 {
		next(ctx)
		return
	}
	token, err := a.token(c.r)
	if err == nil {
		c.token = token
		err = hasScope(token, security)
	}
	if err != nil {
		a.refuse(c, err)
		return
	}
	next(ctx)
}

func hasScope(token db.Token, security []map[string][]string) error {
	var needed []string
	for _, alternative := range security {
		if slices.Contains(token.Scopes, alternative[bearer][0]) {
			return nil
		}
		needed = append(needed, alternative[bearer][0])
	}
	return keyturn.Errorf(keyturn.KindForbidden, "the token lacks the scope %s", strings.Join(needed, " or "))
}

// token finds out who the request is from.
func (a *API) token(r *http.Request) (db.Token, error) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if text == "" || !strings.EqualFold(scheme, "Bearer") || len(r.Header.Values("Authorization")) != 1 ||
		len(text) > 200 {
		return db.Token{}, keyturn.Errorf(keyturn.KindUnauthorized, "send a token in the header `Authorization: Bearer …`")
	}
	if a.DevToken != "" && subtle.ConstantTimeCompare([]byte(text), []byte(a.DevToken)) == 1 {
		return db.Token{Name: "dev", Scopes: Scopes}, nil
	}
	hash := sha256.Sum256([]byte(text))
	if token, ok := a.tokens.get(hash); ok {
		return token, nil
	}
	token, err := a.DB.TokenOf(r.Context(), text)
	if err == nil {
		a.tokens.put(hash, token)
	}
	return token, err
}

// tokenCache saves a query per request. A token that is withdrawn goes on for as long as an entry lives.
type tokenCache struct {
	mu      sync.Mutex
	entries map[[sha256.Size]byte]tokenEntry
}

type tokenEntry struct {
	token db.Token
	until time.Time
}

const (
	tokenLife = 10 * time.Second
	maxTokens = 10_000
)

func (t *tokenCache) get(hash [sha256.Size]byte) (db.Token, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.entries[hash]
	return e.token, ok && time.Now().Before(e.until)
}

func (t *tokenCache) put(hash [sha256.Size]byte, token db.Token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entries == nil || len(t.entries) >= maxTokens {
		t.entries = map[[sha256.Size]byte]tokenEntry{}
	}
	t.entries[hash] = tokenEntry{token, time.Now().Add(tokenLife)}
}

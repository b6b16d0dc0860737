package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strconv"
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
	// Checkout links and payments.
	ScopeCheckoutWrite = "checkout:write" // knows the addresses of checkout pages
	ScopeCheckoutRead  = "checkout:read"
	ScopeCustomersRead = "customers:read" // names and addresses in clear
)

// Scopes are all of them.
var Scopes = []string{
	ScopeOrdersWrite, ScopeOrdersRead, ScopeCatalogWrite, ScopeKeysWrite, ScopeKeysRead, ScopeOps, ScopeCheckoutWrite,
	ScopeCheckoutRead, ScopeCustomersRead,
}

const bearer = "bearer"

// anyOf is the security of an operation that one of the scopes opens.
func anyOf(scopes ...string) []map[string][]string {
	var out []map[string][]string
	for _, s := range scopes {
		out = append(out, map[string][]string{bearer: {s}})
	}
	return out
}

// authenticate lets a request through to its operation if its token has one of the operation's scopes, and what its
// path names is the token's.
func (a *API) authenticate(ctx huma.Context, next func(huma.Context)) {
	c := callOf(ctx.Context())
	security := ctx.Operation().Security
	if len(security) == 0 {
		next(ctx)
		return
	}
	client, err := a.client(c.r)
	if keyturn.KindOf(err) == keyturn.KindUnauthorized && c.r.Header.Get("Authorization") != "" {
		if wait := a.Throttle.Failed(c.r); wait > 0 {
			err = a.tooMany(c, wait, // right tokens are taken all the same
				"too many requests with wrong tokens came from this address: send the right one, or wait")
		}
	}
	if err == nil {
		c.client = client
		err = hasScope(client, security)
	}
	if err == nil {
		err = a.belongs(ctx.Context(), c, ctx.Operation(), ctx.Param("id"))
	}
	if err != nil {
		a.refuse(c, err)
		return
	}
	next(ctx)
}

// tooMany answers one request too many, such as one with a wrong token.
func (a *API) tooMany(c *call, wait time.Duration, why string) error {
	p := a.problem(c, keyturn.Errorf(keyturn.KindRateLimited, "%s", why))
	p.header.Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
	return p
}

func hasScope(client db.Client, security []map[string][]string) error {
	var needed []string
	for _, alternative := range security {
		if slices.Contains(client.Scopes, alternative[bearer][0]) {
			return nil
		}
		needed = append(needed, alternative[bearer][0])
	}
	return lacksScope(needed...)
}

func lacksScope(scopes ...string) error {
	return keyturn.Errorf(keyturn.KindForbidden, "the token lacks the scope %s", strings.Join(scopes, " or "))
}

// includesCustomer says whether the parameter include asks for personal data, which the token must be made for.
func (c *call) includesCustomer(include string) (bool, error) {
	switch {
	case include == "":
		return false, nil
	case include != "customer":
		return false, badRequest("include", "must be customer")
	case !c.may(ScopeCustomersRead):
		return false, lacksScope(ScopeCustomersRead)
	}
	return true, nil
}

// may says whether the request's token has the scope.
func (c *call) may(scope string) bool { return slices.Contains(c.client.Scopes, scope) }

// client finds out who the request is from.
func (a *API) client(r *http.Request) (db.Client, error) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if text == "" || !strings.EqualFold(scheme, "Bearer") || len(r.Header.Values("Authorization")) != 1 ||
		len(text) > 200 {
		return db.Client{}, keyturn.Errorf(keyturn.KindUnauthorized, "send a token in the header `Authorization: Bearer …`")
	}
	if a.DevToken != "" && subtle.ConstantTimeCompare([]byte(text), []byte(a.DevToken)) == 1 {
		return db.Client{Name: "dev", Scopes: Scopes}, nil
	}
	hash := sha256.Sum256([]byte(text))
	if client, ok := a.clients.get(hash); ok {
		return client, nil
	}
	client, err := a.DB.ClientOf(r.Context(), text)
	switch {
	case err == nil:
		a.clients.put(hash, client)
	case keyturn.KindOf(err) == keyturn.KindUnauthorized:
		a.clients.drop(hash)
	}
	return client, err
}

// clientCache saves a query per request. A token that is withdrawn goes on for as long as an entry lives.
type clientCache struct {
	mu      sync.Mutex
	entries map[[sha256.Size]byte]clientEntry
}

type clientEntry struct {
	client db.Client
	until  time.Time
}

// TokenLife is for how long a process goes on taking a token that was withdrawn.
const TokenLife = 5 * time.Second

const maxTokens = 10_000

func (t *clientCache) get(hash [sha256.Size]byte) (db.Client, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.entries[hash]
	return e.client, ok && time.Now().Before(e.until)
}

func (t *clientCache) put(hash [sha256.Size]byte, client db.Client) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entries == nil || len(t.entries) >= maxTokens {
		t.entries = map[[sha256.Size]byte]clientEntry{}
	}
	t.entries[hash] = clientEntry{client, time.Now().Add(TokenLife)}
}

func (t *clientCache) drop(hash [sha256.Size]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.entries, hash)
}

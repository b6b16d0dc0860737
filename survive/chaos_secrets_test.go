//go:build chaos

package survive_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/internal/testkit"
)

// canary is a secret or something personal that was planted where it belongs.
type canary struct{ what, text string }

// The canaries that the catalog and the orders bring in.
const (
	canaryPassword = "canary-basic-password-51"
	canaryBearer   = "canary-bearer-token-52"
	canaryFirst    = "Canaryfirst53"
	canaryLast     = "Canarylast54"
	canaryStreet   = "Canary Street 55"
	canaryDomain   = "@canary-buyer.test"
)

// canaries are all that this run has planted.
func (l *lab) canaries() []canary {
	dsn := l.postgres.DSN("keyturn")
	password := strings.TrimPrefix(dsn[strings.Index(dsn, "keyturn:"):strings.Index(dsn, "@")], "keyturn:")
	planted := []canary{
		{"password of a partner", canaryPassword},
		{"token of a partner", canaryBearer},
		{"token of the payment provider", roleToken},
		{"password of the database", password},
		{"token of the API", l.api.Token},
		{"secret of webhooks", hooksSecret},
		{"first name", canaryFirst},
		{"last name", canaryLast},
		{"street", canaryStreet},
		{"e-mail address", canaryDomain},
		{"pool's key", "CANARYPOOL-"},
	}
	return append(planted, l.partnersKeys()...)
}

// partnersKeys are some of those that partners have issued.
func (l *lab) partnersKeys() (out []canary) {
	text, err := os.ReadFile(filepath.Join(l.dir, "partner", "requests.jsonl"))
	require.NoError(l.t, err)
	for _, found := range issued.FindAllSubmatch(text, 40) {
		out = append(out, canary{"partner's key", string(found[1])})
	}
	require.NotEmpty(l.t, out)
	return out
}

var issued = regexp.MustCompile(`"keyIssued":"([^"]{8,})"`)

// scanForSecrets looks for every canary in every form in all that a stranger may get to see: logs of every process,
// Temporal's database with its histories, PostgreSQL's tables, metrics, error answers, e-mails to operations.
func (l *lab) scanForSecrets() {
	l.t.Helper()
	all := l.canaries()
	texts := l.searched()
	for where, text := range texts {
		for _, c := range all {
			if around := testkit.FindCanary(text, c.text); around != "" {
				l.tally.mu.Lock()
				l.tally.broken["G1"]++
				l.tally.mu.Unlock()
				l.t.Errorf("G1 violated: %s holds the %s: …%q…", where, c.what, around)
			}
		}
	}
	l.tally.add("places searched for planted secrets", int64(len(texts)))
	l.tally.checked["G1"] = true
	l.requirePlanted()
}

// searched are the places where no canary may be.
func (l *lab) searched() map[string]string {
	out := map[string]string{}
	read := func(name, path string) {
		text, err := os.ReadFile(path)
		if err == nil { // a write-ahead log comes and goes
			out[name] = string(text)
		}
	}
	for _, pattern := range []string{"*.log", "logs/*.log", "temporal.db*"} {
		files, err := filepath.Glob(filepath.Join(l.dir, pattern))
		require.NoError(l.t, err)
		for _, f := range files {
			read(filepath.Base(f), f)
		}
	}
	require.Contains(l.t, out, "temporal.db")
	read("what receivers of events got", filepath.Join(l.dir, "hooks.jsonl"))
	rows, err := l.direct.Query(`SELECT tablename FROM pg_tables WHERE schemaname = 'public'`)
	require.NoError(l.t, err)
	defer rows.Close()
	for rows.Next() {
		var table string
		require.NoError(l.t, rows.Scan(&table))
		out["table "+table] = l.tableText(table)
	}
	require.NoError(l.t, rows.Err())
	for _, path := range []string{
		"/metrics", "/v1/orders/no-such-order", "/v1/fulfillments/no-such", "/v1/pools/none",
		"/openapi.json",
	} {
		out["GET "+path] = l.get(path)
	}
	for name, text := range l.mailbox(func(to string) bool { return strings.Contains(to, "ops@shop.test") }) {
		out["e-mail to operations "+name] = text
	}
	return out
}

func (l *lab) tableText(table string) string {
	var text *string
	require.NoError(l.t, l.direct.QueryRow(`SELECT string_agg(t::text, E'\n') FROM `+table+` t`).Scan(&text))
	if text == nil {
		return ""
	}
	return *text
}

func (l *lab) get(path string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.api.BaseURL+path, http.NoBody)
	require.NoError(l.t, err)
	req.Header.Set("Authorization", "Bearer "+l.api.Token)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(l.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(l.t, err)
	return fmt.Sprint(resp.Header) + string(text)
}

// mailbox gives the e-mails to some, readable, with their envelope left out.
func (l *lab) mailbox(of func(head string) bool) map[string]string {
	out := map[string]string{}
	dir := filepath.Join(l.dir, "mailbox")
	files, err := os.ReadDir(dir)
	require.NoError(l.t, err)
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".eml" { // it is being written
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(l.t, err)
		head, letter, _ := bytes.Cut(text, []byte("\r\n"))
		if of(string(head)) {
			out[f.Name()] = string(letter) + (&site{t: l.t}).text(letter)
		}
	}
	return out
}

// requirePlanted: the canaries did come where they belong, so the scan looked for what was really there.
func (l *lab) requirePlanted() {
	l.t.Helper()
	letters := ""
	for _, text := range l.mailbox(func(head string) bool { return strings.Contains(head, canaryDomain) }) {
		letters += text
	}
	for _, want := range []string{"CANARYPOOL-", "EMU-", canaryFirst} {
		require.Contains(l.t, letters, want, "the customers' e-mails")
	}
	partner, err := os.ReadFile(filepath.Join(l.dir, "partner", "requests.jsonl"))
	require.NoError(l.t, err)
	require.Contains(l.t, string(partner), `"authUser":"canary-shop"`, "the partner was told who we are")
}

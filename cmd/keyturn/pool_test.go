package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/api"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/endpoint"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/notify"
	"keyturn.dev/keyturn/vault"
)

// poolShop is an API on a database of its own, which the commands find through their environment. Nothing else runs:
// the test does by hand what workflows and housekeeping do.
type poolShop struct {
	t     *testing.T
	x     *sql.DB
	d     *db.DB
	api   *client.Client
	dir   string
	mails activities.Letters

	sender *notify.Sender // of events
}

// noStarts starts nothing: Temporal is down.
type noStarts struct{}

func (noStarts) Enqueue([]db.Start) {}
func (noStarts) Wake()              {}

func newPoolShop(t *testing.T) *poolShop {
	t.Helper()
	s := &poolShop{t: t, x: auditedShop(t), dir: t.TempDir()}
	var err error
	s.d, err = databaseFromEnv().open(t.Context())
	require.NoError(t, err)
	s.sender = &notify.Sender{
		DB: s.d, Caller: endpoint.NewCaller(endpoint.Options{}), Logger: slog.New(slog.DiscardHandler),
	}
	t.Cleanup(func() { require.NoError(t, s.d.Close()) })
	s.api = &client.Client{BaseURL: s.serve(), Token: devToken}
	t.Setenv("KEYTURN_API", s.api.BaseURL)
	s.mails = activities.Letters{From: "keys@shop.test", PublicURL: "https://shop.test"}
	_, err = s.api.PutPool(t.Context(), keyturn.Pool{ID: "games", Threshold: 2}, false)
	require.NoError(t, err)
	_, err = s.api.PutProduct(t.Context(), keyturn.Product{
		ID: "game", Name: "Game",
		Sources: []keyturn.Source{{Type: keyturn.SourcePool, Pool: "games"}},
	}, false)
	require.NoError(t, err)
	return s
}

// serve starts an API on the shop's database, and gives its address.
func (s *poolShop) serve() string {
	server := httptest.NewServer(api.New(api.Config{
		Payments: []string{"sandbox"}, Processors: []string{"sandbox"}, TestWebhook: s.sender.Test,
		DB: s.d, Starter: noStarts{}, PublicURL: "https://shop.test", DevToken: devToken, Logger: slog.New(
			slog.DiscardHandler),
	}).Handler())
	s.t.Cleanup(server.Close)
	return server.URL
}

// file writes a file and gives its path.
func (s *poolShop) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	require.NoError(s.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// run is a command that succeeds.
func (s *poolShop) run(args ...string) string {
	s.t.Helper()
	out, err := execute(s.t, args...)
	require.NoError(s.t, err, out)
	return out
}

// into is a command's answer as JSON.
func into[T any](s *poolShop, args ...string) (v T) {
	s.t.Helper()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(io.Discard) // progress
	root.SetArgs(append(args, "--output", "json"))
	require.NoError(s.t, root.ExecuteContext(s.t.Context()))
	require.NoError(s.t, json.Unmarshal(out.Bytes(), &v), out.String())
	return v
}

// withInput runs a command that reads standard input.
func withInput(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetIn(strings.NewReader(input))
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	return out.String(), err
}

// sell accepts an order and delivers it, as its workflow does. It gives the fulfillment.
func (s *poolShop) sell() string {
	s.t.Helper()
	v, _, err := s.api.CreateOrder(s.t.Context(), rand.Text(), keyturn.Order{
		ID: rand.Text(), Currency: "EUR", Customer: keyturn.Customer{
			ID: "c", Email: "jean@buyer.test", Country: "FR",
			Locale: "fr-FR",
		},
		Payment:   keyturn.Payment{Provider: "sandbox", Reference: "pay"},
		LineItems: []keyturn.LineItem{{ProductID: "game", Quantity: 1, GrossPrice: "9.99"}},
	})
	require.NoError(s.t, err)
	return s.deliver(v.LineItems[0].FulfillmentID)
}

// deliver does what the line's workflow does, and gives the fulfillment.
func (s *poolShop) deliver(f string) string {
	s.t.Helper()
	_, err := s.d.Claim(s.t.Context(), f, s.mails.Render)
	require.NoError(s.t, err)
	mail, next, _, err := s.d.BeginDelivery(s.t.Context(), f, s.mails.Render)
	require.NoError(s.t, err)
	require.NotNil(s.t, mail, next)
	_, err = s.d.FinishDelivery(s.t.Context(), f, mail, nil, true)
	require.NoError(s.t, err)
	return f
}

func TestPoolImportShowsHowItReadTheFile(t *testing.T) {
	s := newPoolShop(t)
	export := s.file("export.csv", "note;Key;seats\nx;GAME-00001;1\n;GAME-00002;2\n;sold out;3\n")
	for _, args := range [][]string{{"--dry-run"}, nil} {
		out := s.run(append([]string{"pool", "import", "games", export, "--column", "key"}, args...)...)
		require.Contains(t, out, `3 rows below the header note, Key, seats, separated by ";"; the first key is GAM•-•••••`)
		require.Contains(t, out, "1 key looks unlike the rest")
		require.NotContains(t, out, "GAME-00001")
	}

	header := s.file("keys.csv", "License Key\nGAME-10001\nGAME-10002\n")
	for _, dry := range []string{"--dry-run=true", "--dry-run=false"} {
		_, err := execute(t, "pool", "import", "games", header, dry)
		require.ErrorContains(t, err, "header must be yes or no")
	}
	_, err := execute(t, "pool", "import", "games", header, "--header=perhaps")
	require.ErrorContains(t, err, "header must be yes or no")
	r := into[keyturn.ImportResult](s, "pool", "import", "games", header, "--header", "--dry-run")
	require.Equal(t, 2, r.Accepted)
	require.True(t, r.Preview.Header)
	require.Equal(t, []string{"License Key"}, r.Preview.Columns)
	r = into[keyturn.ImportResult](s, "pool", "import", "games", header, "--header=no")
	require.Equal(t, 3, r.Accepted)
}

// An order that is placed again is shown as it stands, not as it was when it was placed.
func TestOrderCreateShowsARepeatedOrderAsItStands(t *testing.T) {
	s := newPoolShop(t)
	s.run("pool", "import", "games", s.file("keys.txt", "K-1\nK-2\n"))
	order := s.file("order.json",
		`{"id": "ORD-1", "currency": "EUR", "payment": {"provider": "sandbox", "reference": "pay_1"},
		"customer": {"id": "user-1", "email": "jean@buyer.test", "country": "FR", "locale": "fr-FR"},
		"lineItems": [{"productId": "game", "quantity": 1, "grossPrice": "9.99"}]}`)
	require.Contains(t, s.run("order", "create", "-f", order), "PENDING")
	f := into[keyturn.OrderView](s, "order", "show", "ORD-1").LineItems[0].FulfillmentID
	s.deliver(f)
	out := s.run("order", "create", "-f", order)
	require.Contains(t, out, "placed before")
	require.Contains(t, out, "COMPLETED")
	require.NotContains(t, out, "PENDING")
}

func TestPoolImportSaysWhatBecameOfEachRow(t *testing.T) {
	s := newPoolShop(t)
	june := s.file("june.txt", "A-1\nA-2\nA-1\n\nA-3\n")
	out := s.run("pool", "import", "games", june, "--dry-run")
	require.Contains(t, out, "would import 3 keys")
	require.Contains(t, s.run("pool", "show", "games"), "available 0", "it was a dry run")

	out = s.run("pool", "import", "games", june)
	require.Contains(t, out, "imported 3 keys as batch ")
	require.Contains(t, out, "1 not taken: duplicate_in_file")
	require.Contains(t, out, "line 3: duplicate_in_file")
	again := into[keyturn.ImportResult](s, "pool", "import", "games", june)
	require.Zero(t, again.Accepted)
	require.Equal(t, map[string]int{"duplicate_in_file": 1, "duplicate_in_pool": 3}, again.Counts)

	s.sell()
	july := s.file("july.csv", "id;Key;until\n1;A-1;\n2;B-1;2999-01-31\n3;B-2;2001-01-31\n")
	out, err := execute(t, "pool", "import", "games", july, "--column", "key", "--expiry-column", "until")
	require.ErrorContains(t, err, "july.csv")
	require.ErrorContains(t, err, "line 4")
	require.NotContains(t, out+err.Error(), "B-", "keys are in no message")
	out = s.run("pool", "import", "games", july, "--column", "key", "--expiry-column", "until", "--skip-bad")
	require.Contains(t, out, "imported 1 key")
	require.Contains(t, out, "1 not taken: already_sold")
	require.Contains(t, out, "1 not taken: expired")

	out, err = withInput(t, "C-1\nC-2\n", "pool", "import", "games", "-")
	require.NoError(t, err, out)
	require.Contains(t, out, "-: imported 2 keys")
}

// What is no file of keys is refused with the line and the reason, and nothing of it is stored.
func TestPoolImportRefusesWhatIsNoFileOfKeys(t *testing.T) {
	s := newPoolShop(t)
	_, err := s.api.PutPool(t.Context(), keyturn.Pool{ID: "strict", Pattern: `[A-Z]-[0-9]+`}, false)
	require.NoError(t, err)
	for _, c := range []struct {
		pool, name, text string
		want             []string
	}{
		{"games", "empty.txt", "", []string{"the file holds no key"}},
		{"games", "blank.txt", "\n \n\r\n", []string{"the file holds no key"}},
		{"games", "utf16.txt", "\xff\xfeA\x00-\x001\x00\n\x00", []string{"line 1", "UTF-16", "UTF-8"}},
		{"games", "utf16-without-mark.txt", "A\x00-\x001\x00\n\x00", []string{"line 1", "NUL"}},
		{"games", "picture.txt", "A-1\n\x89PNG\r\n\x1a\n\x00\x00", []string{"line 2", "UTF-8"}},
		{"games", "latin1.txt", "A-1\nA-2\nstra\xdfe\n", []string{"line 3", "UTF-8"}},
		{"games", "long.txt", "A-1\n" + strings.Repeat("x", 10<<20) + "\nA-2\n", []string{"line 2", "too_long"}},
		{"games", "cut.csv", "A-1\n\"A-2", []string{"line 2", "quote"}},
		{"strict", "other-list.txt", "A-1\nwrong\nA-2\n", []string{"line 2", "pattern"}},
	} {
		out, err := execute(t, "pool", "import", c.pool, s.file(c.name, c.text))
		require.Error(t, err, c.name)
		for _, want := range append(c.want, c.name, "nothing was stored") {
			require.ErrorContains(t, err, want, out)
		}
		t.Logf("%s\n%v", c.name, err)
	}
	var keys, batches int
	require.NoError(t, s.x.QueryRow(`SELECT (SELECT count(*) FROM pool_keys), (SELECT count(*) FROM batches)`).Scan(&keys,
		&batches))
	require.Zero(t, keys+batches)
}

func TestPoolUndoTakesAnImportBack(t *testing.T) {
	s := newPoolShop(t)
	list := s.file("list.txt", "A\nB\n")
	batch := into[keyturn.ImportResult](s, "pool", "import", "games", list).BatchID
	require.Contains(t, s.run("pool", "undo", "games", batch), "undone: 2 keys withdrawn")
	require.Contains(t, s.run("pool", "batch", "games", batch), "undone")
	require.Contains(t, s.run("pool", "show", "games"),
		"available 0, claimed 0, delivered 0, quarantined 0, recalled 0, expired 0, withdrawn 2")

	batch = into[keyturn.ImportResult](s, "pool", "import", "games", list).BatchID
	require.NotEmpty(t, batch, "the same file can be imported again")
	s.sell()
	_, err := execute(t, "pool", "undo", "games", batch)
	require.ErrorContains(t, err, "were sold or put aside (1)")
	require.ErrorContains(t, err, "recall it instead")
	_, err = execute(t, "pool", "undo", "games", "nonsense")
	require.ErrorContains(t, err, "no batch of this ID")
}

func TestPoolRecallShowsItsProgress(t *testing.T) {
	s := newPoolShop(t)
	batch := into[keyturn.ImportResult](s, "pool", "import", "games", s.file("bad.txt", "BAD-1\nBAD-2\nBAD-3\n")).BatchID
	first, second := s.sell(), s.sell()
	_, err := execute(t, "pool", "recall", "games", batch)
	require.ErrorContains(t, err, "reason")
	out := s.run("pool", "recall", "games", batch, "--reason", "the list was published", "--replace")
	require.Contains(t, out, "recalled: the list was published")
	require.Contains(t, out, "sold 2: 0 replaced, 2 still to be replaced, 0 that need none")
	require.Contains(t, out, first)
	require.Contains(t, out, second)

	s.run("pool", "import", "games", s.file("good.txt", "GOOD-1\n"))
	n, err := s.d.ReplaceOwed(t.Context(), 10, s.mails.Render)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	v := into[keyturn.BatchDetail](s, "pool", "batch", "games", batch)
	require.Equal(t, []int{2, 1, 1}, []int{v.Recall.Sold, v.Recall.Replaced, v.Recall.Owed})
	require.True(t, v.Recall.Complete)
	require.Contains(t, s.run("pool", "batch", "games", batch), "sold 2: 1 replaced, 1 still to be replaced")
	require.Contains(t, s.run("pool", "recall", "games", batch, "--reason", "again", "--wait", "1s"),
		"still to be replaced", "again is no mistake")
}

// One key: its life, putting it aside, replacing it. The key is read from standard input and is in no answer.
func TestPoolKeyQuarantineAndReplace(t *testing.T) {
	s := newPoolShop(t)
	s.run("pool", "import", "games", s.file("list.txt", "SOLD-1\nUNSOLD-1\nSPARE-1\n"))
	f := s.sell()
	key := func(input string, args ...string) string {
		t.Helper()
		out, err := withInput(t, input, append([]string{"pool"}, args...)...)
		require.NoError(t, err, out)
		require.NotContains(t, out, strings.TrimSpace(input))
		return out
	}
	out := key("\uFEFFSOLD-1\r\n", "key", "games")
	require.Contains(t, out, "delivered in pool games")
	require.Contains(t, out, f)

	require.Contains(t, key("UNSOLD-1\n", "quarantine", "games", "--reason", "does not activate"),
		"quarantined by dev: does not activate")
	_, err := withInput(t, "UNSOLD-1", "pool", "replace", "games", "--reason", "leaked")
	require.ErrorContains(t, err, "only a sold one can be replaced")
	_, err = withInput(t, "SOLD-1", "pool", "quarantine", "games", "--reason", "leaked")
	require.ErrorContains(t, err, "a sold one is replaced")
	_, err = withInput(t, "NONE-1", "pool", "key", "games")
	require.ErrorContains(t, err, "no such key")
	_, err = withInput(t, "", "pool", "key", "games")
	require.ErrorContains(t, err, "must be one key of the pool")

	key("SOLD-1", "replace", "games", "--reason", "posted in a forum")
	n, err := s.d.ReplaceOwed(t.Context(), 10, s.mails.Render)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Contains(t, key("SOLD-1", "key", "games"), "recalled    by dev: posted in a forum")
	require.Contains(t, key("SPARE-1", "key", "games"), "replaces another key")
}

// Keys are encrypted with the file that the shop was written with: after a rotation that is the new one, and with
// another one no process starts.
func TestKeysAreRotatedWhileTheShopRuns(t *testing.T) {
	s := newPoolShop(t)
	file := os.Getenv("KEYTURN_KEYS")
	s.run("pool", "import", "games", s.file("list.txt", "A\nB\nC\n"))
	s.sell()
	require.Contains(t, s.run("keys", "rotate", file), "has a new key")
	uses := into[[]db.KeyUse](s, "keys", "show")
	require.Len(t, uses, 2)
	_, err := execute(t, "keys", "retire", file)
	require.ErrorContains(t, err, "run `keyturn keys rewrap` first")

	require.Contains(t, s.run("keys", "rewrap"), "data keys rewrapped")
	require.Contains(t, s.run("keys", "rewrap"), "0 data keys rewrapped", "it can be repeated")
	s.sell() // the process that has read the file before goes on
	require.Contains(t, s.run("keys", "retire", file), "removed 1 old key")
	uses = into[[]db.KeyUse](s, "keys", "show")
	require.Len(t, uses, 1)
	require.True(t, uses[0].Primary)
	require.Positive(t, uses[0].Wraps)
	s.sell()
	again, err := databaseFromEnv().open(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, again.Close()) }()
	require.NoError(t, again.CheckKeys(t.Context()), "a process that starts with the new file")

	_, err = execute(t, "keys", "create", file)
	require.ErrorContains(t, err, "file exists", "a key file is never overwritten")
}

func TestProcessesRefuseToStartWithWrongKeys(t *testing.T) {
	s := newPoolShop(t)
	s.run("pool", "import", "games", s.file("list.txt", "A\n"))
	dsn, file := os.Getenv("KEYTURN_DATABASE_URL"), os.Getenv("KEYTURN_KEYS")
	other, none := filepath.Join(s.dir, "other.json"), filepath.Join(s.dir, "none.json")
	require.NoError(t, vault.CreateKeys(other))
	damaged := s.file("damaged.json", `{"hashKey":"AAAA"}`)
	for _, command := range []string{"api", "worker"} {
		for path, want := range map[string]string{
			other:   "not the one that this database was written with",
			none:    "cannot be read: give the file that this database was written with",
			damaged: "is damaged: restore it from its backup",
		} {
			set(t, map[string]string{"KEYTURN_DATABASE_URL": dsn, "KEYTURN_KEYS": path})
			_, err := execute(t, command)
			require.ErrorContains(t, err, want, command)
			require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
		}
		require.NoFileExists(t, none, "production makes no keys by itself")
	}
	// A file with the right hash key and a key-encryption key too few.
	t.Setenv("KEYTURN_KEYS", file)
	require.NoError(t, vault.RotateKeys(file))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	s.run("keys", "rewrap")
	s.run("keys", "retire", file)
	require.NoError(t, vault.RotateKeys(file))
	s.run("keys", "rewrap")
	lost := s.file("lost.json", string(text))
	set(t, map[string]string{"KEYTURN_DATABASE_URL": dsn, "KEYTURN_KEYS": lost})
	_, err = execute(t, "worker")
	require.ErrorContains(t, err, "or it lost a key")
}

// `keyturn dev` makes a key file for a new database, and none in place of one that was lost.
func TestDevMakesKeysForANewDatabaseOnly(t *testing.T) {
	s := newPoolShop(t)
	var out strings.Builder
	c := config{DatabaseURL: os.Getenv("KEYTURN_DATABASE_URL"), KeysFile: filepath.Join(s.dir, "keys.json")}
	err := ensureKeys(t.Context(), c, &out)
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
	require.ErrorContains(t, err, c.KeysFile+" is missing")
	require.ErrorContains(t, err, "restore the file, or start over")
	require.NoFileExists(t, c.KeysFile)
	require.Empty(t, out.String())

	text, err := os.ReadFile(os.Getenv("KEYTURN_KEYS"))
	require.NoError(t, err)
	s.file("keys.json", string(text))
	require.NoError(t, ensureKeys(t.Context(), c, &out), "the file is back")
	require.Empty(t, out.String())

	fresh := config{DatabaseURL: testkit.Postgres(t, "empty", func(string) error {
		return nil
	}), KeysFile: filepath.Join(s.dir, "new.json")}
	require.NoError(t, ensureKeys(t.Context(), fresh, &out), "a database that has no tables yet")
	require.FileExists(t, fresh.KeysFile)
	require.Contains(t, out.String(), "secrets in the database cannot be decrypted without this file")
	require.NoError(t, os.Remove(fresh.KeysFile))
	_, err = db.Migrate(t.Context(), fresh.DatabaseURL)
	require.NoError(t, err)
	require.NoError(t, ensureKeys(t.Context(), fresh, &out), "nothing was encrypted with the file that is gone")
}

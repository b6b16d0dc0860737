package survive_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack"
)

// postgresProgram runs one of PostgreSQL's own programs.
func postgresProgram(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
		require.NotEmpty(t, found, "%s is not installed", name)
		path = found[len(found)-1]
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", name, out)
}

// baseBackup copies a running server's data to a folder.
func baseBackup(t *testing.T, pg *devstack.Postgres, to string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(to))
	postgresProgram(t, filepath.Dir(to), "pg_basebackup", "--dbname="+pg.DSN("postgres"), "--pgdata="+to,
		"--checkpoint=fast", "--wal-method=stream", "--no-sync")
}

// restoreBase puts the copy in the place of the data of a server that has ended.
func restoreBase(t *testing.T, pg *devstack.Postgres, from string) {
	t.Helper()
	data := filepath.Join(pg.Home(), "data")
	require.NoError(t, os.RemoveAll(data))
	out, err := exec.CommandContext(t.Context(), "cp", "-a", from, data).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

var startTime = regexp.MustCompile(`(?m)^START TIME: (.*)$`)

// startOf is when a base backup began, as it says itself.
func startOf(t *testing.T, backup string) time.Time {
	t.Helper()
	label, err := os.ReadFile(filepath.Join(backup, "backup_label"))
	require.NoError(t, err)
	found := startTime.FindSubmatch(label)
	require.NotNil(t, found, "%s", label)
	at, err := time.Parse("2006-01-02 15:04:05 MST", string(found[1]))
	require.NoError(t, err)
	return at
}

// A base backup is taken while orders come in, and restored after others have come. Nobody says when it was made: no
// key goes to two customers, nobody gets more than was bought, and every line comes to its end.
func TestRestoredFromABaseBackup(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.startKeyturn("worker-1")
	l := newLoad(s, true)
	products := []string{"editor", "studio", "editor"}
	orders := make([]keyturn.Order, 45)
	for i := range orders {
		orders[i] = keyturn.Order{
			ID: fmt.Sprintf("BASE-%04d", i), Currency: "EUR", Payment: keyturn.Payment{Provider: "sandbox", Reference: "pay"},
			Customer: keyturn.Customer{
				ID: "user-1", Email: fmt.Sprintf("base-%04d@buyer.test", i), Country: "FR", Locale: "en",
			},
			LineItems: []keyturn.LineItem{{ProductID: products[i%3], Quantity: 1, GrossPrice: "9.99"}},
		}
	}
	var shopping sync.WaitGroup
	const during = 30
	shopping.Go(func() { l.place(orders[:during], 3*time.Second) })
	s.within(time.Minute, "orders come in", func() string {
		if l.acknowledged() < 10 {
			return "too few"
		}
		return ""
	})
	backup := filepath.Join(s.dir, "base-backup")
	baseBackup(t, s.postgres, backup)
	ended := time.Now()
	shopping.Wait()
	l.place(orders[during:], time.Second)
	s.within(time.Minute, "e-mails arrive", func() string { // also with keys that the backup has for sale
		if n := len(s.inbox.Messages()); n < len(orders)-5 {
			return fmt.Sprint(n)
		}
		return ""
	})

	for _, name := range []string{"api", "worker-1", "postgres"} {
		s.kill(name)
	}
	restoreBase(t, s.postgres, backup)
	s.restart("postgres")
	var done db.Restored
	require.NoError(t, json.Unmarshal([]byte(must(t, s.env, "restored", "--output", "json")), &done))
	var since time.Time
	require.NoError(t, s.sql.QueryRow(`SELECT since FROM restores`).Scan(&since))
	require.WithinRange(t, since, startOf(t, backup).Add(-10*time.Second), ended, "its time is the backup's")
	// The last few may not have been started before the end, and Temporal knows nothing of those.
	require.GreaterOrEqual(t, len(done.Missing), len(orders)-during-5)
	t.Logf("the backup began at %s, knows of nothing after %s, and ended at %s: %+v", startOf(t, backup), since,
		ended.UTC(), done)

	s.restart("api")
	s.ready()
	_, err := s.api.ImportKeys(t.Context(), "editor-keys", strings.NewReader(numbered("POOL-9%05d\n", len(orders))),
		client.ImportOptions{})
	require.NoError(t, err)
	s.restart("worker-1")
	for _, o := range orders { // the order system sends all again that it sent since
		l.one(o)
	}
	s.settleHeld()
	s.quiesce(quietWithin)
	s.requireOneKeyEach(orders)
}

// numbered are the lines of a format, one for each number.
func numbered(format string, n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, format, i)
	}
	return out.String()
}

// settleHeld decides on lines of one unit that a restore holds, as people do: a key that was mailed is the line's, and
// where none was the line goes on.
func (s *site) settleHeld() {
	s.t.Helper()
	for {
		var line, order string
		if err := s.sql.QueryRow(`SELECT fulfillment_id, order_id FROM line_items WHERE status = 'HELD' LIMIT 1`).
			Scan(&line, &order); err != nil {
			return
		}
		decision := keyturn.ResolutionRequest{Action: keyturn.ActionRelease, Reason: "no e-mail"}
		if keys := s.mailedTo(order); len(keys) > 0 {
			decision = keyturn.ResolutionRequest{Action: keyturn.ActionSupply, Keys: keys, Reason: "mailed"}
		}
		_, err := s.api.Resolve(s.t.Context(), line, decision)
		require.NoError(s.t, err)
	}
}

// mailedTo are the keys that an order's customer was mailed.
func (s *site) mailedTo(order string) (keys []string) {
	s.t.Helper()
	for _, m := range s.inbox.Messages() {
		if !slices.Equal(m.To, []string{strings.ToLower(order) + "@buyer.test"}) {
			continue
		}
		raw, ok := s.inbox.Raw(m.ID)
		require.True(s.t, ok)
		keys = append(keys, keyPattern.FindAllString(s.text(raw), -1)...)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// requireOneKeyEach: every order is delivered, with one key that is nobody else's.
func (s *site) requireOneKeyEach(orders []keyturn.Order) {
	s.t.Helper()
	owners := map[string]string{}
	for _, o := range orders {
		view, err := s.api.Order(s.t.Context(), o.ID)
		require.NoError(s.t, err)
		require.Equal(s.t, keyturn.OrderCompleted, view.Status, o.ID)
		keys := s.mailedTo(o.ID)
		require.Len(s.t, keys, 1, "%s: %v", o.ID, keys)
		require.Empty(s.t, owners[keys[0]], "%s has the key of another", o.ID)
		owners[keys[0]] = o.ID
	}
}

//go:build chaos

package survive_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/db"
)

// restored is the fault of a database that was restored from a backup taken while orders came in, which is older than
// what the world has seen.
const (
	restored     = "PostgreSQL: restored from a dump"
	restoredBase = "PostgreSQL: restored from a base backup"
)

// bookless are the invariants that say that what the world has seen is booked. After a restore some of it is not, and
// that is what they say; what happened to each order is then judged by the world's own records (requireNothingTwice).
var bookless = []string{"B4", "C1", "C2", "C3", "C4", "D2", "D4", "D5", "E3", "E4"}

// An installation of its own is restored restoresEach times from either kind of backup, and there is one for
// restoredPer seeds: 50 for twenty.
const (
	restoresEach = 10
	restoredPer  = 4
)

// restores restores the database several times, each time with orders under way, and goes through the procedure of
// docs/run/operating.md. It has an installation of its own, because afterwards the books alone do not tell the whole
// story.
func (l *lab) restores() {
	l.t.Helper()
	for i := range 2 * restoresEach {
		l.restoreOnce(i)
	}
	l.auditAtRest(func(id string) bool { return slices.Contains(bookless, id) })
	l.requireNothingTwice()
	l.checkReceivers()
}

func (l *lab) restoreOnce(no int) {
	l.t.Helper()
	stop := make(chan struct{})
	var shopping sync.WaitGroup
	shopping.Go(func() { l.load.shop(stop, 1+no) })
	time.Sleep(2 * time.Second)
	kind, backup := restored, l.dump
	if no%2 == 1 {
		kind, backup = restoredBase, l.baseBackup
	}
	since := time.Now()
	restore := backup()
	time.Sleep(4 * time.Second)
	inFlight := l.at(effects(toPostgres), l.proxies[toPostgres]...)
	for _, name := range keyturns {
		l.parts[name].kill()
	}
	begun := time.Now()
	restore()
	said, errs, code := command(l.t, l.env, "restored", "--output", "json")
	for try := 1; code != 0 && try < 5; try++ { // Temporal did not answer in time: whoever restores tries again
		l.note("keyturn restored is repeated: %s", errs)
		said, errs, code = command(l.t, l.env, "restored", "--output", "json")
	}
	require.Zero(l.t, code, errs)
	var done db.Restored
	require.NoError(l.t, json.Unmarshal([]byte(said), &done), said)
	for _, name := range keyturns {
		l.parts[name].start()
	}
	l.ready()
	close(stop)
	shopping.Wait()
	l.stockUp(fmt.Sprintf("CANARYPOOL-%d", no), labKeys)
	l.sendAgain(since)
	settled := l.settleHeld()
	l.quiesce(time.Now())
	l.tally.fault(kind, inFlight)
	l.tally.add("lines that people settled after a restore", int64(settled))
	l.tally.add("orders sent again after a restore", int64(len(done.Missing)))
	l.note("%-45s in flight: %-5v took %s: %s", kind, inFlight, seconds(time.Since(begun)),
		strings.Join(strings.Fields(said), " "))
}

// dump takes a backup by pg_dump, and gives what restores it.
func (l *lab) dump() (restore func()) {
	l.t.Helper()
	path := filepath.Join(l.dir, "backup.dump")
	postgresProgram(l.t, l.dir, "pg_dump", "--format=custom", "--file="+path, l.current().postgres.DSN("keyturn"))
	return func() {
		l.t.Helper()
		admin := l.current().postgres.DSN("postgres")
		postgresProgram(l.t, l.dir, "psql", admin, "-qc", "DROP DATABASE keyturn WITH (FORCE)",
			"-c", "CREATE DATABASE keyturn")
		postgresProgram(l.t, l.dir, "pg_restore", "--dbname="+l.current().postgres.DSN("keyturn"), path)
	}
}

// baseBackup takes one by pg_basebackup, and gives what restores it.
func (l *lab) baseBackup() (restore func()) {
	l.t.Helper()
	path := filepath.Join(l.dir, "base-backup")
	baseBackup(l.t, l.current().postgres, path)
	return func() {
		l.t.Helper()
		l.parts["postgres"].kill()
		restoreBase(l.t, l.current().postgres, path)
		l.parts["postgres"].start()
	}
}

// sendAgain is what the order system does after a restore: it repeats all that it sent since.
func (l *lab) sendAgain(since time.Time) {
	l.load.mu.Lock()
	placed := slices.Clone(l.load.placed)
	l.load.mu.Unlock()
	for _, p := range placed {
		if p.at.After(since.Add(-time.Second)) {
			l.load.send(p.order)
		}
	}
}

// settleHeld does what a person does with each line that a restore holds: the keys that are in the customer's e-mail
// are the line's, and where there is none the line goes on.
func (l *lab) settleHeld() (n int) {
	l.t.Helper()
	for failed := 0; ; {
		var line, order string
		var no, units int
		err := l.direct.QueryRow(`
			SELECT l.fulfillment_id, l.order_id, l.quantity, (SELECT count(*) FROM line_items b WHERE b.order_id = l.order_id
				AND b.position < l.position AND b.product_id = l.product_id)
			FROM line_items l JOIN alerts a ON a.line_id = l.id AND a.cause = 'Restored' AND a.closed_at IS NULL
				WHERE l.status = 'HELD' LIMIT 1`).Scan(&line, &order, &units, &no)
		if err != nil {
			return n
		}
		n++
		args := []string{"resolve", line, "release"}
		if keys := l.mailedKeys(order, line, units); len(keys) > 0 {
			path := filepath.Join(l.dir, "found.txt")
			require.NoError(l.t, os.WriteFile(path, []byte(strings.Join(keys, "\n")), 0o600))
			args = []string{"resolve", line, "supply", "--keys", path}
		}
		if _, errs, code := command(l.t, l.env, append(args, "--reason", "settled after the restore")...); code != 0 {
			if failed++; failed == 20 {
				l.t.Fatalf("people cannot decide: %s", errs)
			}
			n-- // Temporal or a worker took too long: whoever decides tries again
		}
	}
}

var keyInLetter = regexp.MustCompile(`(CANARYPOOL(?:-\d+)?-\d{6}|EMU-[0-9A-Z-]+|[0-9A-Za-z._:/-]*/activate/[0-9A-Za-z-]+)`)

// keysOfLetters gives, by the order's address, the sets of keys of its letters.
func (l *lab) keysOfLetters() map[string][][]string {
	out := map[string][][]string{}
	dir := filepath.Join(l.dir, "mailbox")
	files, err := os.ReadDir(dir)
	require.NoError(l.t, err)
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".eml" { // it is being written
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(l.t, err)
		head, letter, _ := strings.Cut(string(text), "\r\n")
		to := chaosAddress.FindString(head)
		if to == "" {
			continue
		}
		found := keyInLetter.FindAllString((&site{t: l.t}).text([]byte(letter)), -1)
		slices.Sort(found)
		if found = slices.Compact(found); len(found) > 0 {
			out[strings.ToUpper(strings.TrimSuffix(to, canaryDomain))] = append(out[strings.ToUpper(strings.TrimSuffix(to,
				canaryDomain))], found)
		}
	}
	return out
}

var chaosAddress = regexp.MustCompile(`chaos-\d+` + regexp.QuoteMeta(canaryDomain))

// mailedKeys gives the keys of a letter to an order's customer that no line of it has: those are the line's.
func (l *lab) mailedKeys(order, line string, units int) []string {
	for _, keys := range l.keysOfLetters()[order] {
		if len(keys) != units {
			continue
		}
		if !slices.ContainsFunc(keys, func(k string) bool { return l.hasKey(line, k) }) {
			return keys
		}
	}
	return nil
}

// hasKey says whether a line other than this one has the key.
func (l *lab) hasKey(line, key string) bool {
	fingerprint := l.books.Fingerprint(key)
	var has bool
	require.NoError(l.t, l.direct.QueryRow(`
		SELECT EXISTS (SELECT FROM deliverables WHERE fingerprint = $1)
			OR EXISTS (SELECT FROM pool_keys WHERE fingerprint = $1 AND line_id IS NOT NULL)`, fingerprint).Scan(&has))
	return has
}

// requireNothingTwice judges by what is outside of the database: every order that was acknowledged is there and
// decided; no key went to two customers; no customer has more keys than were bought; each line that is cancelled was
// paid back once.
func (l *lab) requireNothingTwice() {
	l.t.Helper()
	letters, paid, owners := l.keysOfLetters(), l.paidBack(), map[string]string{}
	for _, p := range l.load.placed {
		o := p.order
		var lines, canceled int
		var owed int64
		require.NoError(l.t, l.direct.QueryRow(`
			SELECT count(*) FILTER (WHERE status IN ('DELIVERED', 'CANCELED')), count(*) FILTER (WHERE status = 'CANCELED'),
				coalesce(sum(gross_minor) FILTER (WHERE status = 'CANCELED'), 0)
			FROM line_items WHERE order_id = $1`, o.ID).Scan(&lines, &canceled, &owed))
		if lines != len(o.LineItems) {
			l.t.Errorf("a restore lost something of order %s: %d of %d lines are decided", o.ID, lines, len(o.LineItems))
		}
		if o.Payment.Provider == "till" && paid[o.ID] != owed {
			l.t.Errorf("order %s is owed %d for what was cancelled, and its payment provider paid back %d", o.ID, owed,
				paid[o.ID])
		}
		bought, got := 0, map[string]bool{}
		for _, line := range o.LineItems {
			bought += line.Quantity
		}
		for _, keys := range letters[o.ID] {
			for _, k := range keys {
				got[k] = true
				if owner, ok := owners[k]; ok && owner != o.ID {
					l.t.Errorf("a key went to two customers: those of %s and %s", owner, o.ID)
				}
				owners[k] = o.ID
			}
		}
		if len(got) > bought {
			l.t.Errorf("the customer of %s bought %d and got %d keys", o.ID, bought, len(got))
		}
		if len(got) == 0 && canceled < lines {
			l.t.Errorf("the customer of %s got nothing for what is delivered", o.ID)
		}
	}
	l.tally.add("orders judged by the world's records after restores", int64(len(l.load.placed)))
}

// paidBack adds up what the payment provider paid back, by order.
func (l *lab) paidBack() map[string]int64 {
	text, err := os.ReadFile(filepath.Join(l.dir, "payments.jsonl"))
	require.NoError(l.t, err)
	out, seen := map[string]int64{}, map[string]bool{}
	for line := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n") {
		var e struct {
			Op          string `json:"op"`
			OrderID     string `json:"orderId"`
			AmountMinor int64  `json:"amountMinor"`
			Applied     bool   `json:"applied"`
			Key         string `json:"key"`
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Op == "refund" && e.Applied && !seen[e.Key] {
			seen[e.Key] = true
			out[e.OrderID] += e.AmountMinor
		}
	}
	return out
}

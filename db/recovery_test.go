package db

import (
	"crypto/rand"
	"database/sql"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/vault"
)

// backup copies the database as it is now, and gives the copy's address.
func (s *shop) backup(t *testing.T) string {
	t.Helper()
	require.NoError(t, s.Close())
	u, err := url.Parse(s.dsn)
	require.NoError(t, err)
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	admin, err := sql.Open("postgres", u.String())
	require.NoError(t, err)
	defer admin.Close()
	_, err = admin.ExecContext(s.ctx, `CREATE DATABASE `+name+`_backup TEMPLATE `+name)
	require.NoError(t, err)
	t.Cleanup(func() {
		again, err := sql.Open("postgres", u.String())
		if err == nil {
			_, _ = again.Exec(`DROP DATABASE IF EXISTS ` + name + `_backup WITH (FORCE)`)
			_ = again.Close()
		}
	})
	s.DB = s.open(t, s.dsn)
	u.Path = "/" + name + "_backup"
	return u.String()
}

// restore goes on with a copy of before; what happened since is lost.
func (s *shop) restore(t *testing.T, dsn string) {
	t.Helper()
	require.NoError(t, s.Close())
	s.dsn, s.DB = dsn, s.open(t, dsn)
}

// happened is what the workflow of a line would say.
func (s *shop) happened(fulfillment, source string, status keyturn.LineStatus) WorkflowOutcome {
	return WorkflowOutcome{
		FulfillmentID: fulfillment, LineID: s.lineID(fulfillment), Source: source, Status: status,
		OrderID:   read[string](s, `SELECT order_id FROM line_items WHERE fulfillment_id = $1`, fulfillment),
		ProductID: read[string](s, `SELECT product_id FROM line_items WHERE fulfillment_id = $1`, fulfillment),
	}
}

func (s *shop) refundedByHand(fulfillment string) {
	s.resolve(fulfillment, keyturn.ActionRefund)
	s.refunded(fulfillment)
}

// What happened between the backup and the restore is neither done twice nor lost.
func TestRestoredDoesNothingTwiceAndLosesNothing(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.product("app", fromEndpoint("acme"))
	s.stock("p", keysNamed("OLD", 20)...)
	one := func(id, product string) string { return s.order(id, lineOf(product, 1))[0] }
	sold, sick := one("sold", "game"), one("sick", "app")
	idle := one("idle", "app")
	waits := one("waits", "game") // its workflow has not begun
	since := time.Now()
	backup := s.backup(t)

	s.claimed(sold)
	s.delivered(sold)
	require.Equal(t, []string{"OLD-00000"}, s.keysOf(sold))
	s.finishCall(sick, answered(s.beginCall(sick), "SICK-KEY"))
	s.refundedByHand(sick)
	lost, gone := one("lost", "game"), one("gone", "app")
	s.claimed(lost)
	s.delivered(lost)
	s.refundedByHand(gone)
	all := []WorkflowOutcome{
		s.happened(sold, "pool/p", keyturn.LineDelivered), s.happened(sick, "endpoint/acme", keyturn.LineCanceled),
		s.happened(idle, "endpoint/acme", ""),
		s.happened(lost, "pool/p", keyturn.LineDelivered), s.happened(gone, "endpoint/acme", keyturn.LineCanceled),
	}
	s.restore(t, backup)
	r, err := s.Restored(s.ctx, since, 0, all)
	require.NoError(t, err)
	require.Equal(t, Restored{Keys: 20, Refunded: 1, Held: 1, Woken: 4, Missing: []string{"lost", "gone"}}, r)

	require.Equal(t, keyturn.LineHeld, s.status(sold),
		"its key is in the customer's mailbox, and this database does not know which")
	require.Contains(t, read[string](s, `SELECT detail FROM alerts WHERE cause = 'Restored'`), "its workflow delivered it")
	require.NoError(t, s.StageSupply(s.ctx, sold, "", []string{"OLD-00000"}), "a person sees it in the e-mail")
	s.resolve(sold, keyturn.ActionSupply)
	s.delivered(sold)
	require.Equal(t, keyturn.LineCanceling, s.status(sick))
	require.Equal(t, 1, s.count(`revocations WHERE status = 'OWED'`),
		"what its partner issued is taken back, although this database has no call")
	s.refunded(sick)
	require.Equal(t, keyturn.LinePending, s.status(idle))
	require.Equal(t, keyturn.LinePending, s.status(waits))
	require.Equal(t, keyturn.LineWaitingForStock, s.claimed(waits).Status, "nothing of the old stock is sold")

	s.stock("p", keysNamed("NEW", 5)...)
	again, err := s.Restored(s.ctx, since, 0, all)
	require.NoError(t, err)
	require.Zero(t, again.Keys+again.Refunded+again.Held, "a repetition changes nothing")

	for id, was := range map[string]WorkflowOutcome{"lost": all[3], "gone": all[4]} { // the order system sends them again
		product := was.ProductID
		a, _, err := s.Accept(s.ctx, orderOf(id, lineOf(product, 1)))
		require.NoError(t, err)
		require.Equal(t, was.FulfillmentID, a.Starts[0].FulfillmentID, "partners know it by this ID")
		require.Equal(t, was.LineID, s.lineID(was.FulfillmentID), "and payment providers by this one")
	}
	require.Equal(t, keyturn.LineHeld, s.status(lost))
	require.Equal(t, 2, s.count(`line_items WHERE fulfillment_id IN ($1, $2) AND wake_at IS NOT NULL`, lost, gone),
		"the relay sees to it that they have workflows")
	require.Equal(t, keyturn.LineCanceling, s.status(gone))
	s.refunded(gone)
	s.resolve(lost, keyturn.ActionRelease) // a person finds no e-mail
	require.Zero(t, s.count(`alerts WHERE cause = 'Restored' AND closed_at IS NULL`))
	require.WithinDuration(t, time.Now().Add(keyturn.DefaultGiveUp),
		read[time.Time](s, `SELECT give_up_at FROM line_items WHERE fulfillment_id = $1`, lost), time.Minute,
		"it has its product's time, not the person's")
	s.claimed(lost)
	require.Equal(t, []string{"NEW-00001"}, s.keysOf(lost), "the first went to the line that waited")
}

// Where it is known how many keys were sold at most, the others stay for sale.
func TestRestoredKeepsWhatCannotHaveBeenSold(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.product("film", fromPool("q"))
	s.stock("p", keysNamed("P", 10)...)
	s.stock("q", keysNamed("Q", 2)...)
	since := time.Now()
	for range 2 {
		_, err := s.Restored(s.ctx, since, 4, nil)
		require.NoError(t, err)
		require.Equal(t, 4, s.count(`pool_keys WHERE pool_id = 'p' AND state = 'quarantined'`))
		require.Equal(t, 2, s.count(`pool_keys WHERE pool_id = 'q' AND state = 'quarantined'`))
	}
	f := s.sell("game")
	s.claimed(f)
	require.Equal(t, []string{"P-00004"}, s.keysOf(f))
}

// A backup may have been taken when the workflow of an e-mail or of a cancel had just been started. It may have ended
// since.
func TestRestoredSendsWhatWasStillToGoOut(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	s.finishCall(f, answered(s.beginCall(f), "A"))
	s.resolve(f, keyturn.ActionRefund)
	s.refunded(f)
	owed := `SELECT workflow FROM outbox ORDER BY workflow`
	require.Equal(t, []string{WorkflowRevoke, WorkflowSend}, reads[string](s, owed))
	s.exec(`DELETE FROM outbox`)
	for range 2 {
		_, err := s.Restored(s.ctx, time.Now(), 0, nil)
		require.NoError(t, err)
		require.Equal(t, []string{WorkflowRevoke, WorkflowSend}, reads[string](s, owed))
	}
	s.revoked(f, "endpoint/acme")
	s.exec(`UPDATE deliveries SET status = 'SENT', sent_at = now()`)
	s.exec(`DELETE FROM outbox`)
	_, err := s.Restored(s.ctx, time.Now(), 0, nil)
	require.NoError(t, err)
	require.Empty(t, reads[string](s, owed), "nothing is left to do")
}

// The time that a person gives may be off, and a base backup holds what came in while it was made: whatever the backup
// had for sale is not sold again, and nothing that it lacks is overlooked.
func TestRestoredWithATimeThatIsOff(t *testing.T) {
	for name, off := range map[string]time.Duration{
		"a second early": -time.Second, "a day early": -24 * time.Hour, "a second late": time.Second,
		"an hour late": time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.product("game", fromPool("p"))
			begun := time.Now()
			s.stock("p", keysNamed("OLD", 30)...) // imported while the base backup was made
			open := s.order("open", lineOf("game", 1))[0]
			backup := s.backup(t)
			newest := read[time.Time](s, `SELECT created_at FROM orders WHERE id = 'open'`)

			s.claimed(open)
			s.delivered(open)
			seen := map[string]bool{s.keysOf(open)[0]: true}
			for i := range 29 {
				f := s.order("after-"+strconv.Itoa(i), lineOf("game", 1))[0]
				s.claimed(f)
				s.delivered(f)
				seen[s.keysOf(f)[0]] = true
			}
			require.Len(t, seen, 30)
			all := []WorkflowOutcome{s.happened(open, "pool/p", keyturn.LineDelivered)}

			s.restore(t, backup)
			since, err := s.InspectRestored(s.ctx, begun.Add(off))
			require.NoError(t, err)
			require.False(t, since.After(newest), "what was done after the newest row is looked at")
			for range 2 {
				_, err = s.Restored(s.ctx, since, 0, all)
				require.NoError(t, err)
				s.stock("p", "NEW-"+rand.Text())
			}
			require.Equal(t, keyturn.LineHeld, s.status(open))
			require.Equal(t, 2, s.count(`pool_keys WHERE state = 'available'`), "a repetition leaves new keys for sale")
			require.Equal(t, 30, s.count(`pool_keys WHERE state = 'quarantined'`))
			for i := range 2 {
				f := s.order("again-"+strconv.Itoa(i), lineOf("game", 1))[0]
				s.claimed(f)
				require.False(t, seen[s.keysOf(f)[0]], "no customer gets a key that another one has")
			}
		})
	}
}

// A backup that was made after an earlier restore is another one: what it had for sale may be sold, and what people
// decided before it is no reason to leave a line alone.
func TestRestoredOnceMore(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", keysNamed("OLD", 3)...)
	f := s.order("open", lineOf("game", 1))[0]
	all := []WorkflowOutcome{s.happened(f, "pool/p", "")}
	once := func() Restored {
		since, err := s.InspectRestored(s.ctx, time.Time{})
		require.NoError(t, err)
		r, err := s.Restored(s.ctx, since, 0, all)
		require.NoError(t, err)
		return r
	}
	require.Equal(t, Restored{Keys: 3, Held: 1, Woken: 1}, once())
	require.Equal(t, Restored{Woken: 1}, once(), "a repetition without a time")
	s.stock("p", keysNamed("NEW", 5)...)
	s.resolve(f, keyturn.ActionRelease)
	require.Equal(t, Restored{Keys: 5, Held: 1, Woken: 1}, once(), "of a backup that knows of the first restore")
}

// Nothing is done to a database that is not the right one, or that somebody still uses.
func TestInspectRestoredRefuses(t *testing.T) {
	s := newShop(t)
	_, err := s.InspectRestored(s.ctx, time.Time{})
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err))
	require.ErrorContains(t, err, "holds no order")
	s.product("game", fromPool("p"))
	s.stock("p", "K-1")
	s.sell("game")

	inspect := func(keys *vault.Keys) error {
		d, err := Open(s.ctx, WithApplication(s.dsn, "keyturn-restored-1"), keys)
		require.NoError(t, err)
		defer func() { require.NoError(t, d.Close()) }()
		_, err = d.InspectRestored(s.ctx, time.Time{})
		return err
	}
	err = inspect(s.keys)
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err))
	require.ErrorContains(t, err, "others are connected to the database: keyturn (process ")
	require.NoError(t, s.Close())
	require.Eventually(t, func() bool { return inspect(s.keys) == nil }, time.Minute, 20*time.Millisecond)

	other := filepath.Join(t.TempDir(), "other.json")
	require.NoError(t, vault.CreateKeys(other))
	keys, err := vault.LoadKeys(other)
	require.NoError(t, err)
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(inspect(keys)))
	s.reopened()

	require.NoError(t, CheckSchema(s.ctx, s.dsn))
	s.exec(`DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)`)
	err = CheckSchema(s.ctx, s.dsn)
	require.Equal(t, keyturn.KindConflict, keyturn.KindOf(err))
	require.ErrorContains(t, err, "keyturn migrate")
}

// Temporal lost its state, too: what may have got keys that nobody gives twice is held, and a partner is asked again
// under the same ID.
func TestRestoredWithoutTemporal(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.product("app", fromEndpoint("acme"))
	s.stock("p", "K-1")
	game, app := s.sell("game"), s.sell("app")
	all, err := s.UnknownOutcomes(s.ctx)
	require.NoError(t, err)
	r, err := s.Restored(s.ctx, time.Now(), 0, all)
	require.NoError(t, err)
	require.Equal(t, Restored{Keys: 1, Held: 1, Woken: 2}, r)
	require.Equal(t, keyturn.LineHeld, s.status(game))
	require.Equal(t, keyturn.LinePending, s.status(app))
	newest, err := s.NewestFulfillments(s.ctx, 10)
	require.NoError(t, err)
	require.Equal(t, []string{app, game}, newest)
}

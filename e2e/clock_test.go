package e2e_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/worker"
)

// skewedPostgres is a database whose clock is ahead of everybody else's by skew: functions of a schema of its own take
// the place of now() and clock_timestamp() in every statement, default and trigger.
func skewedPostgres(t *testing.T, skew time.Duration) string {
	t.Helper()
	const path = "&search_path=public,skewed,pg_catalog"
	dsn := testkit.Postgres(t, "keyturn, its clock ahead by "+skew.String(), func(dsn string) error {
		x, err := sql.Open("postgres", dsn)
		if err != nil {
			return err
		}
		defer func() { _ = x.Close() }()
		ahead := fmt.Sprintf("interval '%f seconds'", skew.Seconds())
		if _, err := x.Exec(`
			CREATE SCHEMA skewed;
			CREATE FUNCTION skewed.now() RETURNS timestamptz STABLE LANGUAGE sql AS $$ SELECT pg_catalog.now() + ` + ahead + ` $$;
			CREATE FUNCTION skewed.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS $$ SELECT pg_catalog.clock_timestamp() + ` + ahead + ` $$`); err != nil {
			return err
		}
		_, err = db.Migrate(context.Background(), dsn+path)
		return err
	})
	return dsn + path
}

// Whatever a database's clock says, nobody is refunded, hurried or held up for it: a call gets its time, a failed one
// is repeated after its delay, and a line is refunded at its deadline. That all of it ends while the test waits says
// that nobody is held up; the workflows' tests in virtual time say so to the second.
func TestADatabaseWhoseClockIsWrong(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-time.Hour, -20 * time.Second, 20 * time.Second, time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			s := start(t, options{skew: skew})
			ours := time.Now()
			s.drill("acme", "error-code:SOLD_OUT")
			s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme")), Retry: every(3*time.Second, time.Hour)})
			s.product(keyturn.Product{ID: "gone", Sources: sources(fromPool("empty")), Retry: every(time.Second, 8*time.Second)})
			s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, "GAME-1", "GAME-2")
			a := s.order("cad", "gone", "game")
			require.WithinDuration(t, ours.Add(skew), a.CreatedAt, 10*time.Second, "its clock is wrong")

			s.eventually(func() (bool, string) { return len(s.calls("acme", "create")) > 0, "the partner was not called" })
			s.drill("acme", "ok")
			s.awaitLine(fulfillment(a, 2), keyturn.LineDelivered)
			s.awaitLine(fulfillment(a), keyturn.LineDelivered)
			calls := s.calls("acme", "create")
			require.Len(t, calls, 2)
			require.GreaterOrEqual(t, calls[1].Time.Sub(calls[0].Time), 3*time.Second, "the delay is the policy's")
			require.Zero(t, s.count(`SELECT count(*) FROM attempts WHERE outcome NOT IN ('success', 'failed', 'unknown') OR operation = 'cancel'`))

			s.awaitLine(fulfillment(a, 1), keyturn.LineCanceled)
			require.GreaterOrEqual(t, time.Since(ours), 8*time.Second, "the deadline is the product's")
			require.Equal(t, 1, s.count(`SELECT count(*) FROM refunds`))
			s.atRest(a)
		})
	}
}

// Operations hear once of clocks that differ, and the alert is closed when they agree.
func TestSkewIsAlertedOnce(t *testing.T) {
	s := start(t, options{skew: time.Hour, noWorker: true, noRelay: true})
	open := `SELECT count(*) FROM alerts WHERE closed_at IS NULL`
	round := func(until func() bool) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			(&worker.Housekeeping{
				DB: s.db, Mail: s.sender, From: "keyturn@keyturn.test", To: "ops@keyturn.test", Logger: s.logger,
				Every: 20 * time.Millisecond,
			}).Run(ctx)
		}()
		s.eventually(func() (bool, string) { return until(), "no round has come to it" })
		cancel()
		<-done
	}
	round(func() bool { return s.count(open) == 1 && len(s.letters("ops@keyturn.test")) == 1 })
	begun := time.Now()
	round(func() bool { return time.Since(begun) > time.Second })
	require.Equal(t, 1, s.count(`SELECT count(*) FROM alerts WHERE cause = 'ClockSkew' AND closed_at IS NULL AND detail LIKE '%is 1h behind the database''s%'`))
	require.Len(t, s.letters("ops@keyturn.test"), 1)

	s.exec(`CREATE OR REPLACE FUNCTION skewed.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS $$ SELECT pg_catalog.clock_timestamp() $$`)
	round(func() bool { return s.count(open) == 0 })
	require.Equal(t, 1, s.count(`SELECT count(*) FROM alerts`))
}

// What follows a delivery depends on no clock but the database's, either: e-mails that are sent again, the lease on an
// e-mail, a cancel that a partner is owed, keys for recalled ones, and what is kept for a time. All of it ends while
// the test waits, no sooner than it may, and nobody is refunded.
func TestWhatFollowsUnderADatabaseWhoseClockIsWrong(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-time.Hour, -20 * time.Second, 20 * time.Second, time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			s := start(t, options{skew: skew})
			ctx := t.Context()
			acme := fromEndpoint("acme")
			acme.GiveUpAfter = keyturn.Duration(500 * time.Millisecond)
			s.drill("acme", "timeout-after-issuing")
			s.integration(keyturn.Integration{ID: "acme", Limits: keyturn.Limits{Timeout: keyturn.Duration(2 * time.Second)}})
			s.product(keyturn.Product{ID: "cad", Sources: sources(acme, fromPool("spare"))}, "SPARE-1")
			s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys"))}, "LEAKED-1")
			owed, sold := s.order("cad"), s.order("game")
			s.await(sold, keyturn.OrderCompleted)
			f := fulfillment(sold)

			// An e-mail is sent again. Its lease is as long as it is by any clock.
			again, err := s.db.Resend(ctx, f, "again@buyer.test", "old", s.acts.Letters.Render)
			require.NoError(t, err)
			s.starter.Wake()
			s.eventually(func() (bool, string) { return len(s.letters("again@buyer.test")) == 1, "it does not go out" })
			s.eventually(func() (bool, string) {
				return s.count(`SELECT count(*) FROM deliveries WHERE id = $1 AND status = 'SENT'`, again) == 1, "it is not booked"
			})
			s.exec(`UPDATE deliveries SET status = 'SENDING', lease_until = clock_timestamp() + interval '4 seconds'
				WHERE id = $1`, again) // as a process left it that died
			leased := time.Now()
			err = s.acts.SendFollowUpEmail(ctx, activities.Sending{DeliveryID: again})
			var later *temporal.ApplicationError
			require.ErrorAs(t, err, &later)
			require.LessOrEqual(t, later.NextRetryDelay(), 4*time.Second)
			s.eventually(func() (bool, string) {
				err := s.acts.SendFollowUpEmail(ctx, activities.Sending{DeliveryID: again})
				return err == nil, fmt.Sprint(err)
			})
			require.GreaterOrEqual(t, time.Since(leased), 4*time.Second-100*time.Millisecond, "the lease was another's")
			require.Len(t, s.letters("again@buyer.test"), 2)

			// The partner is told to cancel when no create of ours can reach it any more.
			s.await(owed, keyturn.OrderCompleted)
			s.eventually(func() (bool, string) {
				return s.count(`SELECT count(*) FROM revocations WHERE status = 'DONE'`) == 1, "the partner is not told"
			})
			creates, cancels := s.calls("acme", "create"), s.calls("acme", "cancel")
			require.Len(t, cancels, 1)
			require.GreaterOrEqual(t, cancels[0].Time.Sub(creates[len(creates)-1].Time), 2*time.Second-100*time.Millisecond)

			// A recalled key is replaced.
			require.NoError(t, s.db.Stock().Recall(ctx, "game-keys", s.texts(
				`SELECT CAST(batch_id AS text) FROM pool_keys WHERE pool_id = 'game-keys'`)[0], "it leaked", true, "ops"))
			s.load("game-keys", "FRESH-1")
			s.eventually(func() (bool, string) {
				return s.count(`SELECT count(*) FROM replacements WHERE status = 'DONE'`) == 1, "nobody gets the other key"
			})
			s.atRest(owed, sold)
			fresh := slices.DeleteFunc(s.letters(buyer), func(l letter) bool { return !strings.Contains(l.Text, "FRESH-1") })
			require.Len(t, fresh, 1)

			// What is kept for a time is kept for that time.
			_, err = s.db.Resend(ctx, f, "", "young", s.acts.Letters.Render)
			require.NoError(t, err)
			s.starter.Wake()
			s.atRest(sold)
			s.exec(`UPDATE access_log SET at = now() - make_interval(secs => $1) + CASE by WHEN 'old' THEN interval '-15 s'
				ELSE interval '15 s' END`, db.DefaultRetention.Accesses.Seconds())
			tidied, err := s.db.Tidy(ctx, db.DefaultRetention)
			require.NoError(t, err)
			require.Equal(t, db.Tidied{Accesses: 1}, tidied)
			require.Equal(t, []string{"young"}, s.texts(`SELECT by FROM access_log`))
			require.Zero(t, s.count(`SELECT count(*) FROM refunds`))
		})
	}
}

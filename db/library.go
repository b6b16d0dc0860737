package db

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

const (
	// libraryLinkFor is how long a link to a library can be used, once.
	libraryLinkFor = 15 * time.Minute
	// LibrarySession is how long the browser that used a link may look.
	LibrarySession = 30 * time.Minute
	// libraryKept is how long it is known who asked for a link: as long as links of one day are counted.
	libraryKept = day
)

// AskForLibrary has a link to the library of an address sent to it, at most five times a day. It takes the same steps
// whether the address has orders or not, and says nothing of that: whoever sends the e-mail finds out.
func (d *DB) AskForLibrary(ctx context.Context, address string) error {
	var stored []int
	err := d.pg.Implicit().SelectContext(ctx, &stored, askForLibrarySQL, newID(), d.EmailTag(address),
		libraryLinkFor.Seconds())
	return pg.AsKind(err)
}

// askForLibrarySQL: who asks at the same moment as another is sent one link.
const askForLibrarySQL = `
	WITH today AS (
		SELECT t.day, (SELECT coalesce(max(k.number), 0) FROM library_links k WHERE k.email_tag = $2 AND k.day = t.day) AS n
		FROM (SELECT CAST(clock_timestamp() AT TIME ZONE 'UTC' AS date) AS day) t
	)
	INSERT INTO library_links (id, email_tag, day, number, due_at, expires_at)
	SELECT $1, $2, day, n + 1, clock_timestamp(), clock_timestamp() + make_interval(secs => $3) FROM today WHERE n < 5
	ON CONFLICT (email_tag, day, number) DO NOTHING
	RETURNING number`

// LibraryToken is the unguessable part of a link to a library.
func (d *DB) LibraryToken(linkID string) string {
	return base64.RawURLEncoding.EncodeToString(d.keys.MAC("library/" + linkID)[:18])
}

// errLibraryLinkOver says that a link opens nothing any more.
var errLibraryLinkOver = keyturn.Errorf(keyturn.KindConflict, "the link was used, or its time is over")

// usableLibrarySQL is the condition on a link to a library that it can be used.
const usableLibrarySQL = `used_at IS NULL AND email_tag IS NOT NULL AND expires_at > clock_timestamp()`

// CheckLibraryLink says whether a link can be used, and changes nothing. KindNotFound for an unknown one, KindConflict
// for one that was used or whose time is over.
func (d *DB) CheckLibraryLink(ctx context.Context, token string) error {
	var usable bool
	err := d.pg.GetContext(ctx, &usable, `SELECT `+usableLibrarySQL+` FROM library_links WHERE token_hash = $1`,
		pageHash(token))
	switch {
	case err != nil:
		return pg.NotFound(err, "there is no such page")
	case !usable:
		return errLibraryLinkOver
	}
	return nil
}

// OpenLibrary uses a link, which works once, and gives the secret by which the browser is known that used it. It
// records that the customer looked. Errors are those of CheckLibraryLink.
func (d *DB) OpenLibrary(ctx context.Context, token string) (session string, err error) {
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		session = rand.Text() + rand.Text()
		var used []string
		if err := tx.SelectContext(ctx, &used, `
			UPDATE library_links SET used_at = clock_timestamp(), session_hash = $2,
				session_until = clock_timestamp() + make_interval(secs => $3)
			WHERE token_hash = $1 AND `+usableLibrarySQL+` RETURNING id`,
			pageHash(token), pageHash(session), LibrarySession.Seconds()); err != nil {
			return err
		}
		if len(used) == 1 {
			return logPersonal(ctx, tx, byCustomer, "customer", "library/"+used[0])
		}
		var known bool
		if err := tx.GetContext(ctx, &known, `SELECT EXISTS (SELECT FROM library_links WHERE token_hash = $1)`,
			pageHash(token)); err != nil {
			return err
		}
		if !known {
			return keyturn.Errorf(keyturn.KindNotFound, "there is no such page")
		}
		return errLibraryLinkOver
	})
	return session, err
}

// CloseLibrary ends a session. One that there is not has ended.
func (d *DB) CloseLibrary(ctx context.Context, session string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			UPDATE library_links SET session_until = least(session_until, clock_timestamp()) WHERE session_hash = $1`,
			pageHash(session))
		return err
	})
}

// librarySession is who looks at a library, and until when they may.
type librarySession struct {
	EmailTag []byte    `db:"email_tag"`
	Until    time.Time `db:"session_until"`
	Now      time.Time `db:"now"`
}

// librarySession gives a session that lives. KindForbidden.
func (d *DB) librarySession(ctx context.Context, session string) (librarySession, error) {
	var found []librarySession
	err := d.pg.SelectContext(ctx, &found, `
		SELECT email_tag, session_until, clock_timestamp() AS now FROM library_links
		WHERE session_hash = $1 AND session_until > clock_timestamp() AND email_tag IS NOT NULL`, pageHash(session))
	switch {
	case err != nil:
		return librarySession{}, pg.AsKind(err)
	case len(found) == 0:
		return librarySession{}, keyturn.Errorf(keyturn.KindForbidden, "the library is not open, or not any more")
	}
	return found[0], nil
}

// endLibrarySQL ends a link and the look of who has used it.
const endLibrarySQL = `due_at = NULL, status = CASE WHEN status = 'SENDING' THEN 'READY' ELSE status END,
		session_until = CASE WHEN session_until < clock_timestamp() THEN session_until
			WHEN session_until IS NOT NULL THEN clock_timestamp() END`

// ForgetLibraryLinks removes who asked for links a day ago, and what they were sent. That a link was sent, and to which
// customer, stays. It takes at most 10,000 at once.
func (d *DB) ForgetLibraryLinks(ctx context.Context) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			WITH old AS MATERIALIZED (
				SELECT id, customer_id FROM library_links
				WHERE email_tag IS NOT NULL AND created_at < now() - make_interval(secs => $1)
				ORDER BY created_at LIMIT 10000 FOR UPDATE SKIP LOCKED
			), gone AS (
				DELETE FROM library_links k USING old WHERE k.id = old.id AND old.customer_id IS NULL
			)
			UPDATE library_links k SET email_tag = NULL, message = '', `+endLibrarySQL+`
			FROM old WHERE k.id = old.id AND old.customer_id IS NOT NULL`, libraryKept.Seconds())
		return err
	})
}

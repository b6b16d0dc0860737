package db

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Client is who calls the API, as its token says.
type Client struct {
	Name   string
	Scopes []string
	Prefix keyturn.Prefix // of the IDs that it sees, makes and touches; empty: all
	// IgnoreUnknownFields: what its requests have beyond the fields that we know is left out instead of refused.
	IgnoreUnknownFields bool
}

// Token is an API token as it is listed. The token itself is shown once and stored as a hash.
type Token struct {
	Client

	CreatedAt   time.Time
	LastUsedAt  *time.Time // as of a minute ago
	WithdrawnAt *time.Time
}

// CreateToken makes a token and gives its text, which is kept nowhere. KindConflict when the name is taken, also by a
// token that was withdrawn: what is recorded under a name is one client's.
func (d *DB) CreateToken(ctx context.Context, c Client) (string, error) {
	if err := c.Prefix.Check(); err != nil {
		return "", err
	}
	raw := make([]byte, 24)
	_, _ = rand.Read(raw)
	text := "kt_" + base64.RawURLEncoding.EncodeToString(raw)
	hash := sha256.Sum256([]byte(text))
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO api_tokens (name, hash, scopes, prefix, ignore_unknown_fields) VALUES ($1, $2, $3, $4, $5)`,
			c.Name, hash[:], pq.Array(c.Scopes), c.Prefix, c.IgnoreUnknownFields)
		return err
	})
	if pg.IsUniqueViolation(err, "api_tokens_pkey") {
		return "", keyturn.Errorf(keyturn.KindConflict,
			"there is a token named %s already, or there was: choose another name", c.Name)
	}
	return text, err
}

type tokenRow struct {
	Name                string         `db:"name"`
	Scopes              pq.StringArray `db:"scopes"`
	Prefix              keyturn.Prefix `db:"prefix"`
	IgnoreUnknownFields bool           `db:"ignore_unknown_fields"`
	CreatedAt           time.Time      `db:"created_at"`
	LastUsedAt          *time.Time     `db:"last_used_at"`
	WithdrawnAt         *time.Time     `db:"withdrawn_at"`
	Unnoted             bool           `db:"unnoted"`
}

func (r tokenRow) client() Client {
	return Client{Name: r.Name, Scopes: r.Scopes, Prefix: r.Prefix, IgnoreUnknownFields: r.IgnoreUnknownFields}
}

// noteUse is how often the use of a token is noted.
const noteUse = `interval '1 minute'`

// ClientOf finds who a token belongs to, and notes once a minute that it is used. KindUnauthorized for an unknown token
// and for one that was withdrawn. The look-up is by hash, so its time tells nothing about stored tokens.
func (d *DB) ClientOf(ctx context.Context, text string) (Client, error) {
	hash := sha256.Sum256([]byte(text))
	var row tokenRow
	err := d.pg.GetContext(ctx, &row, `
		SELECT name, scopes, prefix, ignore_unknown_fields,
			coalesce(last_used_at < now() - `+noteUse+`, true) AS unnoted
		FROM api_tokens WHERE hash = $1 AND withdrawn_at IS NULL`, hash[:])
	if errors.Is(err, sql.ErrNoRows) {
		return Client{}, keyturn.Errorf(keyturn.KindUnauthorized,
			"the token is not known, or was withdrawn: make one with `keyturn token create`")
	}
	if err == nil && row.Unnoted {
		// Processes that meet here write it once. It is no reason to fail a request.
		_ = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
			_, err := tx.ExecContext(ctx, `
				UPDATE api_tokens SET last_used_at = now()
				WHERE hash = $1 AND coalesce(last_used_at < now() - `+noteUse+`, true)`, hash[:])
			return err
		})
	}
	return row.client(), pg.AsKind(err)
}

// Tokens lists all tokens by name, also those that were withdrawn.
func (d *DB) Tokens(ctx context.Context) ([]Token, error) {
	var rows []tokenRow
	err := d.pg.SelectContext(ctx, &rows, `
		SELECT name, scopes, prefix, ignore_unknown_fields, created_at, last_used_at, withdrawn_at FROM api_tokens
		ORDER BY name`)
	out := make([]Token, len(rows))
	for i, r := range rows {
		out[i] = Token{
			Client: r.client(), CreatedAt: r.CreatedAt.UTC(), LastUsedAt: utc(r.LastUsedAt), WithdrawnAt: utc(r.WithdrawnAt),
		}
	}
	return out, pg.AsKind(err)
}

// WithdrawToken ends a token for good; one that was withdrawn stays so. KindNotFound. API processes let it go on for
// some seconds (api.TokenLife).
func (d *DB) WithdrawToken(ctx context.Context, name string) error {
	return d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		res, err := tx.ExecContext(ctx,
			`UPDATE api_tokens SET withdrawn_at = coalesce(withdrawn_at, now()) WHERE name = $1`, name)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err == nil && n == 0 {
			return keyturn.Errorf(keyturn.KindNotFound, "there is no token named %s: `keyturn token list` shows them", name)
		}
		return nil
	})
}

// logPersonal records who saw or changed the personal data behind a subject: order/ORD-1, or link/lnk_1.
func logPersonal(ctx context.Context, tx *sqlx.Tx, by, what, subject string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO access_log (subject, by, what) VALUES ($1, $2, $3)`, subject, by, what)
	return err
}

// logAccess records who saw or sent a line's keys.
func logAccess(ctx context.Context, tx *sqlx.Tx, by, what string, lines ...string) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO access_log (line_id, by, what) SELECT unnest(CAST($1 AS uuid[])), $2, $3`, pq.Array(lines), by, what)
	return err
}

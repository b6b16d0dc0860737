package db

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Token is an API token: who it is for and what it may do. The token itself is shown once and stored as a hash.
type Token struct {
	Name   string
	Scopes []string
}

// CreateToken makes a token and gives its text, which is kept nowhere. KindConflict when the name is taken.
func (d *DB) CreateToken(ctx context.Context, t Token) (string, error) {
	raw := make([]byte, 24)
	_, _ = rand.Read(raw)
	text := "kt_" + base64.RawURLEncoding.EncodeToString(raw)
	hash := sha256.Sum256([]byte(text))
	err := d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO api_tokens (name, hash, scopes) VALUES ($1, $2, $3)`, t.Name, hash[:],
			pq.Array(t.Scopes))
		return err
	})
	if pg.IsUniqueViolation(err, "api_tokens_pkey") {
		return "", keyturn.Errorf(keyturn.KindConflict, "there is a token named %s already: choose another name", t.Name)
	}
	return text, err
}

// TokenOf finds who a token belongs to. KindUnauthorized for an unknown one. The look-up is by hash, so its time tells
// nothing about stored tokens.
func (d *DB) TokenOf(ctx context.Context, text string) (Token, error) {
	hash := sha256.Sum256([]byte(text))
	var row struct {
		Name   string         `db:"name"`
		Scopes pq.StringArray `db:"scopes"`
	}
	err := d.pg.GetContext(ctx, &row, `SELECT name, scopes FROM api_tokens WHERE hash = $1`, hash[:])
	if errors.Is(err, sql.ErrNoRows) {
		return Token{}, keyturn.Errorf(keyturn.KindUnauthorized,
			"the token is not known: make one with `keyturn token create`")
	}
	return Token{Name: row.Name, Scopes: row.Scopes}, pg.AsKind(err)
}

// logAccess records who saw or sent a line's keys.
func logAccess(ctx context.Context, tx *sqlx.Tx, lineID, by, what string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO access_log (line_id, by, what) VALUES ($1, $2, $3)`, lineID, by, what)
	return err
}

package db

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// putImage makes an image that of its owner, an entry of the catalog, in the caller's transaction: the bytes that it
// brings, or those that are there already, or none.
func putImage(ctx context.Context, tx *sqlx.Tx, owner, at string, i keyturn.Image) error {
	var err error
	switch {
	case len(i.Data) > 0:
		_, err = tx.ExecContext(ctx, `
			INSERT INTO images AS i (owner, sha256, type, content) VALUES ($1, $2, $3, $4)
			ON CONFLICT (owner) DO UPDATE SET sha256 = excluded.sha256, type = excluded.type, content = excluded.content,
				updated_at = now()
				WHERE i.sha256 <> excluded.sha256`, owner, i.SHA256, i.Type, []byte(i.Data))
	case i.SHA256 != "":
		err = keepsImage(ctx, tx, owner, at, i)
	default:
		_, err = tx.ExecContext(ctx, `DELETE FROM images WHERE owner = $1`, owner)
	}
	return err
}

// keepsImage refuses an image without bytes that is not the one that its owner has.
func keepsImage(ctx context.Context, tx *sqlx.Tx, owner, at string, i keyturn.Image) error {
	if len(i.Data) > 0 || i.SHA256 == "" {
		return nil
	}
	var has []string
	if err := tx.SelectContext(ctx, &has, `SELECT sha256 FROM images WHERE owner = $1 FOR SHARE`, owner); err != nil {
		return err
	}
	var bad keyturn.Problems
	bad.Check(len(has) == 1 && has[0] == i.SHA256, at, "names an image that is not stored here: send its bytes as data")
	return bad.Err("the image is not valid")
}

// Image gives the bytes and the type of a stored image. KindNotFound.
func (d *DB) Image(ctx context.Context, sha256 string) (content []byte, mediaType string, err error) {
	var row struct {
		Content []byte `db:"content"`
		Type    string `db:"type"`
	}
	err = d.pg.GetContext(ctx, &row, `SELECT content, type FROM images WHERE sha256 = $1 LIMIT 1`, sha256)
	return row.Content, row.Type, pg.NotFound(err, "there is no such image")
}

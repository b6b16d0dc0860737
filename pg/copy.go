package pg

import (
	"context"
	"encoding/hex"
	"errors"
	"iter"
	"time"

	"github.com/jmoiron/sqlx"
)

// copyBlock is how much of the text of a COPY is sent at a time, about: a block ends with a row. Its buffer has room
// for one row more, of the usual size.
const (
	copyBlock  = 96 << 10
	copyBuffer = 128 << 10
)

// CopyRows runs a COPY FROM STDIN within the transaction. Each row appends itself to a text in the format of COPY, with
// a line feed at its end.
func CopyRows(ctx context.Context, tx *sqlx.Tx, query string, rows iter.Seq[func([]byte) []byte]) (err error) {
	copying, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, copying.Close()) }()
	text := make([]byte, 0, copyBuffer)
	for row := range rows {
		if text = row(text); len(text) > copyBlock {
			if _, err := copying.ExecContext(ctx, text); err != nil {
				return err
			}
			text = text[:0]
		}
	}
	if len(text) > 0 {
		if _, err := copying.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	_, err = copying.ExecContext(ctx)
	return err
}

// AppendHex appends a bytea in the format of COPY.
func AppendHex(text, b []byte) []byte { return hex.AppendEncode(append(text, `\\x`...), b) }

// AppendTime appends a timestamptz in the format of COPY, or NULL when there is no time.
func AppendTime(text []byte, at time.Time) []byte {
	if at.IsZero() {
		return append(text, `\N`...)
	}
	return at.UTC().AppendFormat(text, time.RFC3339Nano)
}

package db

import (
	"context"
	"encoding/hex"
	"errors"
	"iter"
	"time"

	"github.com/jmoiron/sqlx"
)

// copyBlock is how much of the text of a COPY is sent at a time.
const copyBlock = 128 << 10

// copyRows runs a COPY of rows, each of which appends itself as COPY reads it, with the line feed at its end.
func copyRows(ctx context.Context, tx *sqlx.Tx, query string, rows iter.Seq[func([]byte) []byte]) (err error) {
	copying, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, copying.Close()) }()
	text := make([]byte, 0, copyBlock)
	for row := range rows {
		if text = row(text); len(text) > copyBlock-maxRowLength {
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

// appendHex appends bytes as COPY reads them.
func appendHex(text, b []byte) []byte { return hex.AppendEncode(append(text, `\\x`...), b) }

// appendTime appends a time, or what stands for none.
func appendTime(text []byte, at *time.Time, none string) []byte {
	if at == nil {
		return append(text, none...)
	}
	return at.UTC().AppendFormat(text, time.RFC3339Nano)
}

// appendArray appends an array with an element for each key.
func appendArray(text []byte, keys []sealedKey, element func([]byte, *sealedKey) []byte) []byte {
	text = append(text, '{')
	for i := range keys {
		if i > 0 {
			text = append(text, ',')
		}
		text = element(text, &keys[i])
	}
	return append(text, '}')
}

package pg

import (
	"context"
	"strconv"
	"strings"
)

// StmtBuilder builds one statement of several common table expressions, each of which may write. The zero value is
// ready.
type StmtBuilder struct {
	sql  strings.Builder
	args []any
}

// With appends a common table expression, with a ? for each argument.
func (b *StmtBuilder) With(name, query string, args ...any) { b.with(name+" AS (", query, args) }

// WithMaterialized appends one that PostgreSQL evaluates once, even where its planner would rather not: for a query
// that locks rows.
func (b *StmtBuilder) WithMaterialized(name, query string, args ...any) {
	b.with(name+" AS MATERIALIZED (", query, args)
}

func (b *StmtBuilder) with(name, query string, args []any) {
	if b.sql.Len() == 0 {
		b.sql.Grow(usualStatement)
		b.sql.WriteString("WITH ")
	} else {
		b.sql.WriteString(", ")
	}
	b.sql.WriteString(name)
	b.write(query, args)
	b.sql.WriteString(")")
}

// usualStatement is a length in bytes that most statements do not exceed.
const usualStatement = 4 << 10

// write appends a text and numbers its arguments: $1 for the first question mark of the statement, and so on.
func (b *StmtBuilder) write(query string, args []any) {
	for i := range args {
		before, after, _ := strings.Cut(query, "?")
		b.sql.WriteString(before)
		b.sql.WriteByte('$')
		b.sql.WriteString(strconv.Itoa(len(b.args) + i + 1))
		query = after
	}
	b.sql.WriteString(query)
	b.args = append(b.args, args...)
}

// Select ends the statement with a query and runs it. The rows go to dest, a pointer to a slice.
func (b *StmtBuilder) Select(ctx context.Context, q Queryer, dest any, query string, args ...any) error {
	b.sql.WriteString(" ")
	b.write(query, args)
	return q.SelectContext(ctx, dest, b.sql.String(), b.args...)
}

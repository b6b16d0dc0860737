package db

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
)

// ageing has, of each table with times, the statement that moves them back by %[1]s seconds.
var ageing struct {
	read sync.Once
	of   map[string]string
}

// later lets time pass: every time in the database moves back.
func (s *shop) later(d time.Duration) {
	s.t.Helper()
	ageing.read.Do(func() { ageing.of = s.ageing() })
	require.NotEmpty(s.t, ageing.of)
	var all []string
	for _, table := range s.filled() {
		if statement := ageing.of[table]; statement != "" {
			all = append(all, fmt.Sprintf(statement, strconv.FormatFloat(d.Seconds(), 'f', -1, 64)))
		}
	}
	s.exec(strings.Join(all, "; "))
}

func (s *shop) ageing() map[string]string {
	s.t.Helper()
	out := map[string]string{}
	for _, c := range reads[struct {
		Table   string `db:"table_name"`
		Columns string `db:"columns"`
	}](s, `
		SELECT table_name, string_agg(column_name || ' = ' || CASE udt_name
			WHEN 'timestamptz' THEN column_name || ' - make_interval(secs => %[1]s)'
			ELSE 'CASE WHEN ' || column_name || ' IS NOT NULL THEN ARRAY(SELECT at - make_interval(secs => %[1]s) FROM unnest(' ||
				column_name || ') AS at) END' END, ', ') AS columns
		FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
		WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND udt_name IN ('timestamptz', '_timestamptz')
			AND table_name NOT LIKE 'goose%'
		GROUP BY table_name`) {
		out[c.Table] = "UPDATE " + c.Table + " SET " + c.Columns
	}
	return out
}

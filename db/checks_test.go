package db

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// requireChecked compares the values that the database allows in a column with those of the code.
func requireChecked[T ~string](s *shop, table, column string, want ...T) {
	s.t.Helper()
	defs := reads[string](s, `
		SELECT pg_get_constraintdef(oid) FROM pg_constraint
		WHERE conrelid = CAST($1 AS regclass) AND contype = 'c' AND pg_get_constraintdef(oid) LIKE 'CHECK ((' || $2 || ' = ANY (%'`, table, column)
	require.Len(s.t, defs, 1, "%s.%s has one constraint that lists its values", table, column)
	var have []T
	for _, m := range regexp.MustCompile(`'([^']*)'::text`).FindAllStringSubmatch(defs[0], -1) {
		have = append(have, T(m[1]))
	}
	require.ElementsMatch(s.t, want, have, "%s.%s", table, column)
}

// The database refuses an alert whose cause is not in the table that says what to do about it.
func TestDatabaseKnowsTheSameAlertCauses(t *testing.T) {
	s := newShop(t)
	var causes []keyturn.AlertCause
	for _, i := range keyturn.AlertCauses {
		causes = append(causes, i.Cause)
	}
	requireChecked(s, "alerts", "cause", causes...)
}

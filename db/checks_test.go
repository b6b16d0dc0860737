package db

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// requireChecked compares the values that the database allows in a column with those of the code.
func requireChecked[T ~string](s *shop, table, column string, want ...T) {
	s.t.Helper()
	defs := reads[string](s, `
		SELECT pg_get_constraintdef(oid) FROM pg_constraint
		WHERE conrelid = CAST($1 AS regclass) AND contype = 'c'
			AND pg_get_constraintdef(oid) LIKE 'CHECK ((' || $2 || ' = ANY (%'`, table, column)
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

// The database allows the outcomes and statuses of the code, no more and no fewer.
func TestDatabaseKnowsTheSameOutcomes(t *testing.T) {
	s := newShop(t)
	requireChecked(s, "attempts", "outcome", keyturn.AttemptOutcomes...)
	requireChecked(s, "refunds", "status", keyturn.RefundStatuses...)
	requireChecked(s, "revocations", "status", keyturn.RevocationStatuses...)
	requireChecked(s, "replacements", "status", keyturn.ReplacementStatuses...)
	var want []string
	for _, kind := range keyturn.DeliveryKinds {
		for _, status := range keyturn.DeliveryStatuses {
			require.True(t, read[bool](s, `SELECT delivery_is_consistent($1, $2)`, kind, status), "%s %s", kind, status)
		}
		want = append(want, string(kind))
	}
	for _, status := range keyturn.DeliveryStatuses {
		want = append(want, string(status))
	}
	var have []string
	for _, m := range literal.FindAllStringSubmatch(read[string](s,
		`SELECT prosrc FROM pg_proc WHERE proname = 'delivery_is_consistent'`), -1) {
		have = append(have, m[1])
	}
	require.ElementsMatch(t, want, have)
}

var (
	literal    = regexp.MustCompile(`'([^']*)'`)
	comparison = regexp.MustCompile(`\b(outcome|status) (?:=|<>|IN|NOT IN) \(?('[^']*'(?:, '[^']*')*)`)
)

// A condition on a status or an outcome that no row can have is always false, and nothing would say so.
func TestStatementsNameKnownStatuses(t *testing.T) {
	t.Parallel()
	known := map[string]map[string]bool{"outcome": set(keyturn.AttemptOutcomes), "status": set(keyturn.DeliveryStatuses)}
	for _, at := range []keyturn.ProcessorStatus{ // of the sandbox's books
		keyturn.AtProcessorOpen, keyturn.AtProcessorProcessing, keyturn.AtProcessorAuthorized, keyturn.AtProcessorCaptured,
		keyturn.AtProcessorVoided, keyturn.AtProcessorExpired, keyturn.AtProcessorFailed,
	} {
		known["status"][string(at)] = true
	}
	known["status"][string(keyturn.DisputeOpen)] = true
	// of a refund that others made, and that has not failed
	known["status"][""] = true
	for _, o := range []keyturn.PayOutcome{"", keyturn.Paid, keyturn.Refused} { // of tries to pay
		known["outcome"][string(o)] = true
	}
	for _, more := range []map[string]bool{
		set(keyturn.RefundStatuses), set(keyturn.RevocationStatuses), set(keyturn.ReplacementStatuses),
		set(keyturn.LineStatuses), set(keyturn.OrderStatuses), set(keyturn.LicenseStatuses),
		set(keyturn.LinkStatuses), set(keyturn.PaymentStatuses),
	} {
		maps.Copy(known["status"], more)
	}
	seen := 0
	for _, dir := range []string{".", "../audit"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, c := range comparison.FindAllStringSubmatch(string(text), -1) {
				for _, value := range literal.FindAllStringSubmatch(c[2], -1) {
					require.True(t, known[c[1]][value[1]], "%s: %s", file, c[0])
					seen++
				}
			}
		}
	}
	require.Greater(t, seen, 100, "the statements are found")
}

func set[T ~string](values []T) map[string]bool {
	out := map[string]bool{}
	for _, v := range values {
		out[string(v)] = true
	}
	return out
}

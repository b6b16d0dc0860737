package keyturn_test

import (
	"flag"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

var update = flag.Bool("update", false, "write generated sections of the docs anew")

func TestEveryAlertCauseIsExplained(t *testing.T) {
	t.Parallel()
	seen := map[keyturn.AlertCause]bool{}
	for _, i := range keyturn.AlertCauses {
		require.False(t, seen[i.Cause], "%s is there twice", i.Cause)
		seen[i.Cause] = true
		require.NotEmpty(t, i.Meaning, i.Cause)
		require.NotEmpty(t, i.ToDo, i.Cause)
		require.Contains(t, keyturn.Severities, i.Severity, i.Cause)
		require.True(t, i.Closes != "" || i.ByPerson, "nobody closes %s", i.Cause)
		require.Equal(t, i, i.Cause.Info())
	}
	require.Zero(t, keyturn.AlertCause("").Info())
}

// What stays wrong until a person acts is worse than a line that is tried again, and less than lost money or keys.
func TestSeverities(t *testing.T) {
	t.Parallel()
	for cause, want := range map[keyturn.AlertCause]keyturn.Severity{
		keyturn.AlertAudit: keyturn.SeverityCritical, keyturn.AlertRefund: keyturn.SeverityCritical,
		keyturn.AlertRestored: keyturn.SeverityCritical, keyturn.AlertOwed: keyturn.SeverityCritical,
		keyturn.AlertDuplicateKey: keyturn.SeverityError, keyturn.AlertClockSkew: keyturn.SeverityError,
		keyturn.AlertMoved: keyturn.SeverityError, keyturn.AlertManualRefund: keyturn.SeverityError,
		keyturn.AlertSearchAttributes: keyturn.SeverityError, keyturn.AlertPartnerDown: keyturn.SeverityError,
		keyturn.AlertUnavailable: keyturn.SeverityWarning, keyturn.AlertOutOfStock: keyturn.SeverityWarning,
		keyturn.AlertPartnerBack: keyturn.SeverityInfo,
	} {
		require.Equal(t, want, cause.Info().Severity, cause)
	}
	field, _ := reflect.TypeFor[keyturn.AlertView]().FieldByName("Severity")
	var enum []string
	for _, s := range keyturn.Severities {
		enum = append(enum, string(s))
	}
	require.Equal(t, strings.Join(enum, ","), field.Tag.Get("enum"), "the API's list")
}

func TestAlertOfAFailure(t *testing.T) {
	t.Parallel()
	require.Equal(t, keyturn.AlertRejected, keyturn.AlertOf(keyturn.KindRejected))
	require.Equal(t, keyturn.AlertInternal, keyturn.AlertOf(keyturn.KindForbidden),
		"not a failure of a line: a fault of ours")
}

// The table of causes in the docs is that of the code.
func TestDocsListAlertCauses(t *testing.T) {
	t.Parallel()
	const page = "docs/run/operating.md"
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	section := regexp.MustCompile(`(?s)(<!-- alert causes[^\n]*-->\n).*?(<!-- end -->)`)
	require.True(t, section.Match(text), "the page has the generated section")
	want := section.ReplaceAll(text, []byte("${1}"+keyturn.AlertCausesTable()+"${2}"))
	if *update {
		require.NoError(t, os.WriteFile(page, want, 0o600))
		return
	}
	require.Equal(t, string(want), string(text))
}

package e2e_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/temporalproto"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/audit"
	"keyturn.dev/keyturn/internal/testkit/mutants"
	"keyturn.dev/keyturn/workflows"
)

// TestEveryMutantIsCaught activates the mutants one at a time: make test/oracle.
func TestEveryMutantIsCaught(t *testing.T) {
	if !mutants.InBuild {
		t.Skip("this build has no mutants: make test/oracle")
	}
	for _, m := range slices.Concat(allMutants, bounceMutants) {
		t.Run(m.name, func(t *testing.T) {
			s := start(t, m.options)
			s.product(keyturn.Product{ID: "editor", Sources: sources(fromPool("editor-keys"))}, keys("ORACLE", 100)...)
			s.product(keyturn.Product{ID: "studio", Sources: sources(fromEndpoint("studio"))})
			require.True(t, s.books(func(*audit.Evidence) {}).OK, "the books balance before")
			if m.drop != "" {
				s.exec(m.drop)
			}
			mutants.Activate(m.name, m.edits...)
			defer mutants.Activate("")
			m.run(s)
			caught := m.invariants
			if m.seen != nil {
				s.eventually(func() (bool, string) { return m.seen(s), "it is not seen" })
			} else {
				s.eventually(func() (bool, string) {
					violated := s.violated(m.slack, m.rest)
					caught = strings.Join(violated, " ")
					return slices.ContainsFunc(strings.Fields(m.invariants), func(id string) bool {
						return slices.Contains(violated, id)
					}), caught
				})
			}
			require.Empty(t, mutants.Unused(), "a part of the mutant did not run")
			t.Logf("CAUGHT  %-48s %s", m.name, caught)
		})
	}
}

func TestEveryMutantIsDefinedOnce(t *testing.T) {
	listed := map[string]bool{}
	inSource := mutants.InSource()
	for _, m := range slices.Concat(allMutants, bounceMutants) {
		require.False(t, listed[m.name], "%q is listed twice", m.name)
		listed[m.name] = true
		require.True(t, len(m.edits) > 0 || m.drop != "" || slices.Contains(inSource, m.name), "%q changes nothing", m.name)
	}
	for _, name := range inSource {
		require.True(t, listed[name], "nothing runs %q", name)
	}
}

// violated audits and names the invariants that do not hold.
func (s *stack) violated(slack time.Duration, rest bool) []string {
	e := s.evidence()
	e.Slack, e.Quiescent = slack, rest
	r, err := audit.Run(context.Background(), e)
	require.NoError(s.t, err)
	return r.Violated()
}

// keyInHistory says whether a key that the partner issued stands in a line's history or pending activity.
func (s *stack) keyInHistory() bool {
	for _, f := range s.texts(`SELECT CAST(fulfillment_id AS text) FROM line_items`) {
		id := workflows.LineWorkflowID(f)
		text, err := temporalproto.CustomJSONMarshalOptions{}.Marshal(s.history(id))
		require.NoError(s.t, err)
		d, err := s.temporal.DescribeWorkflowExecution(context.Background(), id, "")
		require.NoError(s.t, err)
		for _, issued := range s.partner.Issued() {
			for _, key := range issued.Keys {
				if strings.Contains(string(text)+d.String(), key) {
					return true
				}
			}
		}
	}
	return false
}

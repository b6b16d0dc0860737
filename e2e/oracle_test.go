//go:build oracle

package e2e_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/temporalproto"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/audit"
	"keyturn.dev/keyturn/oracle"
	"keyturn.dev/keyturn/workflows"
)

// TestEveryPlantedBugIsCaught runs the bugs one at a time: make test/oracle.
func TestEveryPlantedBugIsCaught(t *testing.T) {
	for _, bug := range bugs {
		t.Run(bug.name, func(t *testing.T) {
			s := start(t, bug.options)
			s.product(keyturn.Product{ID: "editor", Sources: sources(fromPool("editor-keys"))}, keys("ORACLE", 100)...)
			s.product(keyturn.Product{ID: "studio", Sources: sources(fromEndpoint("studio"))})
			s.must(s.books(func(*audit.Evidence) {}).OK, "the books balance before")
			if bug.drop != "" {
				s.exec(bug.drop)
			}
			oracle.Plant(bug.name, bug.changes...)
			defer oracle.Plant("")
			bug.run(s)
			if bug.seen != nil {
				s.eventually(func() (bool, string) { return bug.seen(s), "it is not seen" })
				t.Logf("CAUGHT  %-48s %s", bug.name, bug.invariants)
				return
			}
			var violated []string
			s.eventually(func() (bool, string) {
				e := s.evidence()
				e.Slack = bug.slack
				r, err := audit.Run(context.Background(), e)
				require.NoError(t, err)
				violated = r.Violated()
				return slices.ContainsFunc(strings.Fields(bug.invariants), func(id string) bool { return slices.Contains(violated, id) }), strings.Join(violated, " ")
			})
			require.Empty(t, oracle.Unmet(), "a change of the bug met no statement")
			t.Logf("CAUGHT  %-48s %s", bug.name, strings.Join(violated, " "))
		})
	}
}

func (s *stack) must(ok bool, what string) { require.True(s.t, ok, what) }

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

package audit

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Lines under way everywhere are no violation, and everything that was to be looked at was.
func TestHealthyShopHasNoViolation(t *testing.T) {
	s := newShop(t)
	r := s.audit()
	for _, res := range r.Invariants {
		require.Empty(t, res.Listed, res.ID)
		require.True(t, res.Checked, res.ID)
		for _, c := range res.Looked {
			require.True(t, c.N > 0 || c.What == looksOutbox || c.What == looksHoneypots, "%s looked at no %s", res.ID, c.What)
		}
	}
	require.True(t, r.OK)
	require.Equal(t, len(invariants), r.Checked)
}

// Without evidence an invariant is not checked, and says so.
func TestMissingEvidenceIsSaid(t *testing.T) {
	s := newShop(t)
	r := s.auditWith(func(e *Evidence) { e.Mailbox, e.Partner, e.Temporal, e.Honeypots = nil, nil, nil, nil })
	require.True(t, r.OK)
	for _, id := range []string{"A5", "B4", "C1", "C2", "C3", "C7", "D3", "D5", "F6", "F7", "F8"} {
		require.False(t, r.Result(id).Checked, id)
		require.Contains(t, r.Result(id).NotChecked, "no evidence", id)
	}
	require.Contains(t, r.Result("D1").NotChecked, "in part")
}

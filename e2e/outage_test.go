package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/workflows"
)

// A partner is down while orders come in. Its lines wait without calling it, whatever their own delays are; one call at
// a time finds out when it is back, and then they go out at the rate that it allows, the oldest first. Other partners
// do not notice.
func TestLinesWaitForAPartnerThatIsDownAndGoOutOldestFirst(t *testing.T) {
	s := start(t, options{})
	const lines, perSecond, atOnce = 40, 10, 5
	acme := keyturn.Integration{ID: "acme", Limits: keyturn.Limits{PerSecond: perSecond, MaxConcurrent: atOnce}}
	s.integration(acme)
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("acme")), Retry: every(30*time.Minute, time.Hour)})
	s.product(keyturn.Product{ID: "other", Sources: sources(fromEndpoint("zenith"))})
	s.drill("acme", "status:503")

	orders := make([]*db.Accepted, lines)
	for i := range orders {
		orders[i] = s.order("cad")
	}
	s.eventually(func() (bool, string) {
		p := s.partnerState("acme")
		return p.Breaker != keyturn.BreakerClosed && p.Waiting >= lines-1, fmt.Sprintf("%+v", p)
	})
	for _, a := range orders {
		s.await(a, keyturn.OrderPartialCompleted)
	}
	tried := len(s.calls("acme", "create"))
	require.Less(t, tried, lines/2, "a partner that is down is not asked for every line")
	other := s.order("other")
	s.await(other, keyturn.OrderCompleted)

	s.drill("acme", "ok")
	acme.Limits.Timeout = keyturn.Duration(20 * time.Second)
	s.integration(acme) // what is new is tried at once
	for _, a := range orders {
		s.await(a, keyturn.OrderCompleted)
	}
	s.atRest(orders...)
	s.atRest(other)
	stats := s.partner.Stats("acme")
	require.LessOrEqual(t, stats.PeakPerSecond, perSecond)
	require.LessOrEqual(t, stats.MaxConcurrent, atOnce)

	place := map[string]int{}
	for i, a := range orders {
		place[fulfillment(a)] = i
	}
	served := map[string]bool{}
	for _, c := range s.calls("acme", "create") { // a call whose answer was lost is repeated, and gets the same key
		if c.KeyIssued != "" && !served[c.FulfillmentID] {
			require.InDelta(t, len(served), place[c.FulfillmentID], 3*perSecond,
				"the oldest first, to within the dispatch horizon")
			served[c.FulfillmentID] = true
		}
	}
	require.Len(t, served, lines)
	require.Equal(t, []string{"PartnerDown closed", "PartnerBack closed"}, s.texts(`
		SELECT cause || CASE WHEN closed_at IS NULL THEN ' open' ELSE ' closed' END FROM alerts WHERE subject = 'endpoint/acme' ORDER BY id`))
	require.LessOrEqual(t,
		s.count(`SELECT count(*) FROM alerts WHERE line_id IS NOT NULL AND mailed_at - opened_at > interval '0'`), tried,
		"the partner's alert stands for those of the lines that wait")

	// What waited and was dispatched has no more history than what failed once.
	events := len(s.history(workflows.LineWorkflowID(fulfillment(orders[lines-1]))).Events)
	require.Less(t, events, 60, "a call-up that times out is repeated as a signal")
	s.record(workflows.LineWorkflowID(fulfillment(orders[lines-1])), "endpoint-waited-for-its-partner")
}

// A partner that takes many calls at once and answers none of them for a long time does not take the worker from
// others.
func TestAPartnerThatHangsLeavesTheWorkerToOthers(t *testing.T) {
	s := start(t, options{slots: 8})
	s.drill("hangs", "slow:25s")
	s.integration(keyturn.Integration{ID: "hangs", Limits: keyturn.Limits{
		MaxConcurrent: 500, PerSecond: 500,
		Timeout: keyturn.Duration(30 * time.Second),
	}})
	s.product(keyturn.Product{ID: "cad", Sources: sources(fromEndpoint("hangs"))})
	s.product(keyturn.Product{ID: "other", Sources: sources(fromEndpoint("zenith"))})
	for range 12 { // more than the worker has slots
		s.order("cad")
	}
	running := func() int {
		return s.count(`SELECT count(*) FROM attempts WHERE source = 'endpoint/hangs' AND outcome = 'running'`)
	}
	s.eventually(func() (bool, string) { return running() >= 2, "the partner is not called" })
	others := []*db.Accepted{s.order("other"), s.order("other"), s.order("other")}
	for _, a := range others {
		s.await(a, keyturn.OrderCompleted)
	}
	require.Equal(t, 2, running(), "a quarter of the worker's slots, and they hang still")
	require.Equal(t, 2, s.count(`SELECT count(*) FROM attempts WHERE source = 'endpoint/hangs'`))
}

func (s *stack) partnerState(integration string) keyturn.PartnerState {
	s.t.Helper()
	p, err := s.db.PartnerState(context.Background(), integration)
	require.NoError(s.t, err)
	return p
}

// The partner issued a key and its answer was lost. Who can ask does not create again.
func TestLookUpFindsWhatWasIssuedBeforeTheAnswerWasLost(t *testing.T) {
	s := start(t, options{})
	creates := map[string]int{"timeout-after-issuing": 1, "cut-after-issuing": 1, "always-500": 2}
	orders := map[string]*db.Accepted{}
	for drill := range creates { // each is a partner with a product
		s.drill(drill, drill)
		s.integration(keyturn.Integration{
			ID: drill, Limits: keyturn.Limits{Timeout: keyturn.Duration(1500 * time.Millisecond)},
			Operations: map[string]keyturn.Operation{"lookup": {
				URLComplement: "/licenses/{{.LicenseID}}",
				ResponsePaths: map[string]keyturn.ResponsePath{"activationCode": {Path: "$.activationCode"}},
			}},
		})
		s.product(keyturn.Product{ID: drill, Sources: sources(fromEndpoint(drill)), Retry: patient})
		orders[drill] = s.order(drill)
	}
	for drill, a := range orders {
		f := fulfillment(a)
		s.awaitLine(f, keyturn.LineRetrying)
		s.failure(f)
		s.drill(drill, "ok")
		s.decide(f, keyturn.Resolution{Action: keyturn.ActionRetry})
		s.await(a, keyturn.OrderCompleted)
	}
	for drill, a := range orders {
		s.atRest(a)
		require.Len(t, s.calls(drill, "create"), creates[drill], drill)
		require.NotEmpty(t, s.calls(drill, "lookup"), drill)
	}
	var letters strings.Builder
	for _, l := range s.letters(buyer) {
		letters.WriteString(l.Text)
	}
	issued := s.partner.Issued()
	require.Len(t, issued, len(orders), "one key for each line")
	for _, key := range issued {
		require.Contains(t, letters.String(), key.Keys[0])
	}
}

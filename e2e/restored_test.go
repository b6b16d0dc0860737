package e2e_test

import (
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/starter"
	"keyturn.dev/keyturn/workflows"
)

// A customer pays while nobody listens, after the backup that is restored: the payment's processor is asked, and the
// order is made and delivered.
func TestASessionThatWasPaidAfterTheBackup(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: []keyturn.Source{keyturn.FromPool("p")}}, "OLD-1")
	link := s.link("", "game")
	address := s.orderAndPay(link)
	id := s.awaitPayment(link, keyturn.PaymentOpen)
	s.eventually(func() (bool, string) {
		_, err := s.temporal.DescribeWorkflowExecution(t.Context(), workflows.PaymentWorkflowID(id), "")
		return err == nil, "its workflow has not started"
	})
	since := time.Now()

	s.eventually(func() (bool, string) { // visibility is a moment late
		stopped, err := starter.StopWorkflows(t.Context(), s.temporal, s.queue)
		require.NoError(t, err)
		return stopped > 0, "the payment's workflow, which may know more than the database, is not stopped"
	})
	silent := s.sandbox
	silent.OnEvent = nil
	_, err := silent.Act(t.Context(), path.Base(address), keyturn.SandboxPay)
	require.NoError(t, err)
	s.eventually(func() (bool, string) { // visibility, too
		known, err := starter.PaymentOutcomes(t.Context(), s.temporal, s.queue, since.Add(-time.Hour))
		require.NoError(t, err)
		missing, err := s.db.MissingPayments(t.Context(), append(known, db.PaymentOutcome{PaymentID: link[len("lnk-"):]}))
		require.NoError(t, err)
		require.Len(t, missing, 1, "a payment that is not there is named")
		return len(known) == 1 && known[0] == db.PaymentOutcome{PaymentID: id, OrderID: link}, "it is not listed"
	})
	r, err := s.db.Restored(t.Context(), since, 0, nil)
	require.NoError(t, err)
	require.Equal(t, 1, r.Payments)
	s.starter.Wake()
	_, err = s.db.Import(t.Context(), "p", strings.NewReader("NEW-1\n"), "test", false)
	require.NoError(t, err)
	s.awaitLink(link, keyturn.OrderCompleted)
	s.awaitPayment(link, keyturn.PaymentCaptured)
	s.eventually(func() (bool, string) { return strings.Contains(lettersText(s.letters(buyer)), "NEW-1"), "no key" })
	require.NotContains(t, lettersText(s.letters(buyer)), "OLD-1")
}

func lettersText(all []letter) (text string) {
	for _, l := range all {
		text += l.Text
	}
	return text
}

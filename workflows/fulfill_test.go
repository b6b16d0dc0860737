package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestAPoolLineThatGoesWellIsOneWorkflowTask(t *testing.T) {
	t.Parallel()
	l := newLine(t, 0, keyturn.DoClaim)
	l.run()
	l.ends(keyturn.LineDelivered, 0, "ClaimKeys locally", "SendEmail locally")
	require.Empty(t, l.shown, "a line that goes well pays for no search attributes")
}

func TestAPartnersKeysAreSentInTheNextWorkflowTask(t *testing.T) {
	t.Parallel()
	l := newLine(t, 0, keyturn.DoCall)
	l.run()
	l.ends(keyturn.LineDelivered, 0, "CallEndpoint", "SendEmail locally")
	require.Empty(t, l.shown)
}

func TestAnOperationOnALicence(t *testing.T) {
	t.Parallel()
	l := newLine(t, 0, keyturn.DoClaim)
	l.apply = true
	l.run()
	l.ends(keyturn.LineDelivered, 0, "UpdateLicense locally")
}

// A database that is down, or an error of the first attempt, costs a line no more than a regular activity.
func TestAStepThatFailsLocallyGoesOnAsARegularActivity(t *testing.T) {
	t.Parallel()
	l := newLine(t, 0, keyturn.DoClaim)
	l.dbDown = 1
	l.run()
	l.ends(keyturn.LineDelivered, 0, "ClaimKeys locally: the database is down", "ClaimKeys", "SendEmail locally")
}

// A mail server that takes longer than a local activity may is waited for by a regular one, which finds the e-mail
// under way and then sent. Nothing is sent twice, and no failure is shown.
func TestASlowMailServerIsWaitedForOutsideTheWorkflowTask(t *testing.T) {
	t.Parallel()
	l := newLine(t, 0, keyturn.DoClaim)
	l.slowMail = 5 * time.Second
	l.run()
	l.ends(keyturn.LineDelivered, 6*time.Second, "ClaimKeys locally", "SendEmail locally",
		"SendEmail: another process is sending", "SendEmail: another process is sending",
		"SendEmail: another process is sending", "SendEmail")
	require.Empty(t, l.shown)
}

// The first failure comes back, so that the search attributes can tell; from then on the server repeats one activity,
// and the history does not grow.
func TestAFailedCallFollowsTheSchedule(t *testing.T) {
	t.Parallel()
	for name, skew := range skews {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLine(t, skew, keyturn.DoCall)
			l.partner = times(4, down)
			l.run()
			l.ends(keyturn.LineDelivered, 5*time.Second+5*time.Minute+30*time.Minute+2*time.Hour,
				"CallEndpoint", "timer 5s", "CallEndpoint", "CallEndpoint", "CallEndpoint", "CallEndpoint", "SendEmail")
			require.Equal(t, []string{"RETRYING true", "DELIVERED false"}, l.shown)
		})
	}
}

func TestAPartnersRetryAfterIsWaitedFor(t *testing.T) {
	t.Parallel()
	l := newLine(t, 0, keyturn.DoCall)
	l.partner = times(1, failure{kind: keyturn.KindRateLimited, after: time.Hour})
	l.run()
	l.ends(keyturn.LineDelivered, time.Hour, "CallEndpoint", "timer 1h", "CallEndpoint", "SendEmail")
}

// skews are how far the database's clock is ahead of Temporal's and the worker's.
var skews = map[string]time.Duration{
	"clocks agree": 0, "20 s behind": -20 * time.Second, "20 s ahead": 20 * time.Second, "an hour behind": -time.Hour,
	"an hour ahead": time.Hour,
}

// The deadline is the database's: whatever its clock says, a line is neither refunded earlier nor held up longer.
func TestALineIsRefundedAtItsDeadline(t *testing.T) {
	t.Parallel()
	for name, skew := range skews {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLine(t, skew, keyturn.DoCall)
			l.policy = keyturn.RetryPolicy{Schedule: []keyturn.Duration{keyturn.Duration(10 * time.Hour)}}.WithDefaults()
			l.partner = always(down)
			l.run()
			calls := []string{"CallEndpoint", "timer 10h"}
			for range 8 { // the last one at the deadline
				calls = append(calls, "CallEndpoint")
			}
			l.ends(keyturn.LineCanceled, 72*time.Hour, append(calls, "Refund")...)
			require.Equal(t, []string{"RETRYING true", "CANCELING true", "CANCELED false"}, l.shown)
		})
	}
}

func TestTheNextSourceStartsAtOnce(t *testing.T) {
	t.Parallel()
	l := newLine(t, 0, keyturn.DoCall, keyturn.DoClaim)
	l.partner = always(never)
	l.run()
	l.ends(keyturn.LineDelivered, 0, "CallEndpoint", "ClaimKeys", "SendEmail")
	require.Equal(t, []string{"RETRYING true", "DELIVERED false"}, l.shown)
}

func TestWhatCanNeverBeFulfilledIsRefundedAtOnce(t *testing.T) {
	t.Parallel()
	l := newLine(t, 0, keyturn.DoCall)
	l.partner = always(never)
	l.run()
	l.ends(keyturn.LineCanceled, 0, "CallEndpoint", "Refund")
}

func TestARefundIsRepeatedUntilItComesThrough(t *testing.T) {
	t.Parallel()
	l := newLine(t, 0, keyturn.DoCall)
	l.partner = always(never)
	l.payment = func(try int) bool { return try > 5 }
	l.run()
	l.ends(keyturn.LineCanceled, (2+4+8+16+32)*time.Second, "CallEndpoint", "Refund", "Refund", "Refund", "Refund",
		"Refund", "Refund")
}

func TestAnEmptyPoolIsLookedAtByTheSchedule(t *testing.T) {
	t.Parallel()
	l := newLine(t, 0, keyturn.DoClaim)
	l.stock = 0
	l.at(3*time.Minute, func() { l.stock = 1 })
	l.run()
	l.ends(keyturn.LineDelivered, 5*time.Minute+5*time.Second, "ClaimKeys locally", "timer 5s", "ClaimKeys", "ClaimKeys",
		"SendEmail")
	require.Equal(t, []string{"WAITING_FOR_STOCK true", "RETRYING true", "DELIVERED false"}, l.shown)
}

// New stock is given to those that wait, and the relay wakes them.
func TestALineThatIsServedFromNewStockIsWoken(t *testing.T) {
	t.Parallel()
	l := newLine(t, 0, keyturn.DoClaim)
	l.stock = 0
	l.at(time.Minute, l.wake(func() { l.obtained, l.status, l.nextAt = true, keyturn.LineRetrying, time.Time{} }))
	l.run()
	l.ends(keyturn.LineDelivered, time.Minute, "ClaimKeys locally", "timer 5s", "ClaimKeys", "ReviewLine", "SendEmail")
}

func TestAMailServerThatIsDownIsTriedByTheSchedule(t *testing.T) {
	t.Parallel()
	l := newLine(t, 0, keyturn.DoClaim)
	l.mail = times(3, down)
	l.run()
	l.ends(keyturn.LineDelivered, 5*time.Second+5*time.Minute+30*time.Minute,
		"ClaimKeys locally", "SendEmail locally", "timer 5s", "SendEmail", "SendEmail", "SendEmail")
	require.Equal(t, []string{"RETRYING true", "DELIVERED false"}, l.shown)
}

func TestAnOperationWaitsForThoseBeforeIt(t *testing.T) {
	t.Parallel()
	l := newLine(t, 0, keyturn.DoCall)
	l.blocked = true
	l.at(7*time.Hour, l.wake(func() { l.blocked = false }))
	l.run()
	l.ends(keyturn.LineDelivered, 7*time.Hour, "timer 72h", "ReviewLine", "CallEndpoint", "SendEmail locally")

	late := newLine(t, 0, keyturn.DoCall)
	late.blocked = true
	late.run()
	late.ends(keyturn.LineCanceled, 72*time.Hour, "timer 72h", "ReviewLine", "Refund")
}

// Operations hear at once that keys are to be supplied, and the line ends at its deadline if nobody does.
func TestALineByHandWaitsForAPerson(t *testing.T) {
	t.Parallel()
	l := newLine(t, 0, keyturn.DoAwait)
	l.run()
	l.ends(keyturn.LineCanceled, 72*time.Hour, "ReviewLine", "timer 72h", "ReviewLine", "Refund")

	supplied := newLine(t, 0, keyturn.DoAwait)
	supplied.at(2*time.Hour, func() { supplied.update(keyturn.Resolution{Action: keyturn.ActionSupply}) })
	supplied.run()
	supplied.ends(keyturn.LineDelivered, 2*time.Hour, "ReviewLine", "timer 72h", "RecordDecision supply",
		"SendEmail locally")
}

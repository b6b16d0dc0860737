package audit

// What a result says it looked at.
const (
	looksOrders       = "orders"
	looksLines        = "lines"
	looksOpen         = "open lines"
	looksSteps        = "steps"
	looksRequests     = "requests"
	looksAnswers      = "answers to requests"
	looksPoolKeys     = "pool keys"
	looksCodes        = "codes of partners and people"
	looksPools        = "pools"
	looksBatches      = "imports"
	looksAttempts     = "attempts"
	looksRevocations  = "revocations"
	looksDeliveries   = "e-mails"
	looksRefunds      = "refunds"
	looksPaid         = "provider's refunds"
	looksCaptured     = "provider's payments"
	looksListed       = "entries of processors' lists"
	looksAlerts       = "alerts"
	looksOutbox       = "outbox entries"
	looksLinks        = "checkout links"
	looksPayments     = "payments of checkout links"
	looksOpened       = "secrets opened"
	looksErased       = "erased customers"
	looksLicenses     = "licences"
	looksOperations   = "operations on licences"
	looksLetters      = "letters in the mailbox"
	looksPartnerCalls = "calls in the partner's log"
	looksWorkflows    = "open workflows"
	looksHistories    = "histories"
	looksHoneypots    = "calls of honeypots"
	looksSent         = "lines of the submission journal"
	looksEvents       = "events"
	looksEventsSent   = "events on their way to webhooks"
	looksBounces      = "reports about e-mails"
	looksChanges      = "changes of addresses"
)

// invariant is one thing that must always be so. IDs and severities are those of the catalogue of invariants.
type invariant struct {
	id       string
	severity Severity
	meaning  string
	looks    []string
	needs    need // without it nothing of the invariant can be checked
	betters  need // with it more of the invariant can be checked
}

// need is evidence besides the database.
type need string

const (
	needNothing   need = ""
	needMailbox   need = "mailbox"
	needPartner   need = "partner's log"
	needTemporal  need = "Temporal"
	needJournal   need = "journal of whoever sent the orders"
	needErasures  need = "list of erasures"
	needHoneypots need = "log of honeypots"
	// needProcessors is of payment providers whose books are not in the database
	needProcessors need = "lists of payment processors"
)

func (n need) given(e Evidence) bool {
	switch n {
	case needNothing:
		return true
	case needMailbox:
		return e.Mailbox != nil
	case needPartner:
		return e.Partner != nil
	case needTemporal:
		return e.Temporal != nil
	case needJournal:
		return e.Submissions != nil
	case needErasures:
		return e.Erasures != nil
	case needHoneypots:
		return e.Honeypots != nil
	case needProcessors:
		return e.Processors != nil
	}
	return false
}

// evidence says whether the invariant can be checked, and what is missing.
func (in invariant) evidence(e Evidence) (checked bool, missing string) {
	switch {
	case !in.needs.given(e):
		return false, "no evidence: needs the " + string(in.needs)
	case !in.betters.given(e):
		return true, "in part: the rest needs the " + string(in.betters)
	}
	return true, ""
}

// invariants are in the order of the report.
var invariants = []invariant{
	{
		id: "A1", severity: S0, meaning: "No order is lost: what was answered or captured has its order.",
		looks: []string{looksRequests, looksCaptured, looksSent}, betters: needJournal,
	},
	{
		id: "A2", severity: S0, meaning: "One request, one order: an idempotency key belongs to one order.",
		looks: []string{looksRequests, looksSent}, betters: needJournal,
	},
	{
		id: "A3", severity: S0, meaning: "No order came from nowhere: each has the record of the request that made it.",
		looks: []string{looksOrders, looksSent}, betters: needJournal,
	},
	{
		id: "A4", severity: S1, meaning: "An order costs what its lines cost, and that is what was captured.",
		looks: []string{looksOrders, looksLines, looksCaptured, looksSent}, betters: needJournal,
	},
	{
		id: "A5", severity: S0,
		meaning: "Whatever is still to be done has a workflow that does it, or the relay is about to start one.",
		looks:   []string{looksOpen, looksOutbox, looksWorkflows}, needs: needTemporal,
	},
	{
		id: "A6", severity: S0, meaning: "A line is not begun again, however late its order is repeated.",
		looks: []string{looksDeliveries, looksAttempts},
	},

	{
		id: "A7", severity: S0,
		meaning: "An order is what was answered when it was accepted: each is compared within a month.",
		looks:   []string{looksAnswers},
	},

	{id: "B1", severity: S0, meaning: "No key is on two units.", looks: []string{looksPoolKeys, looksCodes}},
	{
		id: "B2", severity: S0, meaning: "A line has exactly the keys that its quantity and its status give it.",
		looks: []string{looksLines, looksPoolKeys, looksCodes},
	},
	{
		id: "B3", severity: S0,
		meaning: "Keys are conserved: what was imported is there, and the stock figures are a recount.",
		looks:   []string{looksPools, looksBatches, looksPoolKeys},
	},
	{
		id: "B4", severity: S0,
		meaning: "An e-mail shows no key but those of its own line, and of the licence that the line is for.",
		looks:   []string{looksLetters}, needs: needMailbox,
	},
	{
		id: "B5", severity: S0, meaning: "A key that somebody may have seen is never for sale again.",
		looks: []string{looksDeliveries, looksPoolKeys, looksLetters}, betters: needMailbox,
	},
	{
		id: "B6", severity: S1, meaning: "Out of stock was said only when the pool had too little.",
		looks: []string{looksSteps, looksPoolKeys},
	},
	{
		id: "B7", severity: S1, meaning: "No line waits for stock while its pool has what the first in the queue needs.",
		looks: []string{looksPools, looksOpen},
	},
	{
		id: "B8", severity: S1, meaning: "Operations know of each pool below its threshold, and of no other.",
		looks: []string{looksPools},
	},

	{
		id: "C1", severity: S0, meaning: "A partner gets the same bytes at every attempt of one operation.",
		looks: []string{looksPartnerCalls}, needs: needPartner,
	},
	{
		id: "C2", severity: S0, meaning: "No call left before its attempt was booked.",
		looks: []string{looksPartnerCalls, looksAttempts}, needs: needPartner,
	},
	{
		id: "C3", severity: S0,
		meaning: "Every key that a partner issued was delivered to its line, or is being taken back, or is alerted.",
		looks:   []string{looksPartnerCalls, looksCodes}, needs: needPartner,
	},
	{
		id: "C4", severity: S0, meaning: "No partner is asked for a key once the line is decided.",
		looks: []string{looksAttempts, looksPartnerCalls}, betters: needPartner,
	},
	{
		id: "C5", severity: S0,
		meaning: "What an abandoned partner may have issued is taken back: acknowledged, owed, or alerted.",
		looks:   []string{looksAttempts, looksRevocations},
	},
	{
		id: "C6", severity: S0, meaning: "A partner's key comes from an answer that was good.",
		looks: []string{looksCodes, looksAttempts},
	},
	{
		id: "C7", severity: S0,
		meaning: "Nobody but the partner is asked: honeypots, such as where a redirect leads, saw no request.",
		looks:   []string{looksHoneypots}, needs: needHoneypots,
	},
	{
		id: "C8", severity: S1, meaning: "A line's partner is not asked again while an earlier call may still be under way.",
		looks: []string{looksAttempts},
	},
	{id: "C9", severity: S1, meaning: "No partner has more calls at once than it allows.", looks: []string{looksAttempts}},

	{
		id: "D1", severity: S2,
		meaning: "Every delivered line has an e-mail that went out, and arrived; who bought by a checkout link is told " +
			"what became of it.",
		looks: []string{looksLines, looksDeliveries, looksLetters}, betters: needMailbox,
	},
	{
		id: "D2", severity: S0,
		meaning: "An e-mail is booked before it leaves; its copies are the stored bytes, and no more than were tried.",
		looks:   []string{looksDeliveries, looksLetters}, betters: needMailbox,
	},
	{
		id: "D3", severity: S0,
		meaning: "An e-mail goes to the order's address alone, and has the headers that we write, each once.",
		looks:   []string{looksLetters}, needs: needMailbox,
	},
	{
		id: "D4", severity: S0, meaning: "No key is mailed once its line is cancelled.",
		looks: []string{looksDeliveries, looksLetters}, betters: needMailbox,
	},
	{
		id: "D5", severity: S1, meaning: "The text and the HTML of an e-mail show the line's keys exactly.",
		looks: []string{looksLetters}, needs: needMailbox,
	},
	{id: "D6", severity: S1, meaning: "A line's e-mails are numbered without a gap.", looks: []string{looksDeliveries}},
	{
		id: "M1", severity: S1, meaning: "Of an e-mail that came back operations know, or another was made.",
		looks: []string{looksBounces, looksAlerts},
	},
	{
		id: "M2", severity: S1,
		meaning: "Of a corrected address the one before was told once, and each e-mail was made anew for it once, in time.",
		looks:   []string{looksChanges},
	},

	{
		id: "E1", severity: S0,
		meaning: "A line is refunded once, by its own amount, and an order by no more than was captured.",
		looks:   []string{looksRefunds, looksPaid},
	},
	{
		id: "E2", severity: S0, meaning: "A cancelled line has its money back, or its refund is under way.",
		looks: []string{looksLines, looksRefunds, looksPaid},
	},
	{
		id: "E3", severity: S0, meaning: "Delivered or refunded: no line is both, and none that may be both goes unnoticed.",
		looks: []string{looksLines, looksRefunds, looksDeliveries, looksLetters}, betters: needMailbox,
	},
	{
		id: "E4", severity: S0,
		meaning: "A provider is asked for a refund under the line's one key, and not before the attempt is booked.",
		looks:   []string{looksRefunds, looksPaid},
	},

	{
		id: "F1", severity: S1,
		meaning: "A line's steps are a path in the table of transitions, lead to its status, and were decided.",
		looks:   []string{looksLines, looksSteps},
	},
	{
		id: "F2", severity: S1,
		meaning: "A line in trouble has an open alert, a decided one has none, and operations were told.",
		looks:   []string{looksOpen, looksAlerts},
	},
	{
		id: "F3", severity: S1, meaning: "An order's counts are a recount of its lines and its status is their function.",
		looks: []string{looksOrders, looksLines},
	},
	{
		id: "F4", severity: S2, meaning: "No line is undecided past its deadline, and no refund is late without an alert.",
		looks: []string{looksOpen, looksRefunds},
	},
	{
		id: "F5", severity: S2, meaning: "Nothing stays under way longer than its lease or waits for a time that has passed.",
		looks: []string{looksOpen, looksAttempts, looksDeliveries, looksOutbox, looksRevocations},
	},
	{
		id: "F6", severity: S1, meaning: "Every open workflow has something left to do.", looks: []string{looksWorkflows},
		needs: needTemporal,
	},
	{
		id: "F7", severity: S1, meaning: "No history grows towards Temporal's limits.", looks: []string{looksHistories},
		needs: needTemporal,
	},
	{
		id: "F8", severity: S1, meaning: "This build can go on with what Temporal keeps: the newest lines' histories replay.",
		looks: []string{looksHistories}, needs: needTemporal,
	},

	{
		id: "L1", severity: S1,
		meaning: "A licence is what its create and what was done to it since make of it, and its buyer's.",
		looks:   []string{looksLicenses, looksOperations},
	},
	{
		id: "L2", severity: S1,
		meaning: "Operations on a licence are carried out one at a time, in the order in which they were accepted.",
		looks:   []string{looksOperations},
	},

	{
		id: "G1", severity: S0, meaning: "Nothing of the newest lines' keys and customers stands where anybody may read it.",
		looks: []string{looksLines, looksHistories}, betters: needTemporal,
	},
	{
		id: "G2", severity: S0,
		meaning: "Secrets open where they stand, and only there, and orders are found by their own address: each in a month.",
		looks:   []string{looksOpened},
	},
	{
		id: "G3", severity: S0, meaning: "What was erased is gone, also after a restore.", looks: []string{looksErased},
		betters: needErasures,
	},
	{
		id: "G4", severity: S0, meaning: "What is answered to a client is about that client's own order.",
		looks: []string{looksRequests},
	},

	{
		id: "P1", severity: S0,
		meaning: "An order of a checkout link has one payment that was authorized or taken; every other payment of the " +
			"link went back.",
		looks: []string{looksLinks, looksPayments},
	},
	{
		id: "P2", severity: S0,
		meaning: "What was captured is what the lines cost that were not given up before, and no more than was authorized.",
		looks:   []string{looksPayments, looksRefunds},
	},
	{
		id: "P3", severity: S0, meaning: "No key is mailed or shown before its money was taken.",
		looks: []string{looksPayments, looksDeliveries},
	},
	{
		id: "P4", severity: S1, meaning: "Each authorization is captured, let go or lost in time.",
		looks: []string{looksPayments},
	},
	{
		id: "P5", severity: S0, meaning: "The processor's sessions, payments and refunds and our rows agree, both ways.",
		looks: []string{looksPayments, looksListed}, betters: needProcessors,
	},
	{id: "P6", severity: S0, meaning: "No checkout link is sold twice.", looks: []string{looksLinks}},
	{
		id: "P7", severity: S1, meaning: "Units are set aside for customers who can pay, and for nobody else.",
		looks: []string{looksPayments},
	},
	{
		id: "P8", severity: S1, meaning: "After each event of a processor it was asked where the payment stands.",
		looks: []string{looksPayments, looksListed}, betters: needProcessors,
	},

	{
		id: "N1", severity: S1,
		meaning: "Each step of an order that a webhook wants is told, and what came of its payment: one event, given to " +
			"each webhook that wants it.",
		looks: []string{looksSteps, looksOrders, looksEvents},
	},
	{
		id: "N2", severity: S1, meaning: "A receiver gets the event's own bytes, at each try.",
		looks: []string{looksEventsSent},
	},
	{
		id: "N3", severity: S0, meaning: "No event holds keys or customers of the newest lines.",
		looks: []string{looksEvents},
	},
	{
		id: "N4", severity: S2, meaning: "No event waits for its number, or longer than the schedule of its tries.",
		looks: []string{looksEvents, looksEventsSent},
	},
}

package keyturn

import (
	"slices"
	"time"
)

// Action is what a person decides on a line.
type Action string

// The actions, explained in docs/understand/state-machine.md.
const (
	ActionRetry   Action = "retry"   // try again now
	ActionSupply  Action = "supply"  // deliver these keys instead
	ActionRefund  Action = "refund"  // give up now and refund
	ActionHold    Action = "hold"    // stop retrying until released; the deadline keeps running
	ActionRelease Action = "release" // go on after hold
	ActionExtend  Action = "extend"  // move the deadline
)

// Actions are all of them.
var Actions = []Action{ActionRetry, ActionSupply, ActionRefund, ActionHold, ActionRelease, ActionExtend}

// Resolution is a person's decision as it travels to the workflow: the payload of the signal and the Update `resolve`.
// It carries no keys: those of a supply are stored first (POST …/resolution does both) and found by the fulfillment.
type Resolution struct {
	ID     string     `json:"id,omitempty"` // makes a repeated request one decision; optional
	Action Action     `json:"action"`
	Until  *time.Time `json:"until,omitempty"` // hold: released by itself then; extend: the new deadline
	Reason string     `json:"reason,omitempty"`
	By     string     `json:"by,omitempty"`
}

// actionAllowed lists the statuses in which each action makes sense.
var actionAllowed = map[Action][]LineStatus{
	ActionRetry:   {LineRetrying, LineWaitingForStock, LineHeld},
	ActionSupply:  {LinePending, LineRetrying, LineWaitingForStock, LineHeld},
	ActionRefund:  {LinePending, LineObtained, LineRetrying, LineWaitingForStock, LineHeld},
	ActionHold:    {LinePending, LineObtained, LineRetrying, LineWaitingForStock},
	ActionRelease: {LineHeld},
	ActionExtend:  {LinePending, LineObtained, LineRetrying, LineWaitingForStock, LineHeld},
}

// Allows says whether the action makes sense for a line in this status.
func (a Action) Allows(s LineStatus) bool { return slices.Contains(actionAllowed[a], s) }

// Check says what is wrong with the decision by itself, whatever the time. CheckUntil judges its time.
func (r Resolution) Check() error {
	var bad Problems
	bad.Check(slices.Contains(Actions, r.Action), "action", "must be retry, supply, refund, hold, release or extend")
	bad.Check(cleanText(r.ID, 0, 100), "id", "must be at most 100 printable characters")
	bad.Check(cleanText(r.Reason, 0, 500), "reason", "must be at most 500 printable characters")
	bad.Check(cleanText(r.By, 0, 100), "by", "must be at most 100 printable characters")
	takesUntil := r.Action == ActionHold || r.Action == ActionExtend
	bad.Check(r.Until == nil || takesUntil, "until", "belongs to hold and extend only")
	bad.Check(r.Until != nil || r.Action != ActionExtend, "until", "is required for extend: the new deadline")
	return bad.Err("the resolution is not valid")
}

// CheckUntil says what is wrong with the decision's time at the given one, which is the database's: its clock decides
// when that time has come.
func (r Resolution) CheckUntil(now time.Time) error {
	var bad Problems
	if r.Until != nil {
		bad.Check(r.Until.After(now) && r.Until.Before(now.Add(maxGiveUp)), "until", "must be in the future, within %s",
			Duration(maxGiveUp))
	}
	return bad.Err("the resolution is not valid")
}

package keyturn

import (
	"slices"
	"strings"
	"time"
)

// LicenseStatus is where a licence stands: what a customer owns over time, from the delivery of its create on.
type LicenseStatus string

// The statuses of a licence (docs/understand/partner-contract.md, Operations). There is no way back from Canceled.
const (
	LicenseRunning  LicenseStatus = "Running"
	LicensePaused   LicenseStatus = "Paused"
	LicenseCanceled LicenseStatus = "Canceled"
	LicenseExpired  LicenseStatus = "Expired" // by the clock alone: its term is over
)

// LicenseStatuses are all of them.
var LicenseStatuses = []LicenseStatus{LicenseRunning, LicensePaused, LicenseCanceled, LicenseExpired}

// LicenseTransitions is the one table of what an operation makes of a licence. The database has the same rows in
// license_transitions, the chart in docs/use/licenses.md shows them, and tests keep the three equal. create is not in
// it: it makes the licence.
var LicenseTransitions = map[LicenseStatus]map[OperationName]LicenseStatus{
	LicenseRunning: {
		OpRenew: LicenseRunning, OpUpgrade: LicenseRunning, OpPause: LicensePaused, OpCancel: LicenseCanceled,
	},
	LicensePaused: {
		OpRenew: LicenseRunning, OpUpgrade: LicenseRunning, OpResume: LicenseRunning, OpCancel: LicenseCanceled,
	},
	LicenseExpired:  {OpRenew: LicenseRunning, OpCancel: LicenseCanceled},
	LicenseCanceled: {},
}

// After gives what the operation makes of a licence in this status; false if it makes no sense there.
func (s LicenseStatus) After(op OperationName) (LicenseStatus, bool) {
	to, ok := LicenseTransitions[s][op]
	return to, ok
}

// At gives the status at a time: a licence whose term is over is Expired, whatever it was before; a cancelled one stays
// so.
func (s LicenseStatus) At(now time.Time, expiresAt *time.Time) LicenseStatus {
	if s != LicenseCanceled && expiresAt != nil && !now.Before(*expiresAt) {
		return LicenseExpired
	}
	return s
}

// Allowed names the operations that make sense in this status, for an error that says what would.
func (s LicenseStatus) Allowed() string {
	var names []string
	for op := range LicenseTransitions[s] {
		names = append(names, string(op))
	}
	if len(names) == 0 {
		return "nothing"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// ExistingOperations are the operations on a licence that exists.
var ExistingOperations = []OperationName{OpRenew, OpUpgrade, OpPause, OpResume, OpCancel}

// BringsKeys says that the operation may bring a key, or the news of one: a line of it is delivered by its e-mail. The
// others are done when they are done, and their e-mail is a notice.
func (o OperationName) BringsKeys() bool {
	return o == OpCreate || o == OpRenew || o == OpUpgrade
}

// LegacyOperations are what the first contract called two operations; an integration's definitions may still use them.
var LegacyOperations = map[OperationName]string{OpPause: "suspend", OpResume: "reactivate"}

// Defines says whether the integration has a definition for the operation: its own, the fallback, or the default one.
func (in Integration) Defines(op OperationName) bool {
	if in.IsDefault() {
		return true
	}
	for _, name := range []string{string(op), LegacyOperations[op], "fallback"} {
		if _, ok := in.Operations[name]; ok && name != "" {
			return true
		}
	}
	return false
}

// IsDefault says that the integration speaks Nexway's default template: it defines nothing but, perhaps, a look-up, and
// that it uses the old name of an operation (an empty definition under that name).
func (in Integration) IsDefault() bool {
	for name, def := range in.Operations {
		if name != string(OpLookUp) && !in.UsesLegacy(name, def) {
			return false
		}
	}
	return true
}

// UsesLegacy says that a definition only says that the partner knows an operation under its old name.
func (in Integration) UsesLegacy(name string, def Operation) bool {
	for _, legacy := range LegacyOperations {
		if name == legacy {
			return def.URLComplement == "" && def.BodyTemplate == "" && len(def.HTTPHeaders) == 0 &&
				len(def.ResponsePaths) == 0 && def.ReplyFormat == "" && def.Signature == nil
		}
	}
	return false
}

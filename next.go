package keyturn

// Do is what a line needs next.
type Do string

const (
	DoClaim   Do = "claim"   // take keys from a pool
	DoCall    Do = "call"    // call the partner
	DoCapture Do = "capture" // take the money that is authorized
	DoDeliver Do = "deliver" // send the e-mail
	DoAwait   Do = "await"   // wait for a person, at most Wait
	DoApply   Do = "apply"   // book an operation on a licence that needs nobody outside
	DoQueue   Do = "queue"   // wait until the operations before it on the same licence are decided
	DoRefund  Do = "refund"  // give the money back
	DoNothing Do = "nothing" // the line is decided
)

// Next is what every step on a line answers: where the line stands and what it needs now. The database computes it from
// what is true; the workflow obeys. It carries IDs, statuses and error kinds only, so all of it may be in a history.
//
// Wait and Left are durations that the database computes from its own clock at the moment it answers. They are written
// as "5m" or "1m30.5s". Whoever receives them measures them with its own clock, so a database, a worker and a Temporal
// server whose clocks differ still agree on how long to wait.
type Next struct {
	Do     Do         `json:"do"`
	Status LineStatus `json:"status"`
	Source string     `json:"source,omitempty"` // Source.Name of the current source
	Wait   Duration   `json:"wait,omitzero"`    // how long until it is due; zero: at once
	// how long until the deadline, by which the line is delivered or refunded
	Left     Duration `json:"left,omitzero"`
	Attempts int      `json:"attempts,omitempty"`
	Version  int      `json:"version,omitempty"` // of the line: of two answers, the higher one is newer
	Failure  *Failure `json:"failure,omitempty"`
}

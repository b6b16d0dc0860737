package db

import (
	"fmt"
	"time"

	"keyturn.dev/keyturn"
)

// CallFacts is everything a request to a partner is made of. It holds personal data and secrets.
type CallFacts struct {
	Integration         keyturn.Integration // of an endpoint source; zero for a dynamic URL
	IntegrationVersion  int64
	Source              keyturn.Source
	Operation           keyturn.OperationName
	LicenseID           string // the fulfillmentId of the create; for further units one derived from it
	Units               int    // codes this call must bring
	UnitNo              int
	FulfillmentID       string
	OrderID             string
	Line                keyturn.LineItem
	Product             keyturn.Product
	Price               keyturn.Money // of the line
	OrderPrice          keyturn.Money // of all lines
	AcceptedAt          time.Time
	Customer            keyturn.Customer
	CartExternalContext string
	License             LicenseFacts // of an operation on a licence that exists
	Stored              []byte       // the request of the earlier attempts, if there was one
}

// RenderCall makes the bytes of a request to a partner, or gives those that are stored, byte for byte. ErrMoved when
// these cannot be sent because the partner has another address now; KindInvalid and KindConfiguration when the request
// cannot be made of these facts.
type RenderCall func(CallFacts) ([]byte, error)

// CallTimeout is how long a call of the integration may take.
type CallTimeout func(keyturn.Integration) time.Duration

// Call is one attempt that was booked before it leaves.
type Call struct {
	CallFacts
	Attempt  int
	Request  []byte    // as Render made it at the first attempt
	Expires  time.Time // by this process's clock: nothing of this call happens later
	Troubled bool      // the partner has failed of late: a success is worth booking
	Probe    bool      // it finds out whether a partner that is down is back

	deadline time.Time // Expires by the database's clock, and never before it: until then nobody else calls
	line     *line     // as it was saved with this call; nil if this is not its first attempt
	asleep   bool      // the run that its workflow waits for is another one, which sleeps
}

// newCall is a call that begins now. A call that takes its process by surprise (a long pause, a slow answer of the
// database) has less time, never more than its row says.
func (l *line) newCall(f CallFacts, attempt int, timeout time.Duration) *Call {
	return &Call{CallFacts: f, Attempt: attempt, Expires: l.readAt.Add(timeout), deadline: l.Now.Add(timeout)}
}

// Result begins the account of what became of the call.
func (c *Call) Result() CallResult {
	return CallResult{Attempt: c.Attempt, UnitNo: c.UnitNo, Troubled: c.Troubled, Probe: c.Probe, line: c.line}
}

// CallResult is what became of a call.
type CallResult struct {
	Attempt    int
	Troubled   bool // of the Call
	Probe      bool // of the Call
	UnitNo     int
	Sent       bool // the partner may have seen the request
	Unknown    bool // it may have been carried out: no answer, or one that does not say
	NotIssued  bool // the answer to a look-up: the create was not carried out
	HTTPStatus int
	Duration   time.Duration
	Failed     *StepFailure // nil: success
	// For the attempt's message, which stays in the database: the partner's own words on a failure, made printable, or
	// what is odd about a success.
	PartnerSays string
	Codes       []keyturn.Secret
	Links       []string
	Files       []File
	Additional  map[string][]string
	Reply       []byte // redacted

	line *line // of the Call
}

// File is a deliverable that is a file.
type File struct {
	Name        string `json:"name"`
	ContentType string `json:"contentType"`
	Data        []byte `json:"data"`
}

// requestAt is what a stored request is bound to.
func requestAt(lineID, source, operation string, unit int) string {
	return fmt.Sprintf("partner_requests/%s/%s/%s/%d", lineID, source, operation, unit)
}

func (c *Call) requestAt(l *line) string {
	return requestAt(l.ID, c.Source.Name(), string(c.Operation), c.UnitNo)
}

// replyAt is what a stored reply is bound to.
func replyAt(lineID string, attempt int) string {
	return fmt.Sprintf("attempts/%s/%d", lineID, attempt)
}

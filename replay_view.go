package keyturn

import "time"

// Replayed says what today's catalog makes of a stored attempt: nobody is called and nothing is changed.
type Replayed struct {
	FulfillmentID string          `json:"fulfillmentId"`
	Attempt       ReplayedAttempt `json:"attempt"`
	Request       ReplayedRequest `json:"request"`
	// Reply is absent where none was kept. Codes, links, files and personal data in it were masked when it was stored, and
	// read as what they are.
	Reply   *ReplyExplained `json:"reply,omitempty" doc:"What the stored reply means today. Absent if no reply was kept."`
	Meaning string          `json:"meaning" doc:"The result in one sentence."`
}

// ReplayedAttempt is the attempt as it was.
type ReplayedAttempt struct {
	No         int            `json:"no"`
	StartedAt  time.Time      `json:"startedAt"`
	Source     string         `json:"source"`
	Operation  string         `json:"operation"`
	Outcome    AttemptOutcome `json:"outcome" enum:"running,success,failed,unknown,late"`
	HTTPStatus int            `json:"httpStatus,omitempty"`
	ErrorKind  string         `json:"errorKind,omitempty"`
	Message    string         `json:"message,omitempty"`
}

// ReplayedRequest compares what was sent with what a new line would send today.
type ReplayedRequest struct {
	Stored  string `json:"stored,omitempty"`
	Today   string `json:"today,omitempty"`
	Same    bool   `json:"same" doc:"Both are equal, byte for byte."`
	Problem string `json:"problem,omitempty" doc:"Why today's templates cannot render the request."`
}

// ReplyExplained is what an integration makes of a reply. Codes, links and files in it are masked.
type ReplyExplained struct {
	HTTPStatus   int                 `json:"httpStatus"`
	Body         string              `json:"body"`
	Values       []ValueExplained    `json:"values"`
	Outcome      string              `json:"outcome" enum:"Success,Retryable,Permanent"`
	Kind         Kind                `json:"kind,omitempty"`
	Reason       string              `json:"reason"`
	ErrorCode    string              `json:"errorCode,omitempty"`
	ErrorMessage string              `json:"errorMessage,omitempty"`
	RetryAfter   Duration            `json:"retryAfter,omitempty"`
	Codes        int                 `json:"activationCodes"`
	Units        int                 `json:"units" doc:"How many of the codes are for the customer; 0 if unknown."`
	Link         bool                `json:"activationLink"`
	FileBytes    int                 `json:"fileBytes,omitempty"`
	Additional   map[string][]string `json:"additional,omitempty"`
}

// ValueExplained is what one response path selects, before its conversion.
type ValueExplained struct {
	Name      string   `json:"name"`
	Path      string   `json:"path"`
	Found     []string `json:"found" doc:"At most ten values, each truncated."`
	Matches   int      `json:"matches"`
	Converted bool     `json:"converted,omitempty"`
	Problem   string   `json:"problem,omitempty"`
}

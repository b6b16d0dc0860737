package keyturn

import "time"

// The values of Change.Change and of the header Keyturn-Change.
const (
	Created   = "created"
	Changed   = "changed"
	Unchanged = "unchanged"
)

// ChangeHeader is the response header that says what a PUT did: created, changed or unchanged.
const ChangeHeader = "Keyturn-Change"

// Change says what a PUT would do to a catalog entry.
type Change struct {
	Change      string       `json:"change" enum:"created,changed,unchanged"`
	Differences []Difference `json:"differences"`
}

// ChangeOf is the Change.Change of an entry that is new, or of one that has changed or not.
func ChangeOf(created, changed bool) string {
	switch {
	case created:
		return Created
	case changed:
		return Changed
	}
	return Unchanged
}

// Difference is one value that a PUT would change. Secrets are masked. From is empty for an added value, To for a
// removed one.
type Difference struct {
	Location string `json:"location"`
	From     string `json:"from,omitempty"`
	To       string `json:"to,omitempty"`
}

// ProductList is all products by ID.
type ProductList struct {
	Products []Product `json:"products"`
}

// PoolList is all pools by ID.
type PoolList struct {
	Pools []Pool `json:"pools"`
}

// IntegrationList is all integrations by ID, without their secrets.
type IntegrationList struct {
	Integrations []Integration `json:"integrations"`
}

// IntegrationView is an integration without its secrets, with the state of its partner and its certificates.
type IntegrationView struct {
	Integration
	Partner      PartnerState  `json:"partner"`
	Certificates []Certificate `json:"certificates,omitempty"`
}

// Values of PartnerState.Breaker.
const (
	BreakerClosed  = "closed"  // calls go out
	BreakerOpen    = "open"    // the partner is down; lines wait
	BreakerProbing = "probing" // the partner was down, and one call finds out whether it is back
)

// PartnerState is the state of a partner, as all workers see it.
type PartnerState struct {
	Breaker   string     `json:"breaker" enum:"closed,open,probing"`
	Failing   int        `json:"failing" doc:"Distinct lines whose calls have failed since the last reply. Five open the breaker."`
	OpenedAt  *time.Time `json:"openedAt,omitempty"`
	NextTryAt *time.Time `json:"nextTryAt,omitempty" doc:"No call goes out before this time: the next probe, or the partner's Retry-After."`
	Failure   string     `json:"failure,omitempty" doc:"The most recent failure."`
	Running   int        `json:"running" doc:"Calls in progress."`
	Waiting   int        `json:"waiting" doc:"Lines waiting for their turn."`
	OldestAt  *time.Time `json:"oldestWaitingSince,omitempty" doc:"When the oldest waiting line was ordered."`
}

// Certificate is a certificate of an integration.
type Certificate struct {
	Use         string    `json:"use" enum:"ca,server,client" doc:"ca: an authority of tls.ca. server: a certificate of tls.ca that is no authority, the server's own. client: of tls.clientCert."`
	Subject     string    `json:"subject"`
	Fingerprint string    `json:"fingerprint" doc:"SHA-256, in hexadecimal."`
	NotAfter    time.Time `json:"notAfter"`
}

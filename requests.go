package keyturn

import "time"

// Cancellation is the body of POST /v1/orders/{id}/cancellation.
type Cancellation struct {
	Reason string `json:"reason,omitempty" doc:"Recorded with the cancellation; at most 500 characters."`
}

// ResolutionRequest is the body of POST /v1/fulfillments/{id}/resolution.
type ResolutionRequest struct {
	ID     string     `json:"id,omitempty" doc:"Makes repeated requests one decision. Generated if absent."`
	Action Action     `json:"action" enum:"retry,supply,refund,hold,release,extend"`
	Keys   []string   `json:"keys,omitempty" doc:"For supply: one key per unit."`
	Until  *time.Time `json:"until,omitempty" doc:"For hold: when it is released automatically. For extend: the new deadline."`
	Reason string     `json:"reason,omitempty" doc:"Recorded with the decision."`
}

// ResendRequest is the body of POST /v1/fulfillments/{id}/resend.
type ResendRequest struct {
	Email string `json:"email,omitempty" doc:"The recipient, if not the order's e-mail address. Where the e-mail before came back, it becomes the order's, and the old one is told."`
	Asked bool   `json:"asked,omitempty" doc:"To the address that the customer gave on the order page, and that waits for a person's yes. It becomes the order's. With email, only if that is the address."`
}

// ReplacementRequest is the body of POST /v1/fulfillments/{id}/replacement.
type ReplacementRequest struct {
	Reason string `json:"reason" doc:"Recorded with the replacement."`
	Units  []int  `json:"units,omitempty" doc:"Which of the line's keys to replace, counted from 0. Default: all."`
}

// LicenseOperation is the body of POST /v1/licenses/{id}/operations.
type LicenseOperation struct {
	Operation OperationName `json:"operation" enum:"renew,upgrade,pause,resume,cancel"`
	ProductID string        `json:"productId,omitempty" doc:"For upgrade: the product to upgrade to."`
	ExpiresAt *time.Time    `json:"expiresAt,omitempty" doc:"For renew and resume: the end of the term, unless the source states it."`
}

// RecallRequest is the body of POST /v1/pools/{id}/batches/{batchId}/recall.
type RecallRequest struct {
	Reason  string `json:"reason" doc:"Recorded with the recall."`
	Replace bool   `json:"replace,omitempty" doc:"Send everyone who bought a key of the batch another key of the pool by e-mail."`
}

// KeyRequest names a key of a pool. It is a body because keys must not appear in URLs, which end up in logs.
type KeyRequest struct {
	Key    string `json:"key"`
	Reason string `json:"reason,omitempty" doc:"Recorded with the change."`
}

// CloseRequest is the body of POST /v1/alerts/{id}/close.
type CloseRequest struct {
	Reason string `json:"reason" doc:"How the alert was resolved. Recorded."`
}

package keyturn

// EventStatus is where an event stands on its way to a receiver.
type EventStatus string

// The statuses of an event on its way.
const (
	EventPending   EventStatus = "PENDING"   // it is sent, or sent again, at its time
	EventDelivered EventStatus = "DELIVERED" // the receiver took it
	EventFailed    EventStatus = "FAILED"    // it is not sent any more
)

// EventStatuses are all of them. The database's constraint agrees.
var EventStatuses = []EventStatus{EventPending, EventDelivered, EventFailed}

// WebhookPut is what a PUT of a webhook answers: the webhook as it is stored, and a secret that Keyturn has made for it.
type WebhookPut struct {
	Webhook
	NewSecret string `json:"newSecret,omitempty" doc:"The secret that signs the requests, shown this once. Absent unless Keyturn has just made it."`
}

// WebhookList is all webhooks by ID, without their secrets.
type WebhookList struct {
	Webhooks []Webhook `json:"webhooks"`
}

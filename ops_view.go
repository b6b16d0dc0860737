package keyturn

import "time"

// What Health says.
const (
	HealthOK          = "ok"
	HealthUnavailable = "unavailable"
)

// Health says whether a process can do its work, and which of what it depends on answers.
type Health struct {
	Status   string `json:"status" enum:"ok,unavailable"`
	Database string `json:"database,omitempty" enum:"ok,unavailable"`
	Temporal string `json:"temporal,omitempty" enum:"ok,unavailable" doc:"Orders are accepted without Temporal; their delivery waits for it."`
	// MissingSearchAttributes are those that Temporal's namespace lacks. Without them no workflow starts.
	MissingSearchAttributes []string `json:"missingSearchAttributes,omitempty" doc:"Search attributes that Temporal's namespace lacks; without them no workflow starts."`
}

// Alerts are alerts, the newest first.
type Alerts struct {
	Alerts []AlertView `json:"alerts"`
}

// AlertView is an alert as operators see it. It names no customer and no key.
type AlertView struct {
	ID            int64      `json:"id"`
	Cause         AlertCause `json:"cause"`
	Severity      Severity   `json:"severity" enum:"critical,error,warning,info"`
	Happened      string     `json:"happened"`
	ToDo          string     `json:"toDo" doc:"What a person should do about it."`
	OrderID       string     `json:"orderId,omitempty"`
	FulfillmentID string     `json:"fulfillmentId,omitempty"`
	ProductID     string     `json:"productId,omitempty"`
	Source        string     `json:"source,omitempty"`
	Pool          string     `json:"pool,omitempty"`
	Subject       string     `json:"subject,omitempty" doc:"What the alert is about, if neither a line nor a pool."`
	OpenedAt      time.Time  `json:"openedAt"`
	ToldAt        *time.Time `json:"toldAt,omitempty" doc:"When the alert was sent to operations."`
	ClosedAt      *time.Time `json:"closedAt,omitempty"`
	ClosedBy      string     `json:"closedBy,omitempty" doc:"Who closed it. Absent if it closed automatically."`
	CloseReason   string     `json:"closeReason,omitempty"`
	Closable      bool       `json:"closable" doc:"Stays open until a person closes it."`
}

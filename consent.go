package keyturn

import "time"

// Consent is what a customer agreed to when ordering, frozen as it was shown.
type Consent struct {
	Text    string    `json:"text"`
	Version string    `json:"version"` // a hash of the text
	Locale  string    `json:"locale"`
	At      time.Time `json:"at"`
}

package endpoint

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"keyturn.dev/keyturn"
)

// Deliverable is what the customer gets. All of it may be absent: a bare acknowledgement is a valid answer. It
// prints, logs and marshals as a count; Encode is the one way to write its values.
type Deliverable struct {
	// distinct, in the reply's order; may be more than were asked for, then the first ones count
	ActivationCodes []keyturn.Secret
	ActivationLinks []keyturn.Secret // likewise
	Files           []File           // likewise
}

// File is activationFileContent, decoded. Name is activationFileName, made safe, or ours; ContentType is ours.
type File struct {
	Name        string `json:"name"`
	ContentType string `json:"contentType"`
	Data        []byte `json:"data"`
}

// Empty reports whether there is nothing for the customer: a bare acknowledgement.
func (d Deliverable) Empty() bool {
	return len(d.ActivationCodes) == 0 && len(d.ActivationLinks) == 0 && len(d.Files) == 0
}

type plainDeliverable struct {
	ActivationCodes []string `json:"activationCodes,omitempty"`
	ActivationLinks []string `json:"activationLinks,omitempty"`
	Files           []File   `json:"files,omitempty"`
}

// Encode writes the values themselves as JSON, for whoever encrypts them.
func (d Deliverable) Encode() ([]byte, error) {
	plain := plainDeliverable{Files: d.Files}
	for _, link := range d.ActivationLinks {
		plain.ActivationLinks = append(plain.ActivationLinks, link.Reveal())
	}
	for _, code := range d.ActivationCodes {
		plain.ActivationCodes = append(plain.ActivationCodes, code.Reveal())
	}
	return json.Marshal(plain)
}

// DecodeDeliverable reads what Encode wrote.
func DecodeDeliverable(data []byte) (Deliverable, error) {
	var plain plainDeliverable
	if err := json.Unmarshal(data, &plain); err != nil {
		return Deliverable{}, keyturn.Errorf(keyturn.KindInternal, "a stored deliverable cannot be read: %w", err)
	}
	d := Deliverable{Files: plain.Files}
	for _, link := range plain.ActivationLinks {
		d.ActivationLinks = append(d.ActivationLinks, keyturn.Secret(link))
	}
	for _, code := range plain.ActivationCodes {
		d.ActivationCodes = append(d.ActivationCodes, keyturn.Secret(code))
	}
	return d, nil
}

func (d Deliverable) summary() string {
	text := fmt.Sprintf("%d codes", len(d.ActivationCodes))
	if n := len(d.ActivationLinks); n > 0 {
		text += fmt.Sprintf(", %d links", n)
	}
	for _, f := range d.Files {
		text += fmt.Sprintf(", a file of %d bytes", len(f.Data))
	}
	return text
}

// Format keeps the values out of every verb of package fmt.
func (d Deliverable) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, d.summary()) }

// LogValue keeps the values out of logs.
func (d Deliverable) LogValue() slog.Value { return slog.StringValue(d.summary()) }

// MarshalJSON keeps the values out of documents that are not written on purpose.
func (d Deliverable) MarshalJSON() ([]byte, error) { return json.Marshal(d.summary()) }

// Format keeps the content out of every verb of package fmt.
func (f File) Format(w fmt.State, _ rune) { _, _ = fmt.Fprintf(w, "a file of %d bytes", len(f.Data)) }

// LogValue keeps the content out of logs.
func (f File) LogValue() slog.Value {
	return slog.StringValue(fmt.Sprintf("a file of %d bytes", len(f.Data)))
}

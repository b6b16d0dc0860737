package mail

import (
	"bytes"
	"encoding/json"

	"keyturn.dev/keyturn"
)

// storedEnvelope is the first line of a stored message; the message's bytes follow.
type storedEnvelope struct {
	From      string `json:"from"`
	To        string `json:"to"`
	MessageID string `json:"messageId"`
	Ref       string `json:"ref,omitempty"`
}

// MarshalBinary returns the stored form of the message, which callers encrypt: the envelope on one line, then the
// bytes.
func (m Message) MarshalBinary() ([]byte, error) {
	envelope, err := json.Marshal(storedEnvelope{m.From, m.To, m.MessageID, m.Ref})
	if err != nil {
		return nil, err
	}
	return bytes.Join([][]byte{envelope, m.Data}, []byte("\n")), nil
}

// UnmarshalBinary reads what MarshalBinary wrote. Anything else is KindInternal.
func (m *Message) UnmarshalBinary(stored []byte) error {
	first, data, ok := bytes.Cut(stored, []byte("\n"))
	var e storedEnvelope
	if err := json.Unmarshal(first, &e); err != nil || !ok {
		return keyturn.Errorf(keyturn.KindInternal, "a stored e-mail cannot be read")
	}
	*m = Message{From: e.From, To: e.To, MessageID: e.MessageID, Ref: e.Ref, Data: data}
	return nil
}

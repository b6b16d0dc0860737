package activities

import (
	"encoding/json"

	"keyturn.dev/keyturn/mail"
)

// storedMessage is an e-mail as it is kept, encrypted, until it is sent: envelope and bytes.
type storedMessage struct {
	From      string `json:"from"`
	To        string `json:"to"`
	MessageID string `json:"messageId"`
	Data      []byte `json:"data"`
}

func encodeMessage(m mail.Message) ([]byte, error) { return json.Marshal(storedMessage(m)) }

func decodeMessage(stored []byte) (mail.Message, error) {
	var m storedMessage
	if err := json.Unmarshal(stored, &m); err != nil {
		return mail.Message{}, errMessage
	}
	return mail.Message(m), nil
}

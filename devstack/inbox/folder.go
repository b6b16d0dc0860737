package inbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A message in the folder is one file, <id>.eml. Its first line is a header of ours with the envelope, the rest is the
// message byte for byte: one file is written, flushed and renamed as a whole, and any mail program opens it.
const (
	envelopeHeader  = "X-Inbox-Envelope: "
	messageSuffix   = ".eml"
	temporarySuffix = ".tmp"
)

// envelope is what SMTP says about a message, beside the message.
type envelope struct {
	From     string    `json:"from"`
	To       []string  `json:"to"`
	Received time.Time `json:"received"`
	Answered bool      `json:"answered"`
}

func messagePath(dir, id string) string { return filepath.Join(dir, id+messageSuffix) }

// writeMessage puts a message into the folder. A crash leaves all of it or nothing; with sync it survives a power cut.
func writeMessage(dir string, e *entry, sync bool) error {
	head, err := json.Marshal(envelope{From: e.From, To: e.To, Received: e.Received, Answered: e.Answered})
	if err != nil {
		return err
	}
	path := messagePath(dir, e.ID)
	file, err := os.OpenFile(path+temporarySuffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // mails hold keys
	if err != nil {
		return err
	}
	_, err = file.Write(slices.Concat([]byte(envelopeHeader), head, []byte("\r\n"), e.data))
	if err == nil && sync {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return err
	}
	if sync {
		return syncFolder(dir) // or the new name may be lost
	}
	return nil
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

func readMessage(dir, id string) (envelope, []byte, error) {
	content, err := os.ReadFile(messagePath(dir, id))
	if err != nil {
		return envelope{}, nil, err
	}
	first, data, found := bytes.Cut(content, []byte("\r\n"))
	head, isOurs := bytes.CutPrefix(first, []byte(envelopeHeader))
	if !found || !isOurs {
		return envelope{}, nil, fmt.Errorf("%s is not a message of this inbox", id+messageSuffix)
	}
	var e envelope
	if err := json.Unmarshal(head, &e); err != nil {
		return envelope{}, nil, err
	}
	return e, data, nil
}

// removeMessage takes a message out of the folder, if the inbox has one.
func removeMessage(dir, id string) {
	if dir != "" {
		_ = os.Remove(messagePath(dir, id))
	}
}

// readFolder makes the folder if it is missing and gives its messages, oldest first. What a crash left half written was
// never answered; it is removed.
func readFolder(dir string) ([]*entry, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(dir) // sorted by name, so by time
	if err != nil {
		return nil, err
	}
	var entries []*entry
	for _, f := range files {
		if strings.HasSuffix(f.Name(), temporarySuffix) {
			_ = os.Remove(filepath.Join(dir, f.Name()))
			continue
		}
		id, isMessage := strings.CutSuffix(f.Name(), messageSuffix)
		if !isMessage {
			continue
		}
		head, data, err := readMessage(dir, id)
		if err != nil {
			continue // somebody else's file, or one that a power cut emptied: it must not keep the inbox from starting
		}
		e := &entry{Summary: summarize(data)}
		e.ID, e.From, e.To, e.Received, e.Answered = id, head.From, head.To, head.Received, head.Answered
		entries = append(entries, e)
	}
	return entries, nil
}

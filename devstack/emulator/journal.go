package emulator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Entry is one request as the journal keeps it. It is written before the request is answered.
type Entry struct {
	Time          time.Time `json:"ts"`
	Partner       string    `json:"partner,omitempty"`
	Method        string    `json:"method"`
	URL           string    `json:"url"`
	Host          string    `json:"host"` // host:port that the caller asked for
	FulfillmentID string    `json:"fulfillmentId,omitempty"`
	Op            string    `json:"op,omitempty"` // create, cancel, …, lookup, token; empty for a path that is no route
	OrderID       string    `json:"orderId,omitempty"`
	LineItemID    string    `json:"lineItemId,omitempty"`
	Unit          string    `json:"unit,omitempty"`
	ProductID     string    `json:"productId,omitempty"`
	BodySHA256    string    `json:"bodySha256,omitempty"`
	AuthUser      string    `json:"authUser,omitempty"` // user name or client ID that the request claims, never a secret
	StatusSent    int       `json:"statusSent"`         // 0: no status was sent
	KeyIssued     string    `json:"keyIssued,omitempty"`
	Keys          []string  `json:"keys,omitempty"` // all keys, where there are several
	// the same request as before: the keys are the same, nothing new was issued
	Repeat bool   `json:"repeat,omitempty"`
	Effect Effect `json:"effect,omitempty"`
	Fault  string `json:"fault,omitempty"` // the drill that shaped this answer
}

// Effect is what a request changed in the partner's ledger.
type Effect string

// The effects that a request may have.
const (
	EffectIssued   Effect = "issued"
	EffectExtended Effect = "extended" // renew or upgrade that keeps the key
	EffectCanceled Effect = "canceled"
	EffectPaused   Effect = "paused"
	EffectResumed  Effect = "resumed"
)

func (e *Entry) setKeys(keys []string) {
	if len(keys) > 0 {
		e.KeyIssued = keys[0]
	}
	if len(keys) > 1 {
		e.Keys = keys
	}
}

func (e Entry) allKeys() []string {
	if len(e.Keys) > 0 || e.KeyIssued == "" {
		return e.Keys
	}
	return []string{e.KeyIssued}
}

// journal keeps entries in memory, newest last, and appends them to a file if it has one. Its owner serialises calls.
type journal struct {
	file    *os.File
	fsync   bool
	max     int
	entries []Entry
	total   int // entries ever, also those that memory no longer holds
}

// openJournal opens or makes the file and gives every whole entry in it to replay, oldest first. A last line that a
// crash cut short is removed: it was not answered, so it did not happen.
func openJournal(path string, fsync bool, limit int, replay func(Entry)) (*journal, error) {
	j := &journal{fsync: fsync, max: limit}
	if path == "" {
		return j, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("emulator: open the journal: %w", err)
	}
	j.file = f
	if err := j.load(replay); err != nil {
		return nil, errors.Join(fmt.Errorf("emulator: read %s: %w", path, err), f.Close())
	}
	return j, nil
}

func (j *journal) load(replay func(Entry)) error {
	r := bufio.NewReader(j.file)
	var whole int64
	for line := 1; ; line++ {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return j.file.Truncate(whole)
		}
		if err != nil {
			return err
		}
		var e Entry
		if err := json.Unmarshal(text, &e); err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		whole += int64(len(text))
		j.remember(e)
		replay(e)
	}
}

// append makes the entry durable (as far as the configuration asks) and remembers it.
func (j *journal) append(e Entry) error {
	if j.file != nil {
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := j.file.Write(append(text, '\n')); err != nil {
			return err
		}
		if j.fsync {
			if err := j.file.Sync(); err != nil {
				return err
			}
		}
	}
	j.remember(e)
	return nil
}

// remember drops the older half when memory is full: cheaper than moving everything for each new entry.
func (j *journal) remember(e Entry) {
	j.total++
	if len(j.entries) >= 2*j.max {
		j.entries = append([]Entry(nil), j.entries[len(j.entries)-j.max:]...)
	}
	j.entries = append(j.entries, e)
}

// newest returns a copy of the entries in memory, oldest first, at most max of them.
func (j *journal) newest() []Entry {
	from := max(0, len(j.entries)-j.max)
	return append([]Entry(nil), j.entries[from:]...)
}

func (j *journal) reset() error {
	j.entries, j.total = nil, 0
	if j.file == nil {
		return nil
	}
	return j.file.Truncate(0)
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	if err := j.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// jsonLines writes entries as they are in the file.
func jsonLines(entries []Entry) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	for _, e := range entries {
		_ = enc.Encode(e) // an Entry has only strings, numbers and times: it always encodes
	}
	return out.Bytes()
}

package paymentemulator

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// ledger is the journal and the state that follows from it.
type ledger struct {
	file          *os.File // nil keeps the journal in memory
	entries       []Entry
	captures      map[string]Entry // by reference
	refunds       map[string]Entry // paid ones, by idempotency key
	refundedMinor map[string]int64 // by reference
	attempts      map[string]int   // refund requests, by idempotency key
}

func openLedger(path string) (*ledger, error) {
	l := &ledger{
		captures: map[string]Entry{}, refunds: map[string]Entry{},
		refundedMinor: map[string]int64{}, attempts: map[string]int{},
	}
	if path == "" {
		return l, nil
	}
	var err error
	if l.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return nil, err
	}
	if err := l.load(); err != nil {
		return nil, errors.Join(err, l.file.Close())
	}
	return l, nil
}

// load replays the journal. A last line without its newline was never answered, so it is truncated.
func (l *ledger) load() error {
	in := bufio.NewReader(l.file)
	var complete int64
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return l.file.Truncate(complete)
		}
		if err != nil {
			return err
		}
		var e Entry
		if err := json.Unmarshal(text, &e); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		complete += int64(len(text))
		l.apply(e)
	}
}

// add writes an entry to the journal, durably, and applies it.
func (l *ledger) add(e Entry) error {
	if l.file != nil {
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := l.file.Write(append(text, '\n')); err != nil {
			return err
		}
		if err := l.file.Sync(); err != nil {
			return err
		}
	}
	l.apply(e)
	return nil
}

func (l *ledger) apply(e Entry) {
	l.entries = append(l.entries, e)
	if e.Op == "refund" {
		l.attempts[e.Key]++
	}
	switch {
	case !e.Applied:
	case e.Op == "capture":
		l.captures[e.Reference] = e
	case e.Op == "refund":
		l.refunds[e.Key] = e
		l.refundedMinor[e.Reference] += e.AmountMinor
	}
}

func (l *ledger) close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}

package paystand

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// books are what the journal's entries come to.
type books struct {
	file     *os.File // nil: memory
	entries  []Entry
	captured map[string]Entry // by reference
	refunded map[string]Entry // by key
	paidBack map[string]int64 // by reference
	tries    map[string]int   // by key
}

func openBooks(path string) (*books, error) {
	b := &books{captured: map[string]Entry{}, refunded: map[string]Entry{}, paidBack: map[string]int64{}, tries: map[string]int{}}
	if path == "" {
		return b, nil
	}
	var err error
	if b.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return nil, err
	}
	if err := b.load(); err != nil {
		return nil, errors.Join(err, b.file.Close())
	}
	return b, nil
}

// load reads whole lines. A last one without its end was never answered: it is cut off.
func (b *books) load() error {
	in := bufio.NewReader(b.file)
	var whole int64
	for n := 1; ; n++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return b.file.Truncate(whole)
		}
		if err != nil {
			return err
		}
		var e Entry
		if err := json.Unmarshal(text, &e); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		whole += int64(len(text))
		b.apply(e)
	}
}

// add makes an entry durable and applies it.
func (b *books) add(e Entry) error {
	if b.file != nil {
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := b.file.Write(append(text, '\n')); err != nil {
			return err
		}
		if err := b.file.Sync(); err != nil {
			return err
		}
	}
	b.apply(e)
	return nil
}

func (b *books) apply(e Entry) {
	b.entries = append(b.entries, e)
	if e.Op == "refund" {
		b.tries[e.Key]++
	}
	switch {
	case !e.Applied:
	case e.Op == "capture":
		b.captured[e.Reference] = e
	case e.Op == "refund":
		b.refunded[e.Key] = e
		b.paidBack[e.Reference] += e.AmountMinor
	}
}

func (b *books) close() error {
	if b.file == nil {
		return nil
	}
	return b.file.Close()
}

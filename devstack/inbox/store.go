package inbox

import (
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"
)

// maxMemory bounds what a memory-only inbox holds, in bytes of raw messages.
const maxMemory = 256 << 20

// defaultMessages is how many a memory-only inbox keeps if nobody says.
const defaultMessages = 10_000

// Summary is one line of the list. From and To are the envelope's; Subject, MessageID and Date are the message's own.
type Summary struct {
	ID        string    `json:"id"`
	MessageID string    `json:"messageId"` // without angle brackets
	From      string    `json:"from"`
	To        []string  `json:"to"`
	Subject   string    `json:"subject"`
	Date      time.Time `json:"date,omitzero"`
	Size      int       `json:"size"`
	Received  time.Time `json:"received"`
	Answered  bool      `json:"answered"` // false: a fault kept the 250 from the sender
}

// entry is a kept message: its bytes are in memory or in the folder.
type entry struct {
	Summary
	data []byte
}

// store keeps messages in the order in which they came.
type store struct {
	cfg Config

	mu      sync.Mutex
	entries []*entry // oldest first
	byID    map[string]*entry
	bytes   int // of the data in memory
	lastID  int64
	closed  bool
}

func openStore(cfg Config) (*store, error) {
	if cfg.MaxMessages == 0 && cfg.Dir == "" {
		cfg.MaxMessages = defaultMessages
	}
	s := &store{cfg: cfg, byID: map[string]*entry{}}
	if cfg.Dir == "" {
		return s, nil
	}
	entries, err := readFolder(cfg.Dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		s.insert(e)
	}
	return s, nil
}

// add keeps a message; when it returns nil the message is safe, as far as the Config asks.
func (s *store) add(from string, to []string, data []byte, answered bool) error {
	e := &entry{Summary: summarize(data), data: data}
	e.From, e.To, e.Answered = from, to, answered
	e.ID, e.Received = s.nextID()
	if s.cfg.Dir != "" {
		// Outside the lock: a slow disk must not queue up senders that can be flushed together.
		if err := writeMessage(s.cfg.Dir, e, s.cfg.Sync); err != nil {
			return err
		}
		e.data = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		removeMessage(s.cfg.Dir, e.ID) // its sender will hear that it was not kept
		return errors.New("the inbox is closed")
	}
	s.insert(e)
	return nil
}

// nextID gives IDs that sort by time, are used once, and go on after a restart and after everything was deleted.
func (s *store) nextID() (string, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UTC()
	s.lastID = max(now.UnixNano(), s.lastID+1)
	return strconv.FormatInt(s.lastID, 16), now
}

// insert is called with the lock held, or before anyone else knows the store.
func (s *store) insert(e *entry) {
	at := len(s.entries)
	for at > 0 && s.entries[at-1].ID > e.ID { // a concurrent sender was faster
		at--
	}
	s.entries = slices.Insert(s.entries, at, e)
	s.byID[e.ID] = e
	s.bytes += len(e.data)
	if id, err := strconv.ParseInt(e.ID, 16, 64); err == nil {
		s.lastID = max(s.lastID, id)
	}
	for s.cfg.MaxMessages > 0 && len(s.entries) > s.cfg.MaxMessages || s.bytes > maxMemory {
		s.dropOldest()
	}
}

func (s *store) dropOldest() {
	e := s.entries[0]
	s.entries[0] = nil // slicing alone would keep the message from the garbage collector
	s.entries = s.entries[1:]
	delete(s.byID, e.ID)
	s.bytes -= len(e.data)
	removeMessage(s.cfg.Dir, e.ID)
}

// list gives summaries newest first, from the start-th on, at most limit of them (all if negative), and how many there
// are altogether.
func (s *store) list(start, limit int) ([]Summary, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := len(s.entries)
	if limit < 0 {
		limit = total
	}
	out := []Summary{}
	for i := total - 1 - start; i >= 0 && len(out) < limit; i-- {
		out = append(out, s.entries[i].Summary)
	}
	return out, total
}

func (s *store) find(id string) (Summary, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.byID[id]
	if !ok {
		return Summary{}, false
	}
	return e.Summary, true
}

func (s *store) raw(id string) ([]byte, bool) {
	s.mu.Lock()
	e, ok := s.byID[id]
	s.mu.Unlock()
	if !ok {
		return nil, false
	}
	if s.cfg.Dir == "" {
		return e.data, true
	}
	_, data, err := readMessage(s.cfg.Dir, id)
	return data, err == nil
}

func (s *store) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.entries) > 0 {
		s.dropOldest()
	}
}

func (s *store) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

package faultproxy

import (
	"encoding/binary"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Commit begins the name of PostgreSQL's request whose answer says that all of a transaction is durable. The tables
// that the transaction has written to follow, each once, in their order: "COMMIT orders line_items". A statement that
// writes outside of a transaction is one by itself.
const Commit = "COMMIT"

// Postgres is PostgreSQL's protocol: an answer is a whole round trip, up to the server's readiness for the next. A
// request is named by its statement's text.
func Postgres(client, server io.Reader) (requests, answers Reader) {
	started := false // the first message has no type
	said := &statements{prepared: map[string]string{}}
	requests = func() (message, error) {
		if !started {
			started = true
			bytes, err := lengthAndBody(client, nil)
			return message{bytes: bytes}, err
		}
		m, err := typed(client)
		if err != nil {
			return message{}, err
		}
		name, asks := said.name(m)
		return message{bytes: m, asks: asks, name: name}, nil
	}
	return requests, trips(server)
}

// statements knows what a connection has prepared, and what its transaction has written to.
type statements struct {
	prepared map[string]string
	written  []string
	within   bool // a transaction
}

// name returns a message's name, and whether it asks for an answer.
func (s *statements) name(m []byte) (name string, asks bool) {
	first, rest, _ := strings.Cut(string(m[5:]), "\x00")
	text := strings.TrimSpace(first)
	switch m[0] {
	case 'Q':
	case 'P': // the name that it gets, and the text
		text, _, _ = strings.Cut(rest, "\x00")
		text = strings.TrimSpace(text)
		s.prepared[first] = text
		return text, true
	case 'B': // a portal, and the statement's name
		which, _, _ := strings.Cut(rest, "\x00")
		text = s.prepared[which]
	case 'c': // all rows of a COPY are sent
		return "COPY", true
	default:
		return "", false
	}
	switch {
	case strings.HasPrefix(text, "BEGIN"):
		s.written, s.within = nil, true
	case strings.HasPrefix(text, "ROLLBACK TO"):
	case strings.HasPrefix(text, "ROLLBACK"):
		s.written, s.within = nil, false
	case text == Commit:
		text = strings.TrimSpace(Commit + " " + strings.Join(s.written, " "))
		s.written, s.within = nil, false
	default:
		s.writes(text)
		if !s.within && len(s.written) > 0 {
			text, s.written = Commit+" "+strings.Join(s.written, " "), nil
		}
	}
	return text, true
}

var writing = regexp.MustCompile(`(?i)\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+([a-z_]+)`)

func (s *statements) writes(text string) {
	for _, found := range writing.FindAllStringSubmatch(text, -1) {
		if table := found[1]; table != "SET" && table != "SKIP" && table != "OF" && !slices.Contains(s.written, table) {
			s.written = append(s.written, table)
		}
	}
}

// trips returns the server's messages a whole round trip at a time. The handshake is one, and no answer to a request.
func trips(server io.Reader) Reader {
	shaking := true
	return func() (message, error) {
		var trip []byte
		for {
			m, err := typed(server)
			trip = append(trip, m...)
			if err != nil {
				return message{bytes: trip}, err
			}
			if shaking && m[0] != 'Z' { // it goes back and forth
				return message{bytes: trip}, nil
			}
			if m[0] == 'Z' || m[0] == 'G' { // ready for the next request, or for the rows of a COPY
				done := message{bytes: trip, answers: !shaking}
				shaking = false
				return done, nil
			}
		}
	}
}

func typed(from io.Reader) ([]byte, error) {
	kind := make([]byte, 1)
	if _, err := io.ReadFull(from, kind); err != nil {
		return nil, err
	}
	return lengthAndBody(from, kind)
}

const maxPostgres = 1 << 30

func lengthAndBody(from io.Reader, before []byte) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n < 4 || n > maxPostgres {
		return nil, fmt.Errorf("a message of %d bytes is not PostgreSQL's", n)
	}
	out := append(append(make([]byte, 0, len(before)+int(n)), before...), length[:]...)
	body := out[len(out) : len(out)+int(n)-4]
	_, err := io.ReadFull(from, body)
	return out[:len(out)+len(body)], err
}

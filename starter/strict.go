package starter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"keyturn.dev/keyturn"
)

const (
	maxDepth    = 32
	maxProblems = 50 // of one document: more help nobody
)

// decodeStrict reads exactly one JSON document. encoding/json takes the last of two equal names, matches names in any
// case, turns broken text into U+FFFD and names no path in its errors; all of this is refused here, with the path, before
// it sees the document. What is no JSON at all is a problem of status 400; what does not fit the type is KindInvalid.
func decodeStrict(data []byte, into any) error {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return badRequest("body", "is required")
	case bytes.HasPrefix(data, []byte("\xEF\xBB\xBF")):
		return badRequest("body", "must not begin with a byte-order mark")
	case !utf8.Valid(data):
		return badRequest("body", "must be UTF-8")
	}
	var any json.RawMessage
	if err := json.Unmarshal(data, &any); err != nil {
		return badRequest("body", "must be one JSON document: %s", syntaxProblem(err))
	}
	s := strict{data: data}
	s.value(reflect.TypeOf(into).Elem(), "", 1)
	if s.tooDeep {
		return badRequest("body", "must not be nested more than %d levels deep", maxDepth)
	}
	if err := s.bad.Err("the document is not valid"); err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return keyturn.Errorf(keyturn.KindInvalid, "the document is not valid: %w", err)
	}
	return nil
}

func badRequest(location, format string, args ...any) error {
	var bad keyturn.Problems
	bad.Addf(location, format, args...)
	return withStatus(http.StatusBadRequest, bad.Err("the request cannot be read"))
}

// syntaxProblem says where the document stops being JSON, without quoting it.
func syntaxProblem(err error) string {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		switch {
		case strings.Contains(e.Error(), "after top-level value"):
			return fmt.Sprintf("something follows it at byte %d", e.Offset)
		case strings.Contains(e.Error(), "unexpected end"):
			return "it ends too early"
		case strings.Contains(e.Error(), "max depth"):
			return "it is nested too deep"
		}
		return fmt.Sprintf("there is a mistake at byte %d", e.Offset)
	}
	return "there is a mistake in it"
}

// strict walks over a document that is valid JSON beside the type it is meant for. A nil type takes anything.
type strict struct {
	data    []byte
	pos     int
	bad     keyturn.Problems
	count   int
	tooDeep bool
}

func (s *strict) addf(at, format string, args ...any) {
	if at == "" {
		at = "body"
	}
	if s.count++; s.count <= maxProblems {
		s.bad.Addf(at, format, args...)
	}
}

// peek passes over white space (and the separators, whose places are known to be right) and gives the next byte.
func (s *strict) peek() byte {
	for strings.IndexByte(" \t\r\n,:", s.data[s.pos]) >= 0 {
		s.pos++
	}
	return s.data[s.pos]
}

func (s *strict) value(t reflect.Type, at string, depth int) {
	if depth > maxDepth {
		s.tooDeep = true
		s.pos = len(s.data)
		return
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch c := s.peek(); c {
	case '{':
		s.object(t, at, depth)
	case '[':
		s.array(t, at, depth)
	case '"':
		text := s.text(at)
		s.checkText(t, at, text)
	default:
		start := s.pos
		for s.pos < len(s.data) && strings.IndexByte(" \t\r\n,:]}", s.data[s.pos]) < 0 {
			s.pos++
		}
		s.checkLiteral(t, at, string(s.data[start:s.pos]))
	}
}

func (s *strict) object(t reflect.Type, at string, depth int) {
	var fields map[string]reflect.Type
	var elem reflect.Type
	switch {
	case t == nil:
	case t.Kind() == reflect.Struct && !isText(t):
		fields = fieldsOf(t)
	case t.Kind() == reflect.Map:
		elem = t.Elem()
	default:
		s.addf(at, "must be %s, not an object", wanted(t))
	}
	seen := map[string]bool{}
	s.pos++
	for !s.tooDeep && s.peek() != '}' {
		name := s.text(at)
		path := at + "." + name
		if at == "" {
			path = name
		}
		inner := elem
		if fields != nil {
			var known bool
			if inner, known = fields[name]; !known {
				s.addf(path, "is not a field of this document%s", suggestion(name, fields))
			}
		}
		if seen[name] {
			s.addf(path, "stands here twice")
		}
		seen[name] = true
		s.value(inner, path, depth+1)
	}
	s.pos++
}

func (s *strict) array(t reflect.Type, at string, depth int) {
	var elem reflect.Type
	if t != nil {
		if t.Kind() == reflect.Slice {
			elem = t.Elem()
		} else {
			s.addf(at, "must be %s, not a list", wanted(t))
		}
	}
	s.pos++
	for i := 0; !s.tooDeep && s.peek() != ']'; i++ {
		s.value(elem, at+"["+strconv.Itoa(i)+"]", depth+1)
	}
	s.pos++
}

// text reads a string and refuses what PostgreSQL and other languages cannot keep.
func (s *strict) text(at string) string {
	s.peek()
	start := s.pos
	for s.pos++; s.data[s.pos] != '"'; s.pos++ {
		if s.data[s.pos] != '\\' {
			continue
		}
		s.pos++
		if s.data[s.pos] == 'u' {
			s.escape(at)
		}
	}
	s.pos++
	raw := s.data[start:s.pos]
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var text string
	_ = json.Unmarshal(raw, &text) // the document is valid
	return text
}

// escape checks a \u escape; it begins and ends on the last byte that is read.
func (s *strict) escape(at string) {
	r := s.hex()
	switch {
	case r == 0:
		s.addf(at, "must not contain the character NUL")
	case utf16.IsSurrogate(r):
		rest := s.data[s.pos+1:]
		if len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
			s.pos += 2
			if utf16.DecodeRune(r, s.hex()) != utf8.RuneError {
				return
			}
		}
		s.addf(at, "must not contain half of a surrogate pair")
	}
}

func (s *strict) hex() rune {
	n, _ := strconv.ParseInt(string(s.data[s.pos+1:s.pos+5]), 16, 32) // the document is valid
	s.pos += 4
	return rune(n)
}

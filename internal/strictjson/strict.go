// Package strictjson reads the JSON documents that people and shops write: request bodies, and catalog files once they
// are JSON. What partners answer is read leniently, by package endpoint.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"keyturn.dev/keyturn"
)

// MaxDepth is how deep a document may be nested.
const MaxDepth = 32

const maxProblems = 50 // reported for one document: more help nobody

// SyntaxError says that the text is not a single JSON document in UTF-8, whatever type it was meant for. It wraps an
// error of KindInvalid.
type SyntaxError struct{ Err error }

func (e *SyntaxError) Error() string { return e.Err.Error() }

// Unwrap returns the error of KindInvalid.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Decode reads exactly one JSON document into a pointer. encoding/json takes the last of two equal names, matches names
// in any case, turns broken text into U+FFFD and stops at the first error; Decode refuses all of this, with a field
// error for every path, before encoding/json sees the document. Its errors are of KindInvalid, those of *SyntaxError
// included.
func Decode(data []byte, into any) error { return decode(data, into, false) }

// DecodeKnown is Decode for a caller whose documents have fields of its own: what the type does not know is passed
// over. A known name in another case is still refused, because it is meant.
func DecodeKnown(data []byte, into any) error { return decode(data, into, true) }

func decode(data []byte, into any, passOver bool) error {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return syntaxError("is required")
	case bytes.HasPrefix(data, []byte("\xEF\xBB\xBF")):
		return syntaxError("must not begin with a byte-order mark")
	case !utf8.Valid(data):
		return syntaxError("must be UTF-8")
	}
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		return syntaxError("must be a single JSON document: %s", syntaxProblem(err))
	}
	w := walker{data: data, tokens: json.NewDecoder(bytes.NewReader(data)), passOver: passOver}
	w.tokens.UseNumber()
	w.value(reflect.TypeOf(into).Elem(), "", 1)
	if w.tooDeep {
		return syntaxError("must not be nested more than %d levels deep", MaxDepth)
	}
	message := "the document is not valid"
	if more := w.count - maxProblems; more > 0 {
		message += fmt.Sprintf("; these are the first %d errors, and %d more", maxProblems, more)
	}
	if err := w.bad.Err(message); err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return keyturn.Errorf(keyturn.KindInvalid, "the document is not valid: %w", err)
	}
	return nil
}

func syntaxError(format string, args ...any) error {
	var bad keyturn.Problems
	bad.Addf("body", format, args...)
	return &SyntaxError{bad.Err("the request cannot be read")}
}

// syntaxProblem says where the document stops being JSON, without quoting it.
func syntaxProblem(err error) string {
	e, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return "syntax error"
	}
	switch {
	case strings.Contains(e.Error(), "after top-level value"):
		return fmt.Sprintf("unexpected data after it at byte %d", e.Offset)
	case strings.Contains(e.Error(), "unexpected end"):
		return "unexpected end"
	case strings.Contains(e.Error(), "max depth"):
		return "it is nested too deeply"
	}
	return fmt.Sprintf("syntax error at byte %d", e.Offset)
}

// walker compares a document that is valid JSON with the type it is meant for. A nil type takes anything.
type walker struct {
	data    []byte
	tokens  *json.Decoder
	bad     keyturn.Problems
	count   int
	tooDeep bool
	// passOver: unknown fields are no mistake
	passOver bool
}

func (w *walker) addf(at, format string, args ...any) {
	if at == "" {
		at = "body"
	}
	if w.count++; w.count <= maxProblems {
		w.bad.Addf(at, format, args...)
	}
}

// next returns the next token and checks it if it is a string; at is where it is.
func (w *walker) next(at string) json.Token {
	start := w.tokens.InputOffset()
	token, _ := w.tokens.Token() // the document is valid
	if text, ok := token.(string); ok {
		if strings.ContainsRune(text, 0) { // PostgreSQL cannot store it
			w.addf(at, "must not contain the character NUL")
		}
		if !pairedSurrogates(w.data[start:w.tokens.InputOffset()]) {
			w.addf(at, "must not contain an unpaired surrogate")
		}
	}
	return token
}

// pairedSurrogates reports whether the \u escapes in JSON text make whole characters.
func pairedSurrogates(raw []byte) bool {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return true
		}
		escape := raw[i+1:]
		if raw = escape[1:]; escape[0] != 'u' {
			continue
		}
		raw = escape[5:]
		if first := unit(escape); utf16.IsSurrogate(first) {
			if !bytes.HasPrefix(raw, []byte(`\u`)) || utf16.DecodeRune(first, unit(raw[1:])) == utf8.RuneError {
				return false
			}
			raw = raw[6:]
		}
	}
}

// unit reads the four digits after a u.
func unit(escape []byte) rune {
	n, _ := strconv.ParseUint(string(escape[1:5]), 16, 16) // the document is valid
	return rune(n)
}

func (w *walker) value(t reflect.Type, at string, depth int) {
	if depth > MaxDepth {
		w.tooDeep = true
		return
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch token := w.next(at).(type) {
	case json.Delim:
		if token == '{' {
			w.object(t, at, depth)
		} else {
			w.array(t, at, depth)
		}
	case string:
		w.checkText(t, at, token)
	case json.Number:
		w.checkNumber(t, at, string(token))
	case bool:
		w.checkBool(t, at)
	case nil: // null is the same as absent
	}
}

func (w *walker) object(t reflect.Type, at string, depth int) {
	var fields map[string]reflect.Type
	var elem reflect.Type
	switch {
	case t == nil:
	case t.Kind() == reflect.Struct && !isText(t):
		fields = fieldsOf(t)
	case t.Kind() == reflect.Map:
		elem = t.Elem()
	default:
		w.addf(at, "must be %s, not an object", wanted(t))
	}
	seen := map[string]bool{}
	for !w.tooDeep && w.tokens.More() {
		name, _ := w.next(at).(string)
		path := Path(at, name)
		inner := elem
		if fields != nil {
			var known bool
			if inner, known = fields[name]; !known {
				if meant := suggestion(name, fields); meant != "" || !w.passOver {
					w.addf(path, "is an unknown field%s", meant)
				}
			}
		}
		if seen[name] {
			w.addf(path, "is a duplicate field")
		}
		seen[name] = true
		w.value(inner, path, depth+1)
	}
	w.next(at) // the closing brace
}

func (w *walker) array(t reflect.Type, at string, depth int) {
	var elem reflect.Type
	if t != nil {
		if t.Kind() == reflect.Slice && !isText(t) {
			elem = t.Elem()
		} else {
			w.addf(at, "must be %s, not a list", wanted(t))
		}
	}
	for i := 0; !w.tooDeep && w.tokens.More(); i++ {
		w.value(elem, at+"["+strconv.Itoa(i)+"]", depth+1)
	}
	w.next(at) // the closing bracket
}

// Path is the path of a field of the object at a path.
func Path(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

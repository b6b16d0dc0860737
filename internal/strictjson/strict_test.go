package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/strictjson"
)

type document struct {
	Name  string            `json:"name,omitempty"`
	Count int8              `json:"count,omitempty"`
	Rate  float64           `json:"rate,omitempty"`
	On    bool              `json:"on,omitempty"`
	At    *time.Time        `json:"at,omitempty"`
	Wait  keyturn.Duration  `json:"wait,omitempty"`
	Parts []document        `json:"parts,omitempty"`
	Notes map[string]string `json:"notes,omitempty"`
	Inner *document         `json:"inner,omitempty"`
	Own   string            `json:"-"`
}

func nested(levels int) string {
	return strings.Repeat(`{"inner":`, levels-1) + "{}" + strings.Repeat("}", levels-1)
}

func TestDocumentsThatAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]document{
		`{}`:                      {},
		`null`:                    {},
		" {\"name\" : \"a\"}\r\n": {Name: "a"},
		`{"name":null}`:           {},
		`{"name":"\ud83d\ude00"}`: {Name: "😀"},
		`{"name":"\\ud800"}`:      {Name: `\ud800`}, // a backslash, and no escape
		`{"name":"\ufffd"}`:       {Name: "\uFFFD"}, // written, not the trace of something broken
		`{"count":-128,"rate":1e3,"on":true,"at":"2026-11-29T12:00:00Z","wait":"90s"}`: {
			Count: -128, Rate: 1000, On: true, At: &at, Wait: keyturn.Duration(90 * time.Second),
		},
		`{"notes":{"a":"1","A":"2"},"parts":[{"name":"x"},{}]}`: { // names of a map are data
			Notes: map[string]string{"a": "1", "A": "2"}, Parts: []document{{Name: "x"}, {}},
		},
	} {
		var got document
		require.NoError(t, strictjson.Decode([]byte(text), &got), text)
		require.Equal(t, want, got, text)
	}
	require.NoError(t, strictjson.Decode([]byte(nested(strictjson.MaxDepth)), new(document)))
}

// Each problem is named at its path, all of them at once.
func TestProblemsAreNamedAtTheirPaths(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]keyturn.FieldError{
		`{"name":"a","name":"b"}`:      {{Location: "name", Message: "is a duplicate field"}},
		`{"name":"a","\u006eame":"b"}`: {{Location: "name", Message: "is a duplicate field"}},
		`{"notes":{"a":"1","a":"2"}}`:  {{Location: "notes.a", Message: "is a duplicate field"}},
		`{"Name":"a"}`:                 {{Location: "Name", Message: "is an unknown field: did you mean name?"}},
		`{"Own":"a"}`:                  {{Location: "Own", Message: "is an unknown field"}},
		`{"parts":[{},{"lable":1}]}`:   {{Location: "parts[1].lable", Message: "is an unknown field"}},
		`{"name":"\ud800"}`:            {{Location: "name", Message: "must not contain an unpaired surrogate"}},
		`{"name":"\udc00\ud800"}`:      {{Location: "name", Message: "must not contain an unpaired surrogate"}},
		`{"name":"a\u0000"}`:           {{Location: "name", Message: "must not contain the character NUL"}},
		`{"count":128}`:                {{Location: "count", Message: "must be an integer of at most 8 bits"}},
		`{"count":1.5}`:                {{Location: "count", Message: "must be an integer of at most 8 bits"}},
		`{"rate":1e999}`:               {{Location: "rate", Message: "is out of range"}},
		`{"on":"true"}`:                {{Location: "on", Message: "must be a boolean, not a string"}},
		`{"name":true}`:                {{Location: "name", Message: "must be a string, not a boolean"}},
		`{"inner":[]}`:                 {{Location: "inner", Message: "must be an object, not a list"}},
		`{"parts":{}}`:                 {{Location: "parts", Message: "must be a list, not an object"}},
		`{"at":"tomorrow"}`:            {{Location: "at", Message: "must be a time such as 2026-01-31T12:00:00Z"}},
		`[]`:                           {{Location: "body", Message: "must be an object, not a list"}},
		`{"on":1,"inner":{"rate":"1"},"x":}`: {{
			Location: "body",
			Message:  "must be a single JSON document: syntax error at byte 34",
		}},
		`{"on":1,"inner":{"rate":"1"}}`: {
			{Location: "on", Message: "must be a boolean, not a number"},
			{Location: "inner.rate", Message: "must be a number, not a string"},
		},
	} {
		err := strictjson.Decode([]byte(text), new(document))
		e, ok := errors.AsType[*keyturn.Error](err)
		require.True(t, ok, "%s: %v", text, err)
		require.Equal(t, keyturn.KindInvalid, e.Kind, text)
		require.Equal(t, want, e.Fields, text)
	}
}

func TestTextThatIsNoSingleDocumentIsASyntaxError(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "is required", " \n": "is required", "\uFEFF{}": "byte-order mark", "{\"name\":\"\xff\"}": "must be UTF-8",
		`{} {}`: "unexpected data after it", `{}x`: "unexpected data after it", `{"name":`: "unexpected end",
		`{"name":"a",}`: "syntax error", `{'name':1}`: "syntax error", `{"count":01}`: "syntax error", `NaN`: "syntax error",
		nested(strictjson.MaxDepth + 1):                                       "more than 32 levels",
		strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001):             "nested too deeply",
		`{"notes":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`: "more than 32 levels",
	} {
		err := strictjson.Decode([]byte(text), new(document))
		_, ok := errors.AsType[*strictjson.SyntaxError](err)
		require.True(t, ok, "%.60s: %v", text, err)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err))
		require.ErrorContains(t, err, want, "%.60s", text)
	}
}

// A document with ten thousand mistakes gets an answer of a bounded size.
func TestProblemsAreBounded(t *testing.T) {
	t.Parallel()
	text := `{"parts":[` + strings.TrimSuffix(strings.Repeat(`{"x":1},`, 10_000), ",") + `]}`
	e, ok := errors.AsType[*keyturn.Error](strictjson.Decode([]byte(text), new(document)))
	require.True(t, ok)
	require.Len(t, e.Fields, 50)
}

// FuzzDecode: whatever is accepted means one thing, and says the same when it is written again.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a","name":"b"}`, `{"Name":"a"}`, `{"unknown":1}`, `{} {}`, `{}]`, nested(32), nested(33),
		`{"name":"\ud800"}`,
		`{"name":"\ud83d\ude00"}`, `{"name":"\\ud800"}`, `{"notes":{"\ud800":"x"}}`, "{\"name\":\"\xff\"}", "\uFEFF{}",
		`null`, `[]`,
		`{"count":1e2,"rate":-0.0,"on":false,"at":"2026-11-29T12:00:00Z","wait":"1m","parts":[{"inner":{}}],"notes":{"a":"b"}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got document
		if err := strictjson.Decode(data, &got); err != nil {
			require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), "%q: %v", data, err)
			return
		}
		requireUniqueNames(t, data)
		written, err := json.Marshal(got)
		require.NoError(t, err)
		var again document
		require.NoError(t, strictjson.Decode(written, &again), "%q was read as %s", data, written)
		rewritten, err := json.Marshal(again)
		require.NoError(t, err)
		require.JSONEq(t, string(written), string(rewritten))
		replaced := strings.Count(string(written), "\uFFFD") + strings.Count(strings.ToLower(string(written)), `\ufffd`)
		inSource := bytes.Count(data, []byte("\uFFFD")) + bytes.Count(bytes.ToLower(data), []byte(`\ufffd`))
		require.LessOrEqual(t, replaced, inSource, "broken text was replaced: %q was read as %s", data, written)
	})
}

// requireUniqueNames reads the document token by token: no object has a name twice, none is nested too deeply, and
// nothing follows.
func requireUniqueNames(t *testing.T, data []byte) {
	t.Helper()
	type level struct {
		names map[string]bool // nil: a list
		value bool            // a name was read
	}
	var stack []level
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err, "%q", data)
		if n := len(stack); n > 0 && stack[n-1].names != nil && token != json.Delim('}') {
			if top := &stack[n-1]; top.value {
				top.value = false
			} else {
				name, _ := token.(string)
				require.False(t, top.names[name], "%q was accepted and has %q twice", data, name)
				top.names[name], top.value = true, true
			}
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{names: map[string]bool{}})
		case json.Delim('['):
			stack = append(stack, level{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
		}
		require.LessOrEqual(t, len(stack), strictjson.MaxDepth, "%q", data)
	}
}

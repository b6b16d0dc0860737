package endpoint

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"unicode/utf8"

	"keyturn.dev/keyturn"
)

const hexDigits = "0123456789abcdef"

// appendEscaped appends text as it stands between the quotes of a JSON string. Only what JSON demands is escaped, as
// RFC 8785 does it: no \u0026 for &, so that what is signed is what other languages sign. Bytes that are not UTF-8
// become U+FFFD.
func appendEscaped(dst []byte, text string) []byte {
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r == '\b':
			dst = append(dst, '\\', 'b')
		case r == '\f':
			dst = append(dst, '\\', 'f')
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}

func quoted(text string) string {
	return string(append(appendEscaped([]byte{'"'}, text), '"'))
}

// isScalarLiteral reports whether text, without space around it, is a JSON number, true, false or null.
func isScalarLiteral(text string) bool {
	return text != "" && !strings.ContainsRune(`"[{`, rune(text[0])) && json.Valid([]byte(text))
}

// literal is the value as JSON text.
func literal(value any) (string, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return "", err
	}
	return string(bytes.TrimSuffix(out.Bytes(), []byte{'\n'})), nil
}

// The caps of a partner's document. They are checked before anything is built from it: what comes after is linear in
// the number of nodes.
const (
	maxDepth  = 32
	maxNodes  = 10_000
	maxNumber = 1000 // characters: what a number costs to compare or to print grows faster than its length
)

var utf8BOM = []byte("\xef\xbb\xbf")

// decodeJSON reads one JSON document of bounded depth and size. Numbers keep their digits. A UTF-8 byte order mark is
// tolerated, because Windows servers send it; anything after the document is not. A body of white space is nil.
func decodeJSON(body []byte) (any, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, utf8BOM))
	if len(body) == 0 {
		return nil, nil
	}
	if err := prescan(body); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var root any
	if err := dec.Decode(&root); err != nil {
		return nil, keyturn.Errorf(keyturn.KindBadReply, "the reply is not JSON: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, keyturn.Errorf(keyturn.KindBadReply, "the reply has something after its JSON document")
	}
	return root, nil
}

// prescan bounds depth, nodes and numbers in one pass over the bytes, without decoding. Every node but the first of its
// container follows a comma or an opening bracket.
func prescan(body []byte) error {
	depth, nodes, inString, number := 0, 1, false, 0
	for i := 0; i < len(body); i++ {
		c := body[i]
		if inString || c <= ' ' || strings.IndexByte(`"{}[],:`, c) >= 0 {
			number = 0
		} else if number++; number > maxNumber { // no word of JSON is that long
			return keyturn.Errorf(keyturn.KindBadReply, "the reply has a number of more than %d characters", maxNumber)
		}
		switch {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			nodes++
		case c == '}' || c == ']':
			depth--
		case c == ',':
			nodes++
		}
		if depth > maxDepth {
			return keyturn.Errorf(keyturn.KindBadReply, "the reply is nested deeper than %d levels", maxDepth)
		}
		if nodes > maxNodes {
			return keyturn.Errorf(keyturn.KindBadReply, "the reply has more than %d values", maxNodes)
		}
	}
	return nil
}

package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/PaesslerAG/gval"
	"github.com/PaesslerAG/jsonpath"
)

// A filter compares members of the element with constants: `[?@.state == "active" && @.seats >= 3]`. The library would
// also run scripts, functions and regular expressions; only these tokens get through to it.
var (
	filterToken = regexp.MustCompile(`^(?:\s+|@(?:\.[\pL_][\pL\pN_]*|\[[0-9]{1,9}\])*|"(?:[^"\\]|\\["\\])*"|'[^'\\"]*'|` +
		`-?[0-9]{1,15}(?:\.[0-9]{1,15})?|true\b|false\b|==|!=|<=|>=|<|>|&&|\|\||!|\(|\))`)
	filterLanguage = gval.Full(jsonpath.Language())
)

const maxFilterBytes = 200

// parseFilter reads `[?…]` at the start of rest.
func parseFilter(rest string) (segment, int, error) {
	var expr strings.Builder
	used, depth := len("[?"), 0
	for !strings.HasPrefix(rest[used:], "]") {
		token := filterToken.FindString(rest[used:])
		if token == "" || used > maxFilterBytes {
			return segment{}, 0, fmt.Errorf("has a filter that cannot be read from %.20q on: compare @.name with a constant", rest[used:])
		}
		used += len(token)
		switch {
		case token == "(":
			depth++
		case token[0] == '\'':
			token = `"` + token[1:len(token)-1] + `"`
		}
		expr.WriteString(token)
	}
	if depth > 8 {
		return segment{}, 0, errors.New("has a filter with too many parentheses")
	}
	eval, err := filterLanguage.NewEvaluable("$[?(" + expr.String() + ")]")
	if err != nil {
		return segment{}, 0, errors.New("has a filter that is not a comparison")
	}
	return segment{kind: filterSegment, eval: eval}, used + 1, nil
}

// asFloats is the value with float64 for numbers: the library's comparisons know nothing else.
func asFloats(v any) any {
	switch v := v.(type) {
	case json.Number:
		if f, err := v.Float64(); err == nil {
			return f
		}
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = asFloats(v[i])
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for k := range v {
			m[k] = asFloats(v[k])
		}
		return m
	}
	return v
}

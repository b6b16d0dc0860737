package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A filter selects elements by their members: `[?@.state == "active" && @.seats >= 3]`, `[?@.key]`, `[?!@.revoked]`.
// The library does not evaluate filters: its comparisons take "1" for 1 and true, lose the digits of large integers,
// and fail altogether where a member is missing.

const (
	maxFilterBytes  = 200
	maxParentheses  = 8
	maxFilterNumber = 40 // characters
)

// condition reports whether a filter, or a part of one, holds for an element.
type condition func(element any, w *work) bool

var (
	filterSpace    = regexp.MustCompile(`^[ \t\r\n]+`)
	filterOperator = regexp.MustCompile(`^(==|!=|<=|>=|<|>)`)
	filterText     = regexp.MustCompile(`^("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')`)
	filterNumber   = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?`)
	filterWord     = regexp.MustCompile(`^(true|false|null)\b`)
)

// filterParser is a recursive-descent parser for one filter.
type filterParser struct {
	rest  string
	depth int
}

// parseFilter parses `[?…]` at the start of rest and returns its length.
func parseFilter(rest string) (segment, int, error) {
	p := filterParser{rest: rest[len("[?"):]}
	cond, err := p.any()
	if err == nil && !p.take("]") {
		err = p.problem()
	}
	used := len(rest) - len(p.rest)
	if err == nil && used > maxFilterBytes {
		err = fmt.Errorf("has a filter of more than %d characters", maxFilterBytes)
	}
	return segment{kind: filterSegment, holds: cond}, used, err
}

func (p *filterParser) problem() error {
	return fmt.Errorf("has a filter that cannot be read from %.20q on: compare @.name with a constant", p.rest)
}

// take skips white space and consumes the token if it comes next.
func (p *filterParser) take(token string) bool {
	p.rest = strings.TrimPrefix(p.rest, filterSpace.FindString(p.rest))
	rest, ok := strings.CutPrefix(p.rest, token)
	if ok {
		p.rest = rest
	}
	return ok
}

// match skips white space and consumes what the pattern matches; "" if it does not match.
func (p *filterParser) match(pattern *regexp.Regexp) string {
	p.take("")
	token := pattern.FindString(p.rest)
	p.rest = p.rest[len(token):]
	return token
}

// any parses a || b || …
func (p *filterParser) any() (condition, error) {
	return p.chain("||", p.all, func(a, b condition) condition {
		return func(element any, w *work) bool { return a(element, w) || b(element, w) }
	})
}

// all parses a && b && …
func (p *filterParser) all() (condition, error) {
	return p.chain("&&", p.one, func(a, b condition) condition {
		return func(element any, w *work) bool { return a(element, w) && b(element, w) }
	})
}

func (p *filterParser) chain(
	operator string, part func() (condition, error), join func(a, b condition) condition,
) (condition, error) {
	left, err := part()
	for err == nil && p.take(operator) {
		var right condition
		if right, err = part(); err == nil {
			left = join(left, right)
		}
	}
	return left, err
}

// one parses !…, (…), a comparison, or a test that a member exists.
func (p *filterParser) one() (condition, error) {
	if p.take("!") {
		if !p.take("(") {
			side, isPath, err := p.side()
			if err == nil && !isPath {
				err = p.problem()
			}
			return func(element any, w *work) bool { return side(element, w) == nothing }, err
		}
		inner, err := p.group()
		return func(element any, w *work) bool { return !inner(element, w) }, err
	}
	if p.take("(") {
		return p.group()
	}
	left, isPath, err := p.side()
	if err != nil {
		return nil, err
	}
	operator := p.match(filterOperator)
	if operator == "" {
		if !isPath {
			return nil, p.problem()
		}
		return func(element any, w *work) bool { return left(element, w) != nothing }, nil
	}
	right, _, err := p.side()
	if err != nil {
		return nil, err
	}
	return func(element any, w *work) bool {
		a, b := left(element, w), right(element, w)
		return w.spend(comparing(a, b)) && holds(operator, a, b)
	}, nil
}

// group parses the rest of (…).
func (p *filterParser) group() (condition, error) {
	if p.depth++; p.depth > maxParentheses {
		return nil, errors.New("has a filter with too many parentheses")
	}
	inner, err := p.any()
	if err == nil && !p.take(")") {
		err = p.problem()
	}
	return inner, err
}

// absent is the value of a path that selects nothing.
type absent struct{}

var nothing any = absent{}

// side parses one side of a comparison: a constant, or a path from the element.
func (p *filterParser) side() (value func(element any, w *work) any, isPath bool, err error) {
	constant := func(v any) func(any, *work) any { return func(any, *work) any { return v } }
	if p.take("@") {
		value, err = p.path()
		return value, true, err
	}
	if token := p.match(filterText); token != "" {
		text, err := unquoteName(token)
		return constant(text), false, err
	}
	if token := p.match(filterWord); token != "" {
		return constant(map[string]any{"true": true, "false": false, "null": nil}[token]), false, nil
	}
	if token := p.match(filterNumber); token != "" && len(token) <= maxFilterNumber {
		return constant(json.Number(token)), false, nil
	}
	return nil, false, p.problem()
}

// path parses the names and indexes after @.
func (p *filterParser) path() (func(element any, w *work) any, error) {
	var steps path
	for strings.HasPrefix(p.rest, ".") || strings.HasPrefix(p.rest, "[") {
		seg, used, err := parseSegment(p.rest, pathOptions{})
		if err != nil || seg.kind != nameSegment && seg.kind != indexSegment {
			return nil, p.problem()
		}
		steps.add(seg)
		p.rest = p.rest[used:]
	}
	if err := steps.compile(); err != nil {
		return nil, err
	}
	return func(element any, w *work) any {
		if len(steps.segments) == 0 {
			return element
		}
		if nodes, err := steps.eval(element, w); err == nil && len(nodes) == 1 {
			return nodes[0]
		}
		return nothing
	}, nil
}

// comparing is what it costs to compare two values: texts by their length, and numbers by a little more.
func comparing(a, b any) int {
	switch a := a.(type) {
	case string:
		if b, ok := b.(string); ok {
			return min(len(a), len(b)) / 64
		}
	case json.Number:
		if b, ok := b.(json.Number); ok {
			return max(len(a), len(b)) / 8
		}
	}
	return 0
}

// holds compares two values (RFC 9535 §2.3.5.2.2): values of different types differ, and only numbers and strings are
// ordered. Unlike in the RFC, arrays and objects equal nothing: no reply needs it.
func holds(operator string, a, b any) bool {
	c, ordered, equal := 0, false, false
	switch a := a.(type) {
	case json.Number:
		if b, ok := b.(json.Number); ok {
			c, ordered = compareNumbers(string(a), string(b)), true
			equal = c == 0
		}
	case string:
		if b, ok := b.(string); ok {
			c, ordered = strings.Compare(a, b), true
			equal = c == 0
		}
	case bool:
		b, ok := b.(bool)
		equal = ok && a == b
	case nil:
		equal = b == nil
	case absent:
		equal = b == nothing
	}
	switch operator {
	case "==":
		return equal
	case "!=":
		return !equal
	case "<":
		return ordered && c < 0
	case ">":
		return ordered && c > 0
	case "<=":
		return equal || ordered && c < 0
	}
	return equal || ordered && c > 0
}

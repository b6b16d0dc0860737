package endpoint

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// jsonText is a JSON literal made by convertToJson. It stands unescaped where the template expects a value. It is a
// struct so that slice cannot cut it open.
type jsonText struct{ literal string }

// What one execution of a template may cost. text/template cannot be interrupted, so the work is bounded instead.
const (
	maxTemplateBytes = 16 << 10
	maxFunctionBytes = 64 << 10  // the result of one function; more where a file is converted
	textFuel         = 4 << 20   // the results of all functions together, in bytes
	loopFuel         = 200_000   // nodes that loops may visit
	maxBodyBytes     = 256 << 10 // a rendered body
	maxURLBytes      = 2 << 10
)

var errTooMuch = errors.New("the template produces too much")

// budget is what is left: text for the results of all functions, loop for the nodes that loops visit; one bounds a
// single result.
type budget struct{ text, loop, one int }

func (b *budget) spend(text string) (string, error) {
	b.text -= len(text)
	if len(text) > b.one || b.text < 0 {
		return "", errTooMuch
	}
	return text, nil
}

// authorFuncs are the names a template may call: the documented ones, and Go's own and/or, which must stay built in to
// keep their short circuit.
var authorFuncs = map[string]bool{
	"convertToJson": true, "timestampToRFC3339": true, "default": true, "eq": true, "ne": true, "lt": true, "le": true,
	"gt": true, "ge": true, "not": true, "and": true, "or": true, "len": true, "index": true, "slice": true,
	"print": true, "printf": true, "println": true, "signature": true,
}

// The printers that the rewriting appends to every interpolation; an author cannot name them.
const (
	printJSONString = "_string" // between the quotes of a JSON string
	printJSONValue  = "_value"  // where JSON expects a value
	printURL        = "_url"
	printText       = "_text"
	guardLoop       = "_items"
)

func (b *budget) funcs(signature func() (string, error)) template.FuncMap {
	order := func(holds func(int) bool) func(x, y any) (bool, error) {
		return func(x, y any) (bool, error) {
			c, comparable, err := compare(x, y)
			return comparable && holds(c), err
		}
	}
	printed := func(f func(v any) (string, error)) func(v any) (string, error) {
		return func(v any) (string, error) {
			text, err := f(v)
			if err != nil {
				return "", err
			}
			return b.spend(text)
		}
	}
	m := template.FuncMap{
		"convertToJson": func(v any) (jsonText, error) {
			text, err := literal(v)
			if err != nil {
				return jsonText{}, errors.New("the value has no JSON form")
			}
			text, err = b.spend(text)
			return jsonText{text}, err
		},
		"timestampToRFC3339": timestampToRFC3339,
		"default":            orDefault,
		"eq":                 equal,
		"ne":                 func(x, y any) (bool, error) { same, err := equal(x, y); return !same, err },
		"lt":                 order(func(c int) bool { return c < 0 }),
		"le":                 order(func(c int) bool { return c <= 0 }),
		"gt":                 order(func(c int) bool { return c > 0 }),
		"ge":                 order(func(c int) bool { return c >= 0 }),
		"print":              func(args ...any) (string, error) { return b.join(args, "", "") },
		"println":            func(args ...any) (string, error) { return b.join(args, " ", "\n") },
		"printf":             b.printf,
		printJSONString: printed(func(v any) (string, error) {
			text, err := textOf(v)
			return string(appendEscaped(nil, text)), err
		}),
		printJSONValue: printed(valueOf),
		printURL: printed(func(v any) (string, error) {
			text, err := textOf(v)
			return escapeURL(text), err
		}),
		printText: printed(textOf),
		guardLoop: b.items,
	}
	if signature == nil {
		signature = func() (string, error) { return "", errors.New("there is no signature") }
	}
	m["signature"] = signature
	return m
}

// items lets a loop run over lists and maps only (a range over a number could run for ever) and charges it for every
// node it is going to visit.
func (b *budget) items(nodes int, v any) (any, error) {
	rv := reflect.ValueOf(v)
	if !rv.IsValid() {
		return nil, nil
	}
	if k := rv.Kind(); k != reflect.Slice && k != reflect.Map {
		return nil, errors.New("range works on lists and maps only")
	}
	b.loop -= rv.Len() * nodes
	if b.loop < 0 {
		return nil, errTooMuch
	}
	return v, nil
}

// textOf is how a value prints: a list of one as its element, numbers without an exponent.
func textOf(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case jsonText:
		return v.literal, nil
	case List:
		if len(v) == 1 {
			return v[0], nil
		}
		if len(v) == 0 {
			return "", nil
		}
		return "[" + strings.Join(v, " ") + "]", nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case bool, int, int64, uint8:
		return fmt.Sprint(v), nil
	}
	return "", errors.New("a group of values cannot be printed: name one of its fields, or use convertToJson")
}

// valueOf is the value where JSON expects one. A text that is no JSON scalar becomes a string: a customer's name can
// never become structure.
func valueOf(v any) (string, error) {
	switch v := v.(type) {
	case jsonText:
		return v.literal, nil
	case List:
		if len(v) == 1 {
			return valueOf(v[0])
		}
	case string:
		if trimmed := strings.TrimSpace(v); isScalarLiteral(trimmed) {
			return trimmed, nil
		}
		return quoted(v), nil
	case float64, bool, int, int64, uint8:
		return textOf(v)
	}
	text, err := literal(v)
	if err != nil {
		return "", errors.New("the value has no JSON form")
	}
	return text, nil
}

// timestampToRFC3339 turns epoch milliseconds into UTC, with milliseconds only if there are any. Nothing, and 0, which
// stands for nothing in Data, give nothing: a licence without an end must not end in 1970.
func timestampToRFC3339(v any) (string, error) {
	text, err := textOf(v)
	if err != nil || text == "" || text == "0" {
		return "", err
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	t := time.UnixMilli(ms).UTC()
	if err != nil || t.Year() < 0 || t.Year() > 9999 {
		return "", errors.New("timestampToRFC3339 needs epoch milliseconds")
	}
	return t.Format("2006-01-02T15:04:05.999Z07:00"), nil
}

// orDefault has Nexway's argument order: the value first. Absent numbers are 0 in Data, so 0 gives way too; false does
// not.
func orDefault(v, fallback any) any {
	if list, ok := v.(List); ok && len(list) == 1 {
		v = list[0]
	}
	if _, isBool := v.(bool); isBool {
		return v
	}
	if truth, _ := template.IsTrue(v); truth {
		return v
	}
	return fallback
}

func equal(x any, ys ...any) (bool, error) {
	a, err := textOf(x)
	for _, y := range ys {
		b, errY := textOf(y)
		if err = errors.Join(err, errY); err == nil && a == b {
			return true, nil
		}
	}
	return false, err
}

// compare orders two values: as numbers if one of them is a number, else as text. A number and a text that is none
// cannot be compared.
func compare(x, y any) (c int, comparable bool, err error) {
	a, errX := textOf(x)
	b, errY := textOf(y)
	if err := errors.Join(errX, errY); err != nil {
		return 0, false, err
	}
	if !isNumber(x) && !isNumber(y) {
		return strings.Compare(a, b), true, nil
	}
	na, errX := strconv.ParseFloat(a, 64)
	nb, errY := strconv.ParseFloat(b, 64)
	return cmp.Compare(na, nb), errX == nil && errY == nil, nil
}

func isNumber(v any) bool {
	switch v.(type) {
	case int, int64, float64, uint8:
		return true
	}
	return false
}

func (b *budget) join(args []any, between, after string) (string, error) {
	var out strings.Builder
	for i, arg := range args {
		text, err := textOf(arg)
		if err != nil {
			return "", err
		}
		if i > 0 {
			out.WriteString(between)
		}
		if out.Len()+len(text) > b.one {
			return "", errTooMuch
		}
		out.WriteString(text)
	}
	return b.spend(out.String() + after)
}

var (
	verbPattern  = regexp.MustCompile(`%[-+ 0#]*([0-9]*)(?:\.([0-9]*))?(.)`)
	maxVerbWidth = 64
)

// printf knows the verbs %s %v %d %f %q %x %X %t %%, with width and precision up to 64 and without * and [n].
func (b *budget) printf(format string, args ...any) (string, error) {
	if len(format) > maxTemplateBytes {
		return "", errTooMuch
	}
	next, values := 0, []any{}
	for _, m := range verbPattern.FindAllStringSubmatch(format, -1) {
		for _, digits := range m[1:3] {
			if n, err := strconv.Atoi("0" + digits); err != nil || n > maxVerbWidth {
				return "", fmt.Errorf("printf takes widths up to %d", maxVerbWidth)
			}
		}
		if m[3] == "%" {
			continue
		}
		if next == len(args) {
			return "", errors.New("printf has more verbs than values")
		}
		value, err := verbValue(m[3], args[next])
		if err != nil {
			return "", err
		}
		next++
		values = append(values, value)
	}
	if next != len(args) {
		return "", errors.New("printf has more values than verbs")
	}
	return b.spend(fmt.Sprintf(format, values...))
}

// verbValue turns a value into the Go type that the verb formats.
func verbValue(verb string, arg any) (any, error) {
	text, err := textOf(arg)
	if err != nil || len(text) > maxFunctionBytes {
		return nil, errors.Join(err, errors.New("printf cannot print this value"))
	}
	var value any = text
	switch verb {
	case "s", "v", "q":
	case "f":
		value, err = strconv.ParseFloat(text, 64)
	case "d":
		value, err = strconv.ParseInt(text, 10, 64)
	case "x", "X":
		if isNumber(arg) {
			value, err = strconv.ParseInt(text, 10, 64)
		}
	case "t":
		value, err = strconv.ParseBool(text)
	default:
		return nil, fmt.Errorf("printf does not know the verb %%%s", verb)
	}
	if err != nil {
		return nil, fmt.Errorf("printf cannot print this value with %%%s", verb)
	}
	return value, nil
}

package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/PaesslerAG/gval"
	"github.com/PaesslerAG/jsonpath"

	"keyturn.dev/keyturn"
)

// The subset of JSONPath that response paths and signed fields may use: `$`, `.name`, `["name"]`, `['name']`, `[n]` and
// `[-n]`, `[*]` and `.*`, `[start:end:step]` with a positive step, and, where the integration allows them, `[?filter]` and
// `..` before any of these. What is accepted means what RFC 9535 says. The library is asked for one step at a time: its
// own `..` costs the cube of the nesting, and its own order of members is random.

type segmentKind int

const (
	nameSegment segmentKind = iota
	indexSegment
	wildcardSegment
	sliceSegment
	filterSegment
)

type segment struct {
	kind  segmentKind
	deep  bool           // after ..: applied to the node and to everything below it
	index int            // of an indexSegment
	slice [3]*int        // start, end, step of a sliceSegment; nil: absent
	eval  gval.Evaluable // the library's selector for one step: a name or an index from 0
	holds condition      // of a filterSegment
}

type path struct {
	segments []segment
	all      bool // a trailing +: every match, not only the first
}

// pathOptions are what an integration enables beyond the plain subset.
type pathOptions struct{ filters, descendants bool }

func optionsOf(in keyturn.Integration) pathOptions {
	return pathOptions{filters: in.AllowFilters, descendants: in.AllowDescendants}
}

const (
	maxPathBytes    = 500
	maxPathSegments = 32
)

var (
	dotName      = regexp.MustCompile(`^\.([\pL_][\pL\pN_]*)`)
	dotWildcard  = regexp.MustCompile(`^(\.\*|\[ *\* *\])`)
	bracketIndex = regexp.MustCompile(`^\[ *(0|-?[1-9][0-9]{0,8}) *\]`)
	bracketSlice = regexp.MustCompile(`^\[ *(0|-?[1-9][0-9]{0,8})? *: *(0|-?[1-9][0-9]{0,8})? *(?:: *([1-9][0-9]{0,8})? *)?\]`)
	bracketName  = regexp.MustCompile(`^\[ *("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*') *\]`)
)

// parsePath reads a path and compiles its steps.
func parsePath(text string, allow pathOptions) (path, error) {
	rest, all := strings.CutSuffix(strings.TrimSpace(text), "+")
	rest = strings.TrimSpace(rest)
	switch {
	case len(text) > maxPathBytes:
		return path{}, fmt.Errorf("must be at most %d characters", maxPathBytes)
	case !strings.HasPrefix(rest, "$"):
		return path{}, errors.New("must be a JSONPath that starts with $, such as $.licenses[0].key")
	}
	p, rest := path{all: all}, rest[1:]
	for rest != "" {
		deep := strings.HasPrefix(rest, "..")
		if deep {
			if !allow.descendants {
				return path{}, errors.New("cannot use .. unless the integration sets allowDescendants: name the way from $")
			}
			if rest = rest[1:]; strings.HasPrefix(rest, ".[") {
				rest = rest[1:]
			}
		}
		seg, used, err := parseSegment(rest, allow)
		if err != nil {
			return path{}, err
		}
		seg.deep = deep
		p.segments, rest = append(p.segments, seg), rest[used:]
	}
	if len(p.segments) > maxPathSegments {
		return path{}, fmt.Errorf("must have at most %d steps", maxPathSegments)
	}
	return p, nil
}

func parseSegment(rest string, allow pathOptions) (segment, int, error) {
	if m := dotName.FindStringSubmatch(rest); m != nil {
		seg, err := named(m[1])
		return seg, len(m[0]), err
	}
	if m := dotWildcard.FindString(rest); m != "" {
		return segment{kind: wildcardSegment}, len(m), nil
	}
	if m := bracketIndex.FindStringSubmatch(rest); m != nil {
		n, _ := strconv.Atoi(m[1])
		seg, err := segment{kind: indexSegment, index: n}, error(nil)
		if n >= 0 {
			seg.eval, err = jsonpath.New("$[" + m[1] + "]")
		}
		return seg, len(m[0]), err
	}
	if m := bracketSlice.FindStringSubmatch(rest); m != nil {
		seg := segment{kind: sliceSegment}
		for i, digits := range m[1:] {
			if n, err := strconv.Atoi(digits); err == nil {
				seg.slice[i] = &n
			}
		}
		return seg, len(m[0]), nil
	}
	if m := bracketName.FindStringSubmatch(rest); m != nil {
		name, err := unquoteName(m[1])
		if err != nil {
			return segment{}, 0, err
		}
		seg, err := named(name)
		return seg, len(m[0]), err
	}
	switch {
	case strings.HasPrefix(rest, "[?") && !allow.filters:
		return segment{}, 0, errors.New("cannot use a filter unless the integration sets allowFilters")
	case strings.HasPrefix(rest, "[?"):
		return parseFilter(rest)
	}
	return segment{}, 0, fmt.Errorf("cannot be read from %.20q on: use .name, [\"name\"], [0], [*] or [0:2]", rest)
}

func named(name string) (segment, error) {
	eval, err := jsonpath.New("$[" + strconv.Quote(name) + "]")
	return segment{kind: nameSegment, eval: eval}, err
}

// unquoteName reads a name in double or single quotes with the escapes of RFC 9535.
func unquoteName(text string) (string, error) {
	if text[0] == '\'' {
		var b strings.Builder
		inner := text[1 : len(text)-1]
		for i := 0; i < len(inner); i++ {
			switch {
			case inner[i] == '\\' && inner[i+1] == '\'':
				b.WriteByte('\'')
				i++
			case inner[i] == '\\':
				b.WriteString(inner[i : i+2])
				i++
			case inner[i] == '"':
				b.WriteString(`\"`)
			default:
				b.WriteByte(inner[i])
			}
		}
		text = `"` + b.String() + `"`
	}
	var name string
	if err := json.Unmarshal([]byte(text), &name); err != nil {
		return "", errors.New("has a name with an escape that JSON does not know")
	}
	return name, nil
}

// definite says that the path names one place, whatever the document.
func (p path) definite() bool {
	for _, s := range p.segments {
		if s.deep || s.kind != nameSegment && s.kind != indexSegment {
			return false
		}
	}
	return true
}

package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/PaesslerAG/gval"
	"github.com/PaesslerAG/jsonpath"

	"keyturn.dev/keyturn"
)

// Response paths and signed fields use a subset of JSONPath: `$`, `.name`, `["name"]`, `['name']`, `[n]`, `[-n]`,
// `[*]`, `.*`, `[start:end:step]` with a positive step and, where the integration allows them, `[?filter]` and `..`
// before any of these. Within the subset a path selects exactly what RFC 9535 says. The library resolves member names;
// the other selectors are implemented here, because the library departs from the RFC in each of them
// (docs/decide/0020-what-jsonpath-resolves.md).

type segmentKind int

const (
	nameSegment segmentKind = iota // one member name, or several in a row
	indexSegment
	wildcardSegment
	sliceSegment
	filterSegment
)

type segment struct {
	kind  segmentKind
	deep  bool           // after ..: applied to the node and to all its descendants
	names []string       // of a nameSegment
	eval  gval.Evaluable // names, compiled by the library into one expression
	index int            // of an indexSegment; negative counts from the end
	slice [3]*int        // start, end and step of a sliceSegment; nil if absent
	holds condition      // of a filterSegment
}

// path is a compiled path. It is immutable, so calls share it.
type path struct {
	segments []segment
	all      bool // a trailing +: every match instead of the first
}

// pathOptions are the selectors that an integration enables beyond the plain subset.
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
	bracketSlice = regexp.MustCompile(
		`^\[ *(0|-?[1-9][0-9]{0,8})? *: *(0|-?[1-9][0-9]{0,8})? *(?:: *([1-9][0-9]{0,8})? *)?\]`)
	bracketName = regexp.MustCompile(`^\[ *("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*') *\]`)
)

// maxCompiledPaths bounds the memory of compiled paths, some kilobytes each.
const maxCompiledPaths = 1024

type pathKey struct {
	text  string
	allow pathOptions
}

// compiledPaths holds the valid paths that were compiled. Every call needs the same few, and compiling one takes ten
// times as long as evaluating it.
var compiledPaths = struct {
	sync.RWMutex
	paths map[pathKey]path
}{paths: map[pathKey]path{}}

// parsePath returns the compiled path. Its errors read as rules ("must start with $").
func parsePath(text string, allow pathOptions) (path, error) {
	key := pathKey{text, allow}
	compiledPaths.RLock()
	p, ok := compiledPaths.paths[key]
	compiledPaths.RUnlock()
	if ok {
		return p, nil
	}
	p, err := compilePath(text, allow)
	if err != nil {
		return path{}, err
	}
	compiledPaths.Lock()
	defer compiledPaths.Unlock()
	if len(compiledPaths.paths) >= maxCompiledPaths {
		clear(compiledPaths.paths)
	}
	compiledPaths.paths[key] = p
	return p, nil
}

func compilePath(text string, allow pathOptions) (path, error) {
	rest, all := strings.CutSuffix(strings.TrimSpace(text), "+")
	rest = strings.TrimSpace(rest)
	switch {
	case len(text) > maxPathBytes:
		return path{}, fmt.Errorf("must be at most %d characters", maxPathBytes)
	case !strings.HasPrefix(rest, "$"):
		return path{}, errors.New("must be a JSONPath that starts with $, such as $.licenses[0].key")
	}
	p, rest, count := path{all: all}, rest[1:], 0
	for ; rest != ""; count++ {
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
		rest = rest[used:]
		p.add(seg)
	}
	if count > maxPathSegments {
		return path{}, fmt.Errorf("must have at most %d steps", maxPathSegments)
	}
	return p, p.compile()
}

// add appends a segment. A name after a name extends its segment, unless it reads as a number: inside an expression the
// library would take it for the index of an array.
func (p *path) add(seg segment) {
	last := len(p.segments) - 1
	if seg.kind != nameSegment || seg.deep || last < 0 || p.segments[last].kind != nameSegment ||
		readsAsNumber(seg.names[0]) {
		p.segments = append(p.segments, seg)
		return
	}
	p.segments[last].names = append(p.segments[last].names, seg.names...)
}

// readsAsNumber reports whether the library converts the text to a number.
func readsAsNumber(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}

// compile has the library compile the names of each segment.
func (p *path) compile() error {
	for i := range p.segments {
		if p.segments[i].kind != nameSegment {
			continue
		}
		expression := "$"
		for _, name := range p.segments[i].names {
			expression += "[" + strconv.Quote(name) + "]"
		}
		var err error
		if p.segments[i].eval, err = jsonpath.New(expression); err != nil {
			return err
		}
	}
	return nil
}

// parseSegment reads the segment at the start of rest and returns its length.
func parseSegment(rest string, allow pathOptions) (segment, int, error) {
	if m := dotName.FindStringSubmatch(rest); m != nil {
		return segment{kind: nameSegment, names: []string{m[1]}}, len(m[0]), nil
	}
	if m := dotWildcard.FindString(rest); m != "" {
		return segment{kind: wildcardSegment}, len(m), nil
	}
	if m := bracketIndex.FindStringSubmatch(rest); m != nil {
		n, _ := strconv.Atoi(m[1])
		return segment{kind: indexSegment, index: n}, len(m[0]), nil
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
		return segment{kind: nameSegment, names: []string{name}}, len(m[0]), err
	}
	switch {
	case strings.HasPrefix(rest, "[?") && !allow.filters:
		return segment{}, 0, errors.New("cannot use a filter unless the integration sets allowFilters")
	case strings.HasPrefix(rest, "[?"):
		return parseFilter(rest)
	}
	return segment{}, 0, fmt.Errorf("cannot be read from %.20q on: use .name, [\"name\"], [0], [*] or [0:2]", rest)
}

// unquoteName returns the text of a string literal in double or single quotes, with the escapes of RFC 9535.
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

// definite reports whether the path selects at most one node in any document.
func (p path) definite() bool {
	for _, s := range p.segments {
		if s.deep || s.kind != nameSegment && s.kind != indexSegment {
			return false
		}
	}
	return true
}

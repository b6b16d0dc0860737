package catalogfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/strictjson"
)

// yamlDocument is a YAML document as JSON, with the line of every path, so that whatever the strict reader of JSON and
// the checks say about a path can be said about a line.
type yamlDocument struct {
	json  []byte
	lines map[string]int
}

const (
	maxCatalogFile = 8 << 20
	maxYAMLNodes   = 200_000 // with every alias followed: a few lines of aliases can stand for millions
)

// readYAML reads all documents of a text. Its errors are fields whose location is a line.
func readYAML(text []byte) ([]yamlDocument, error) {
	var docs []yamlDocument
	var bad keyturn.Problems
	d := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var root yaml.Node
		err := d.Decode(&root)
		if errors.Is(err, io.EOF) {
			return docs, bad.Err("the file is not valid")
		}
		if err != nil {
			line, message := yamlProblem(err)
			bad.Addf(atLine(line, ""), "%s", message)
			return docs, bad.Err("the file is not valid YAML")
		}
		w := yamlWriter{lines: map[string]int{}, bad: &bad}
		w.write(&root, "", 0)
		docs = append(docs, yamlDocument{json: w.out.Bytes(), lines: w.lines})
	}
}

var (
	yamlErrorLine = regexp.MustCompile(`line (\d+): (.*)`)
	// yamlGrammar are the complaints that the library places one line too early: those of its parser, whose lines count
	// from zero. Those of its scanner are right.
	yamlGrammar = regexp.MustCompile(`did not find expected (',' or|key|'-'|<document start>|node content)`)
)

// yamlProblem takes the line out of an error of the library.
func yamlProblem(err error) (int, string) {
	if m := yamlErrorLine.FindStringSubmatch(err.Error()); m != nil {
		line, _ := strconv.Atoi(m[1]) // digits
		if yamlGrammar.MatchString(m[2]) {
			line++
		}
		return line, m[2]
	}
	return 1, strings.TrimPrefix(err.Error(), "yaml: ")
}

// atLine is how a place in a file is written.
func atLine(line int, path string) string {
	if path == "" {
		return "line " + strconv.Itoa(line)
	}
	return "line " + strconv.Itoa(line) + ", " + path
}

// line is where a path stands, or the nearest thing around it.
func (d yamlDocument) line(path string) int {
	for path != "" {
		if line, ok := d.lines[path]; ok {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return max(d.lines[""], 1)
}

// yamlWriter writes a tree of YAML as JSON.
type yamlWriter struct {
	out   bytes.Buffer
	lines map[string]int
	bad   *keyturn.Problems
	nodes int
}

func (w *yamlWriter) write(n *yaml.Node, at string, depth int) {
	if w.nodes++; w.nodes > maxYAMLNodes || depth > 2*strictjson.MaxDepth {
		if w.nodes == maxYAMLNodes+1 || depth > 2*strictjson.MaxDepth {
			w.bad.Addf(atLine(n.Line, at), "is too large or nested too deeply")
		}
		w.out.WriteString("null")
		return
	}
	if _, ok := w.lines[at]; !ok {
		w.lines[at] = n.Line
	}
	switch n.Kind {
	case yaml.DocumentNode:
		w.write(n.Content[0], at, depth)
	case yaml.AliasNode:
		w.write(n.Alias, at, depth+1)
	case yaml.MappingNode:
		w.mapping(n, at, depth)
	case yaml.SequenceNode:
		w.out.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				w.out.WriteByte(',')
			}
			w.write(item, at+"["+strconv.Itoa(i)+"]", depth+1)
		}
		w.out.WriteByte(']')
	default:
		w.scalar(n, at)
	}
}

func (w *yamlWriter) mapping(n *yaml.Node, at string, depth int) {
	seen := map[string]int{}
	w.out.WriteByte('{')
	first := true
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		path := strictjson.Path(at, key.Value)
		switch line, twice := seen[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge":
			w.bad.Addf(atLine(key.Line, at), "must have plain names as fields, without merge keys")
			continue
		case twice:
			w.bad.Addf(atLine(key.Line, path), "is a duplicate field: first defined in line %d", line)
			continue
		}
		seen[key.Value] = key.Line
		w.lines[path] = key.Line
		if !first {
			w.out.WriteByte(',')
		}
		first = false
		w.text(key.Value)
		w.out.WriteByte(':')
		w.write(value, path, depth+1)
	}
	w.out.WriteByte('}')
}

func (w *yamlWriter) scalar(n *yaml.Node, at string) {
	switch n.ShortTag() {
	case "!!null":
		w.out.WriteString("null")
	case "!!bool":
		var b bool
		_ = n.Decode(&b) // the tag says that it is one
		w.out.WriteString(strconv.FormatBool(b))
	case "!!int", "!!float":
		var i int64
		var f float64
		switch {
		case n.Decode(&i) == nil:
			w.out.WriteString(strconv.FormatInt(i, 10))
		case n.Decode(&f) == nil && !math.IsInf(f, 0) && !math.IsNaN(f):
			w.out.WriteString(strconv.FormatFloat(f, 'g', -1, 64))
		default:
			w.bad.Addf(atLine(n.Line, at), "is out of range")
			w.out.WriteString("0")
		}
	case "!!str", "!!timestamp":
		w.text(n.Value)
	default:
		w.bad.Addf(atLine(n.Line, at), "has the unsupported tag %s", n.ShortTag())
		w.out.WriteString("null")
	}
}

func (w *yamlWriter) text(s string) {
	text, _ := json.Marshal(s) //nolint:errchkjson // a string
	w.out.Write(text)
}

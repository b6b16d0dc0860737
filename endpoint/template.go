package endpoint

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"text/template"
)

// place is what a template's output becomes, which decides how interpolated values are escaped.
type place int

const (
	inJSON place = iota // a body
	inURL
	inText // a header value, a converted reply value
)

// program is a template that passed the allow-list and whose interpolations escape themselves. It serves one goroutine.
type program struct {
	plain string // the whole text where it has no actions, which is common for URLs
	tmpl  *template.Template
	left  *budget
	signs bool // it calls signature
	nodes int  // what one execution visits at most, loops aside
}

// compile parses a template, refuses what is not on the allow-list, and rewrites it: every interpolation is piped
// through the printer of its place, every loop through a guard. dot is the type of the data, for the check of field
// names; signature is nil where `signature` may not be used.
func compile(text string, where place, dot reflect.Type, signature func() (string, error)) (*program, error) {
	if len(text) > maxTemplateBytes {
		return nil, fmt.Errorf("must be at most %d bytes", maxTemplateBytes)
	}
	if !strings.Contains(text, "{{") {
		return &program{plain: text}, nil
	}
	left := &budget{}
	tmpl, err := template.New("template").Option("missingkey=zero").Funcs(left.funcs(signature)).Parse(text)
	if err != nil {
		return nil, shortError(err)
	}
	if tmpl.Tree == nil || tmpl.Root == nil { // nothing but comments
		return &program{}, nil
	}
	if len(tmpl.Templates()) > 1 {
		return nil, errors.New("cannot define or call other templates")
	}
	r := rewriter{place: where, vars: []variable{{"$", dot}}}
	if _, err := r.list(tmpl.Root, dot, false); err != nil {
		return nil, err
	}
	if r.signs && signature == nil {
		return nil, errors.New("cannot use signature unless the definition's signature is enabled with injectInBody")
	}
	return &program{tmpl: tmpl, left: left, signs: r.signs, nodes: countNodes(tmpl.Root)}, nil
}

// run executes the program within a budget of its own and gives at most limit bytes.
func (p *program) run(data any, limit int) (string, error) {
	p.allow(budget{text: textFuel, loop: loopFuel, one: maxFunctionBytes})
	return p.execute(data, limit)
}

// allow sets what the executions from now on may cost together.
func (p *program) allow(b budget) {
	if p.left != nil {
		*p.left = b
	}
}

// execute is run within what is left.
func (p *program) execute(data any, limit int) (string, error) {
	if p.tmpl == nil {
		if len(p.plain) > limit {
			return "", errTooMuch
		}
		return p.plain, nil
	}
	out := limitedBuffer{limit: limit}
	if err := p.tmpl.Execute(&out, data); err != nil {
		return "", shortError(err)
	}
	return out.String(), nil
}

// shortError drops text/template's own prefix; what is left names line, column and cause.
func shortError(err error) error {
	text := strings.TrimPrefix(err.Error(), "template: ")
	text = strings.TrimPrefix(text, "template:")
	return errors.New("line " + text)
}

type limitedBuffer struct {
	bytes.Buffer
	limit int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.limit {
		return 0, errTooMuch
	}
	return b.Buffer.Write(p)
}

// escapeURL makes a value one piece of a path or query: nothing in it can start another segment, parameter or fragment.
func escapeURL(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

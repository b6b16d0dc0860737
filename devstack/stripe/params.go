package stripe

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// params are the parameters that a route takes.
type params map[string]param

// param is one of them.
type param struct {
	kind     kind
	required bool
	choices  []string // of a choice
	longest  int      // of a text; 0: 5000
	fields   params   // of an object
	item     *param   // of a list
	most     int      // of a list; 0: 100
}

type kind int

const (
	text kind = iota
	integer
	boolean
	choice
	object_
	list
	metadata
)

func must(p param) param {
	p.required = true
	return p
}

func oneOf(choices ...string) param { return param{kind: choice, choices: choices} }

func fields(p params) param { return param{kind: object_, fields: p} }

func listOf(item param) param { return param{kind: list, item: &item} }

// args are parameters that have been checked.
type args map[string]any

func (a args) text(name string) string {
	v, _ := a[name].(string)
	return v
}

func (a args) number(name string) (int64, bool) {
	v, ok := a[name].(int64)
	return v, ok
}

func (a args) flag(name string) bool {
	v, _ := a[name].(bool)
	return v
}

func (a args) object(name string) args {
	v, _ := a[name].(args)
	return v
}

func (a args) list(name string) []any {
	v, _ := a[name].([]any)
	return v
}

func (a args) texts(name string) (all []string) {
	for _, v := range a.list(name) {
		if t, ok := v.(string); ok {
			all = append(all, t)
		}
	}
	return all
}

func (a args) metadata(name string) map[string]string {
	v, _ := a[name].(map[string]string)
	return v
}

// node is a parameter as it was sent: a value, or further names in brackets.
type node struct {
	value    string
	children map[string]*node
}

// parse reads a form, and checks it by the parameters that the route takes.
func parse(form string, takes params) (args, *apiError) {
	values, err := url.ParseQuery(form)
	if err != nil {
		return nil, refuse("", "", "Invalid form-encoded body: %v", err)
	}
	root := &node{children: map[string]*node{}}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for i, value := range values[name] {
			if e := root.put(name, value, i, len(values[name])); e != nil {
				return nil, e
			}
		}
	}
	return takes.check("", root)
}

// put stores a value under a name such as line_items[0][price_data][currency] or expand[].
func (n *node) put(name, value string, i, of int) *apiError {
	first, rest, nested := strings.Cut(name, "[")
	path := []string{first}
	if nested {
		if !strings.HasSuffix(rest, "]") {
			return refuse("", name, "Invalid parameter name: %s", name)
		}
		path = append(path, strings.Split(strings.TrimSuffix(rest, "]"), "][")...)
	}
	for at, part := range path {
		if part == "" && at == len(path)-1 && at > 0 {
			part = strconv.Itoa(i)
			of = 1
		}
		if part == "" || strings.ContainsAny(part, "[]") {
			return refuse("", name, "Invalid parameter name: %s", name)
		}
		if n.children == nil {
			n.children = map[string]*node{}
		}
		next := n.children[part]
		if next == nil {
			next = &node{}
			n.children[part] = next
		} else if at == len(path)-1 || next.children == nil {
			return refuse("", name, "Invalid parameter: %s has been sent in two forms", name)
		}
		n = next
	}
	if of > 1 {
		return refuse("", name, "Invalid parameter: %s has been sent more than once", name)
	}
	n.value = value
	return nil
}

func (p params) check(prefix string, n *node) (args, *apiError) {
	out := args{}
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		full := nest(prefix, name)
		takes, known := p[name]
		if !known {
			return nil, refuse("parameter_unknown", full, "Received unknown parameter: %s", full)
		}
		value, e := takes.check(full, n.children[name])
		if e != nil {
			return nil, e
		}
		out[name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if _, sent := out[name]; p[name].required && !sent {
			full := nest(prefix, name)
			return nil, refuse("parameter_missing", full, "Missing required param: %s.", full)
		}
	}
	return out, nil
}

func nest(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "[" + name + "]"
}

func (p param) check(name string, n *node) (any, *apiError) {
	nested := n.children != nil
	if wantsNested := p.kind >= object_; nested != wantsNested {
		return nil, refuse("", name, "Invalid %s", map[bool]string{true: "object", false: "value"}[wantsNested]+" for "+name)
	}
	if !nested && n.value == "" {
		return nil, refuse("parameter_invalid_empty", name, "You passed an empty string for '%s'. We assume empty values "+
			"are an attempt to unset a parameter; however '%s' cannot be unset. You should remove '%s' from your request "+
			"or supply a non-empty value.", name, name, name)
	}
	switch p.kind {
	case object_:
		return p.fields.check(name, n)
	case list:
		return p.checkList(name, n)
	case metadata:
		return checkMetadata(name, n)
	case integer:
		v, err := strconv.ParseInt(n.value, 10, 64)
		if err != nil {
			return nil, refuse("parameter_invalid_integer", name, "Invalid integer: %s", n.value)
		}
		return v, nil
	case boolean:
		if n.value != "true" && n.value != "false" {
			return nil, refuse("", name, "Invalid boolean: %s", n.value)
		}
		return n.value == "true", nil
	case choice:
		if !slices.Contains(p.choices, n.value) {
			return nil, refuse("", name, "Invalid %s: must be one of %s", name, strings.Join(p.choices, ", "))
		}
		return n.value, nil
	case text:
	}
	longest := p.longest
	if longest == 0 {
		longest = 5000
	}
	if len(n.value) > longest {
		return nil, refuse("", name, "Invalid string: %s…; must be at most %d characters", n.value[:20], longest)
	}
	return n.value, nil
}

func (p param) checkList(name string, n *node) (any, *apiError) {
	most := p.most
	if most == 0 {
		most = 100
	}
	if len(n.children) > most {
		return nil, refuse("", name, "Array %s exceeded maximum %d allowed elements.", name, most)
	}
	all := make([]any, len(n.children))
	for i := range all {
		child := n.children[strconv.Itoa(i)]
		if child == nil {
			return nil, refuse("", name, "Invalid array: %s must be numbered from 0", name)
		}
		value, e := p.item.check(fmt.Sprintf("%s[%d]", name, i), child)
		if e != nil {
			return nil, e
		}
		all[i] = value
	}
	return all, nil
}

func checkMetadata(name string, n *node) (any, *apiError) {
	if len(n.children) > 50 {
		return nil, refuse("", name, "Metadata can have up to 50 keys.")
	}
	all := map[string]string{}
	for key, child := range n.children {
		if child.children != nil {
			return nil, refuse("", nest(name, key), "Metadata values must be strings.")
		}
		if len(key) > 40 || len(child.value) > 500 {
			return nil, refuse("", nest(name, key), "Metadata keys have up to 40 characters, and values up to 500.")
		}
		if child.value != "" {
			all[key] = child.value
		}
	}
	return all, nil
}

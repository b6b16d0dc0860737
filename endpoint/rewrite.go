package endpoint

import (
	"fmt"
	"reflect"
	"strconv"
	"text/template/parse"
)

// rewriter walks a template's parse tree once. It refuses every kind of node and function that is not on the
// allow-list, checks field names against the data's type, tracks where in the JSON text each interpolation is, and
// appends the escaping printers. Inside a JSON string every value is escaped and outside every value is complete, so
// whether a place is inside a string depends on the author's text alone and is known before execution.
type rewriter struct {
	place place
	vars  []variable
	signs bool // the template calls signature
}

type variable struct {
	name string
	typ  reflect.Type // nil: not known
}

func problemAt(n parse.Node, format string, args ...any) error {
	return fmt.Errorf("%s, at byte %d", fmt.Sprintf(format, args...), n.Position())
}

// list handles the nodes of one block and reports whether a JSON string is open after it.
func (r *rewriter) list(list *parse.ListNode, dot reflect.Type, inString bool) (bool, error) {
	if list == nil {
		return inString, nil
	}
	depth := len(r.vars)
	defer func() { r.vars = r.vars[:depth] }()
	var err error
	for i, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.TextNode:
			inString, err = r.text(n, n.Text, inString)
		case *parse.ActionNode:
			if constant, ok := constantText(n); ok { // the author's own words, like text between the braces
				list.Nodes[i] = &parse.TextNode{NodeType: parse.NodeText, Pos: n.Pos, Text: []byte(constant)}
				inString, err = r.text(n, []byte(constant), inString)
				break
			}
			if err = r.pipe(n.Pipe, dot); err == nil && len(n.Pipe.Decl) == 0 {
				n.Pipe.Cmds = append(n.Pipe.Cmds, call(n.Pos, r.printer(inString)))
			}
		case *parse.IfNode:
			inString, err = r.branch(&n.BranchNode, dot, inString)
		case *parse.WithNode:
			inString, err = r.branch(&n.BranchNode, dot, inString)
		case *parse.RangeNode:
			inString, err = r.branch(&n.BranchNode, dot, inString)
		default:
			err = problemAt(node, "cannot use %.40s", node)
		}
		if err != nil {
			return false, err
		}
	}
	return inString, nil
}

func (r *rewriter) printer(inString bool) string {
	switch {
	case r.place == inURL:
		return printURL
	case r.place == inText:
		return printText
	case inString:
		return printJSONString
	}
	return printJSONValue
}

// text follows the quotes of the author's text.
func (r *rewriter) text(at parse.Node, text []byte, inString bool) (bool, error) {
	if r.place != inJSON {
		return false, nil
	}
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			inString = !inString
		case text[i] == '\\' && inString:
			if i++; i == len(text) {
				return false, problemAt(at, "cannot have a backslash right before {{")
			}
		}
	}
	return inString, nil
}

// branch handles if, with and range. Both ways through it must leave the same JSON context behind.
func (r *rewriter) branch(n *parse.BranchNode, dot reflect.Type, inString bool) (bool, error) {
	depth := len(r.vars)
	defer func() { r.vars = r.vars[:depth] }()
	if err := r.pipe(n.Pipe, dot); err != nil {
		return false, err
	}
	inner := dot
	switch n.NodeType {
	case parse.NodeWith:
		inner = r.typeOf(n.Pipe, dot)
	case parse.NodeRange:
		inner = elemOf(r.typeOf(n.Pipe, dot))
		if declared := len(n.Pipe.Decl); declared > 0 && !n.Pipe.IsAssign { // $i, $e := …: the last is the element
			for i := range declared {
				r.vars[len(r.vars)-1-i].typ = nil
			}
			r.vars[len(r.vars)-1].typ = inner
		}
		n.Pipe.Cmds = append(n.Pipe.Cmds, call(n.Pos, guardLoop, number(n.Pos, countNodes(n.List))))
	}
	after, err := r.list(n.List, inner, inString)
	if err != nil {
		return false, err
	}
	otherwise, err := r.list(n.ElseList, dot, inString)
	if err != nil {
		return false, err
	}
	// A range runs its body any number of times, so the body must come back to where it began.
	if after != otherwise || n.NodeType == parse.NodeRange && after != inString {
		return false, problemAt(n, "must open and close its JSON quotes within each branch of %s", branchName(n.NodeType))
	}
	return after, nil
}

func branchName(t parse.NodeType) string {
	return map[parse.NodeType]string{parse.NodeIf: "if", parse.NodeWith: "with", parse.NodeRange: "range"}[t]
}

// pipe checks a pipeline and declares its variables.
func (r *rewriter) pipe(p *parse.PipeNode, dot reflect.Type) error {
	for _, cmd := range p.Cmds {
		for _, arg := range cmd.Args {
			if err := r.arg(arg, dot); err != nil {
				return err
			}
		}
	}
	for _, v := range p.Decl {
		if p.IsAssign { // what it holds from now on depends on the way through the template
			r.forget(v.Ident[0])
			continue
		}
		r.vars = append(r.vars, variable{v.Ident[0], r.typeOf(p, dot)})
	}
	return nil
}

func (r *rewriter) arg(node parse.Node, dot reflect.Type) error {
	switch n := node.(type) {
	case *parse.IdentifierNode:
		if !authorFuncs[n.Ident] {
			return problemAt(n, "cannot call %s", n.Ident)
		}
		r.signs = r.signs || n.Ident == "signature"
	case *parse.FieldNode:
		return r.field(n, dot, n.Ident)
	case *parse.VariableNode:
		return r.field(n, r.lookup(n.Ident[0]), n.Ident[1:])
	case *parse.PipeNode:
		return r.pipe(n, dot)
	case *parse.ChainNode:
		if err := r.arg(n.Node, dot); err != nil {
			return err
		}
		return r.field(n, r.typeOf(n.Node, dot), n.Field)
	case *parse.DotNode, *parse.NilNode, *parse.BoolNode, *parse.StringNode:
	case *parse.NumberNode:
		if !n.IsInt && !n.IsFloat {
			return problemAt(n, "cannot use the number %s", n.Text)
		}
	default:
		return problemAt(node, "cannot use %.40s", node)
	}
	return nil
}

func (r *rewriter) field(at parse.Node, typ reflect.Type, names []string) error {
	_, err := fieldType(typ, names)
	if err != nil {
		return problemAt(at, "%s", err)
	}
	return nil
}

func (r *rewriter) lookup(name string) reflect.Type {
	for i := len(r.vars) - 1; i >= 0; i-- {
		if r.vars[i].name == name {
			return r.vars[i].typ
		}
	}
	return nil
}

func (r *rewriter) forget(name string) {
	for i := len(r.vars) - 1; i >= 0; i-- {
		if r.vars[i].name == name {
			r.vars[i].typ = nil
			return
		}
	}
}

// typeOf is the type of what a node gives if it is a plain path into the data, else nil.
func (r *rewriter) typeOf(node parse.Node, dot reflect.Type) reflect.Type {
	var typ reflect.Type
	switch n := node.(type) {
	case *parse.PipeNode:
		if len(n.Cmds) == 1 && len(n.Cmds[0].Args) == 1 {
			typ = r.typeOf(n.Cmds[0].Args[0], dot)
		}
	case *parse.FieldNode:
		typ, _ = fieldType(dot, n.Ident)
	case *parse.VariableNode:
		typ, _ = fieldType(r.lookup(n.Ident[0]), n.Ident[1:])
	case *parse.ChainNode:
		typ, _ = fieldType(r.typeOf(n.Node, dot), n.Field)
	case *parse.DotNode:
		typ = dot
	}
	return typ
}

// fieldType follows names into a type. An unknown type has unknown fields, which execution checks.
func fieldType(typ reflect.Type, names []string) (reflect.Type, error) {
	for _, name := range names {
		if typ == nil {
			return nil, nil
		}
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		switch typ.Kind() {
		case reflect.Struct:
			field, ok := typ.FieldByName(name)
			if !ok || !field.IsExported() {
				return nil, fmt.Errorf("there is no field .%s", name)
			}
			typ = field.Type
		case reflect.Map:
			typ = typ.Elem()
		default:
			return nil, fmt.Errorf("there is no field .%s in a single value", name)
		}
	}
	return typ, nil
}

func elemOf(typ reflect.Type) reflect.Type {
	if typ != nil && (typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map) {
		return typ.Elem()
	}
	return nil
}

// constantText is the text of an action that only holds a string literal, {{"…"}}.
func constantText(n *parse.ActionNode) (string, bool) {
	if len(n.Pipe.Decl) == 0 && len(n.Pipe.Cmds) == 1 && len(n.Pipe.Cmds[0].Args) == 1 {
		if s, ok := n.Pipe.Cmds[0].Args[0].(*parse.StringNode); ok {
			return s.Text, true
		}
	}
	return "", false
}

func call(pos parse.Pos, name string, args ...parse.Node) *parse.CommandNode {
	ident := parse.NewIdentifier(name).SetPos(pos)
	return &parse.CommandNode{NodeType: parse.NodeCommand, Pos: pos, Args: append([]parse.Node{ident}, args...)}
}

func number(pos parse.Pos, n int) *parse.NumberNode {
	return &parse.NumberNode{NodeType: parse.NodeNumber, Pos: pos, IsInt: true, Int64: int64(n), Text: strconv.Itoa(n)}
}

// countNodes is an upper bound on what one pass through the list executes.
func countNodes(list *parse.ListNode) int {
	if list == nil {
		return 0
	}
	n := 1
	for _, node := range list.Nodes {
		n++
		switch node := node.(type) {
		case *parse.ActionNode:
			n += countPipe(node.Pipe)
		case *parse.IfNode:
			n += countPipe(node.Pipe) + countNodes(node.List) + countNodes(node.ElseList)
		case *parse.WithNode:
			n += countPipe(node.Pipe) + countNodes(node.List) + countNodes(node.ElseList)
		case *parse.RangeNode:
			n += countPipe(node.Pipe) + countNodes(node.List) + countNodes(node.ElseList)
		}
	}
	return n
}

func countPipe(p *parse.PipeNode) int {
	n := 0
	for _, cmd := range p.Cmds {
		for _, arg := range cmd.Args {
			n++
			if inner, ok := arg.(*parse.PipeNode); ok {
				n += countPipe(inner)
			}
		}
	}
	return n
}

package endpoint

import (
	"context"
	"maps"
	"slices"

	"keyturn.dev/keyturn"
)

// maxWork bounds what all paths together may do with one reply, in steps of some tens of nanoseconds. Every node that a
// path looks at is a step; a member that the library looks up and a comparison of a filter are several. Five hundred codes
// in one reply take a tenth of it; a hostile one ends here.
const maxWork = 80_000

// What steps cost, measured against each other.
const (
	lookupWork = 4 // the library finds a member or element
	memberWork = 3 // a member of an object is put into order
	filterWork = 4 // one element is compared

	conversionWork = 10 // a conversion template runs once
	nodeWork       = 4  // it visits one of its nodes
	compileWork    = 2  // one byte of it is compiled, before that
)

// work is what is left for one reply.
type work struct{ left int }

var errTooMuchWork = keyturn.Errorf(keyturn.KindBadReply, "the reply takes too much work to be read through the response paths")

// spend takes steps and says whether there were enough.
func (w *work) spend(steps int) bool {
	w.left -= steps
	return w.left >= 0
}

// eval gives the nodes the path selects, in document order for arrays and in the order of their names for the members
// of objects: the library visits those in random order, and a retry must not deliver another key. A missing member and
// a wrong type select nothing. What it may cost is left in w: with `..` a node can be selected many times over.
func (p path) eval(root any, w *work) (nodes []any, err error) {
	defer func() {
		if recover() != nil { // the library panics on nothing we found, but the reply is hostile
			nodes, err = nil, keyturn.Errorf(keyturn.KindBadReply, "the reply breaks a response path")
		}
	}()
	nodes = []any{root}
	for _, seg := range p.segments {
		var next []any
		for _, node := range nodes {
			if seg.deep {
				next = seg.descend(next, node, w)
			} else {
				next = seg.appendTo(next, node, w)
			}
			if w.left < 0 {
				return nil, errTooMuchWork
			}
		}
		nodes = next
	}
	return nodes, nil
}

// descend applies the step to a node and to everything below it. Depth is bounded by what decodeJSON lets through.
func (s segment) descend(out []any, node any, w *work) []any {
	out = s.appendTo(out, node, w)
	for _, child := range children(node, w) {
		if w.left < 0 {
			return out
		}
		switch child.(type) {
		case []any, map[string]any:
			out = s.descend(out, child, w)
		}
	}
	return out
}

func (s segment) appendTo(out []any, node any, w *work) []any {
	w.left--
	switch s.kind {
	case nameSegment:
		if _, ok := node.(map[string]any); ok { // for an array the library would take the name "0" for an index
			return s.one(out, node, w)
		}
	case indexSegment:
		list, ok := node.([]any)
		switch {
		case ok && s.index >= 0:
			return s.one(out, node, w)
		case ok && -s.index <= len(list): // the library knows no negative index
			return append(out, list[len(list)+s.index])
		}
	case wildcardSegment:
		return append(out, children(node, w)...)
	case sliceSegment:
		if list, ok := node.([]any); ok && w.spend(len(list)) {
			return append(out, s.cut(list)...)
		}
	case filterSegment:
		for _, child := range children(node, w) {
			if w.spend(filterWork) && s.holds(child, w) {
				out = append(out, child)
			}
		}
	}
	return out
}

// one appends what the library selects; its errors mean that there is no such member or element.
func (s segment) one(out []any, node any, w *work) []any {
	w.spend(lookupWork)
	if value, err := s.eval(context.Background(), node); err == nil {
		return append(out, value)
	}
	return out
}

func children(node any, w *work) []any {
	switch node := node.(type) {
	case []any:
		if w.spend(len(node)) {
			return node
		}
	case map[string]any:
		if !w.spend(memberWork * len(node)) {
			return nil
		}
		list := make([]any, 0, len(node))
		for _, name := range slices.Sorted(maps.Keys(node)) {
			list = append(list, node[name])
		}
		return list
	}
	return nil
}

// cut is a slice as RFC 9535 §2.3.4 has it; the library gives nothing for [0:-1].
func (s segment) cut(list []any) []any {
	bound := func(at *int, otherwise int) int {
		switch {
		case at == nil:
			return otherwise
		case *at < 0:
			return max(len(list)+*at, 0)
		}
		return min(*at, len(list))
	}
	step := 1
	if s.slice[2] != nil {
		step = *s.slice[2]
	}
	var out []any
	for i, end := bound(s.slice[0], 0), bound(s.slice[1], len(list)); i < end; i += step {
		out = append(out, list[i])
	}
	return out
}

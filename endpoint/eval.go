package endpoint

import (
	"context"
	"maps"
	"slices"

	"keyturn.dev/keyturn"
)

// maxWork bounds the work of all paths on one reply, in steps of some tens of nanoseconds. Each node visited is one
// step; a lookup by the library and a comparison in a filter are several. A reply with five hundred codes takes a tenth
// of it.
const maxWork = 80_000

// Costs in steps, measured against each other.
const (
	lookupWork = 4 // the library looks up one member
	memberWork = 3 // one member of an object is sorted
	filterWork = 4 // one comparison in a filter

	conversionWork = 10 // one run of a conversion template
	nodeWork       = 4  // one node of the template, per run
	compileWork    = 2  // one byte of the template, when it is compiled
)

// work is the budget that is left for one reply.
type work struct{ left int }

var errTooMuchWork = keyturn.Errorf(keyturn.KindBadReply,
	"the reply takes too much work to be read through the response paths")

// spend deducts steps and reports whether the budget covered them.
func (w *work) spend(steps int) bool {
	w.left -= steps
	return w.left >= 0
}

// eval returns the nodes that the path selects: elements of arrays in document order, members of objects in the order
// of their names, so that a retry delivers the same key. A missing member or a node of the wrong type selects nothing.
// The error is KindBadReply, when the budget w is spent: `..` can select a node many times over.
func (p path) eval(root any, w *work) (nodes []any, err error) {
	defer func() {
		if recover() != nil { // no panic of the library is known, but the reply may be hostile
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

// descend applies the segment to a node and to all its descendants. decodeJSON bounds their depth.
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
		if _, ok := node.(map[string]any); ok { // in an array the library would take the name "0" for an index
			return s.appendMember(out, node, w)
		}
	case indexSegment:
		list, _ := node.([]any)
		at := s.index
		if at < 0 {
			at += len(list)
		}
		if 0 <= at && at < len(list) {
			return append(out, list[at])
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

// appendMember appends the member that the library finds by its names. The library's errors all mean that there is
// none.
func (s segment) appendMember(out []any, node any, w *work) []any {
	w.spend(lookupWork * len(s.names))
	if value, err := s.eval(context.Background(), node); err == nil {
		return append(out, value)
	}
	return out
}

// children returns the elements of an array, or the members of an object in the order of their names.
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

// cut selects a slice of the array (RFC 9535 §2.3.4). The library selects nothing for [0:-1].
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

package endpoint

import (
	"context"
	"maps"
	"slices"

	"keyturn.dev/keyturn"
)

// eval gives the nodes the path selects, in document order for arrays and in the order of their names for the members
// of objects: the library visits those in random order, and a retry must not deliver another key. A missing member and
// a wrong type select nothing. Each step visits a node of the document at most once, so the cost is bounded by prescan.
func (p path) eval(root any) (nodes []any, err error) {
	defer func() {
		if recover() != nil { // the library panics on nothing we found, but the reply is hostile
			nodes, err = nil, keyturn.Errorf(keyturn.KindBadReply, "the reply breaks a response path")
		}
	}()
	nodes = []any{root}
	for _, seg := range p.segments {
		var next []any
		for _, node := range nodes {
			next = seg.appendTo(next, node)
		}
		nodes = next
	}
	return nodes, nil
}

func (s segment) appendTo(out []any, node any) []any {
	switch s.kind {
	case nameSegment:
		if _, ok := node.(map[string]any); ok { // for an array the library would take the name "0" for an index
			return s.one(out, node)
		}
	case indexSegment:
		list, ok := node.([]any)
		switch {
		case ok && s.index >= 0:
			return s.one(out, node)
		case ok && -s.index <= len(list): // the library knows no negative index
			return append(out, list[len(list)+s.index])
		}
	case wildcardSegment:
		return append(out, children(node)...)
	case sliceSegment:
		if list, ok := node.([]any); ok {
			return append(out, s.cut(list)...)
		}
	case filterSegment:
		for _, child := range children(node) {
			matches, err := s.eval(context.Background(), []any{asFloats(child)})
			if found, ok := matches.([]any); err == nil && ok && len(found) == 1 {
				out = append(out, child)
			}
		}
	}
	return out
}

// one appends what the library selects; its errors mean that there is no such member or element.
func (s segment) one(out []any, node any) []any {
	if value, err := s.eval(context.Background(), node); err == nil {
		return append(out, value)
	}
	return out
}

func children(node any) []any {
	switch node := node.(type) {
	case []any:
		return node
	case map[string]any:
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

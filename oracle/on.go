//go:build oracle

package oracle

import (
	"regexp"
	"sync"
)

// Change is what a bug makes of a piece of our SQL: what matches Old becomes New, as regexp.ReplaceAllString has it.
type Change struct{ Old, New string }

var planted struct {
	sync.Mutex

	name    string
	changes []change
	changed map[string]string
	met     map[int]bool // changes that a statement was met for
}

type change struct {
	old  *regexp.Regexp
	with string
}

// Plant gives this process a bug: one that the code asks for by its name (Is), or that is in statements. An empty name
// takes it away.
func Plant(name string, changes ...Change) {
	planted.Lock()
	defer planted.Unlock()
	planted.name, planted.changes, planted.changed, planted.met = name, nil, map[string]string{}, map[int]bool{}
	for _, c := range changes {
		planted.changes = append(planted.changes, change{regexp.MustCompile(`(?s)` + c.Old), c.New})
	}
}

// Is says whether the bug is planted.
func Is(name string) bool {
	planted.Lock()
	defer planted.Unlock()
	return planted.name == name
}

// Statement gives an SQL statement as the planted bug has it.
func Statement(query string) string {
	planted.Lock()
	defer planted.Unlock()
	if len(planted.changes) == 0 {
		return query
	}
	if out, ok := planted.changed[query]; ok {
		return out
	}
	out := query
	for i, c := range planted.changes {
		before := out
		out = c.old.ReplaceAllString(out, c.with)
		planted.met[i] = planted.met[i] || out != before
	}
	planted.changed[query] = out
	return out
}

// Unmet gives the changes that no statement was met for so far: with them a bug is not the one that it says.
func Unmet() (out []string) {
	planted.Lock()
	defer planted.Unlock()
	for i, c := range planted.changes {
		if !planted.met[i] {
			out = append(out, c.old.String())
		}
	}
	return out
}

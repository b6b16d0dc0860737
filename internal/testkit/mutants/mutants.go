// Package mutants changes Keyturn into versions with a known bug, to measure whether the audit catches each of them
// (docs/run/audit.md, `make test/oracle`). A mutant is an edit of Go source, an edit of SQL statements, or both.
//
// The product holds nothing of it. `go test -overlay` compiles edited copies of a few source files instead of the files
// themselves (Overlay), and the copies ask this package which mutant is active: one build serves all mutants.
package mutants

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// InBuild reports whether the test binary was built with the overlay. It has a file that sets this.
var InBuild bool

// Edit changes SQL statements: each match of the regular expression Old becomes New, as in regexp.ReplaceAllString. A
// space in Old stands for any white space, so that a statement may be wrapped anew.
type Edit struct{ Old, New string }

var active struct {
	sync.Mutex

	name    string
	asked   bool // the edited source asked for the mutant
	edits   []edit
	results map[string]string // statements as they came, and as they go on
}

type edit struct {
	Edit

	old     *regexp.Regexp
	matched bool
}

// Activate makes this process the mutant of that name, with these edits of SQL. An empty name makes it Keyturn again.
func Activate(name string, edits ...Edit) {
	active.Lock()
	defer active.Unlock()
	active.name, active.asked, active.edits, active.results = name, false, nil, map[string]string{}
	for _, e := range edits {
		active.edits = append(active.edits, edit{Edit: e, old: regexp.MustCompile(`(?s)` + strings.ReplaceAll(e.Old, " ",
			`\s+`))})
	}
}

// Active reports whether this process is the mutant of that name. Edited source asks.
func Active(name string) bool {
	active.Lock()
	defer active.Unlock()
	if active.name != name {
		return false
	}
	active.asked = true
	return true
}

// Statement returns an SQL statement as the active mutant has it. The edited database connection asks.
func Statement(query string) string {
	active.Lock()
	defer active.Unlock()
	if len(active.edits) == 0 {
		return query
	}
	if result, ok := active.results[query]; ok {
		return result
	}
	result := query
	for i := range active.edits {
		e := &active.edits[i]
		before := result
		result = e.old.ReplaceAllString(result, e.New)
		e.matched = e.matched || result != before
	}
	active.results[query] = result
	return result
}

// Unused lists what the active mutant consists of and the process has not run so far. While there is any, what a test
// observes says nothing about the mutant.
func Unused() []string {
	active.Lock()
	defer active.Unlock()
	var unused []string
	for _, e := range active.edits {
		if !e.matched {
			unused = append(unused, "no statement matched "+e.Old)
		}
	}
	if !active.asked && slices.Contains(InSource(), active.name) {
		unused = append(unused, "no source asked for "+strconv.Quote(active.name))
	}
	return unused
}

// InSource names the mutants that are edits of source, or have one.
func InSource() []string {
	var names []string
	for _, p := range patches {
		for _, match := range asks.FindAllStringSubmatch(p.New, -1) {
			names = append(names, match[1])
		}
	}
	return names
}

var asks = regexp.MustCompile(`mutants\.Active\("([^"]+)"\)`)

// Package doctor finds out whether an installation is set up so that it works, and explains what is wrong.
package doctor

import (
	"context"
	"fmt"
	"time"
)

// Status is what came of a check.
type Status string

// The results of checks, the worst first.
const (
	Wrong   Status = "wrong"   // something does not work, or recipients will refuse e-mails
	Warning Status = "warning" // it works, and should be better
	OK      Status = "ok"
	Skipped Status = "skipped" // it is not set up, or cannot be found out here
)

// Finding is what a check has found.
type Finding struct {
	Area   string `json:"area"`  // database, Temporal, mail, …
	Check  string `json:"check"` // what was looked at
	Status Status `json:"status"`
	Found  string `json:"found"`
	ToDo   string `json:"toDo,omitempty"` // of what is not ok
}

// Report is all of them, in the order of the checks.
type Report struct {
	Findings []Finding `json:"findings"`
	OK       bool      `json:"ok"` // nothing is wrong
}

// Check looks at one thing. An area's checks run one after the other.
type Check struct {
	Area, Name string
	Waits      time.Duration // for something that takes its time
	Look       func(ctx context.Context) Finding
}

// checkTime is how long a check may take, unless it waits for an e-mail.
const checkTime = 20 * time.Second

// Run makes all checks. One that takes too long is wrong.
func Run(ctx context.Context, checks []Check) Report {
	r := Report{OK: true}
	for _, c := range checks {
		f := c.run(ctx)
		r.OK = r.OK && f.Status != Wrong
		r.Findings = append(r.Findings, f)
	}
	return r
}

func (c Check) run(ctx context.Context) Finding {
	ctx, cancel := context.WithTimeout(ctx, checkTime+c.Waits)
	defer cancel()
	f := c.Look(ctx)
	f.Area, f.Check = c.Area, c.Name
	return f
}

// Found is a finding that is ok.
func Found(format string, args ...any) Finding {
	return Finding{Status: OK, Found: fmt.Sprintf(format, args...)}
}

// Bad is a finding of something that is wrong, with what to do about it.
func Bad(toDo, format string, args ...any) Finding {
	return Finding{Status: Wrong, Found: fmt.Sprintf(format, args...), ToDo: toDo}
}

// Warn is a finding of something that should be better.
func Warn(toDo, format string, args ...any) Finding {
	return Finding{Status: Warning, Found: fmt.Sprintf(format, args...), ToDo: toDo}
}

// Skip is the finding of a check that was not made.
func Skip(why string) Finding { return Finding{Status: Skipped, Found: why} }

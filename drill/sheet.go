package drill

import (
	"fmt"
	"io"
)

// Print writes the sheet for people.
func (s *Sheet) Print(w io.Writer) {
	fmt.Fprintf(w, "drills of %s\n\n", s.Integration)
	for _, r := range s.Results {
		mark := "FAIL"
		switch {
		case r.Passed:
			mark = "pass"
		case r.Skipped:
			mark = "skip"
		}
		fmt.Fprintf(w, "%s  %s: %s\n      expected: %s\n", mark, r.Drill, r.About, r.Expected)
		if r.Happened != "" {
			fmt.Fprintf(w, "      happened: %s\n", r.Happened)
		}
		if r.Why != "" {
			fmt.Fprintf(w, "      why:      %s\n", r.Why)
		}
	}
	fmt.Fprintf(w, "\n%d passed, %d failed, %d without meaning for this integration\n", s.Passed, s.Failed, s.Skipped)
}

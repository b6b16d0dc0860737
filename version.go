package keyturn

import (
	"runtime/debug"
	"strings"
	"time"
)

// Version is this release, as the changelog names it.
const Version = "0.1.0"

// Set by -ldflags where the build sees no repository, as in the container image.
var commit, commitTime string

// Build says what a binary was built from.
type Build struct {
	Version  string     `json:"version"`
	Commit   string     `json:"commit,omitempty"`   // absent when the build did not know it
	Date     *time.Time `json:"date,omitempty"`     // of the commit
	Modified bool       `json:"modified,omitempty"` // the files were not those of the commit
	Go       string     `json:"go"`
}

// CurrentBuild describes the running binary. Commit and date are what Go stamps into a build, or what -ldflags set.
func CurrentBuild() Build {
	b := Build{Version: Version, Commit: commit}
	date := commitTime
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Go = info.GoVersion
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && commit == "":
				b.Commit = s.Value
			case s.Key == "vcs.time" && commitTime == "":
				date = s.Value
			case s.Key == "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	if t, err := time.Parse(time.RFC3339, date); err == nil {
		t = t.UTC()
		b.Date = &t
	}
	return b
}

// String is the form for people: v0.1.0 (commit 1234567890ab, 2026-11-29T10:00:00Z, go1.26.0).
func (b Build) String() string {
	var details []string
	if b.Commit != "" {
		text := "commit " + b.Commit[:min(len(b.Commit), 12)]
		if b.Modified {
			text += " with changes"
		}
		details = append(details, text)
	}
	if b.Date != nil {
		details = append(details, b.Date.Format(time.RFC3339))
	}
	return "v" + b.Version + " (" + strings.Join(append(details, b.Go), ", ") + ")"
}

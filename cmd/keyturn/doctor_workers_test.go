package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/doctor"
)

func TestWorkersOfTheRightBuild(t *testing.T) {
	for name, c := range map[string]struct {
		queue queueState
		want  doctor.Status
		says  string
	}{
		"nobody": {want: doctor.Warning, says: "none has asked for workflows lately"},
		"without a version": {
			queue: queueState{builds: map[string]int{"": 2}}, want: doctor.OK, says: "2 of workers without a version",
		},
		"of the current build, beside an older one": {
			queue: queueState{builds: map[string]int{"keyturn/b": 2, "keyturn/a": 1}, current: "keyturn/b"},
			want:  doctor.OK, says: "1 of build keyturn/a, 2 of build keyturn/b",
		},
		"of another build alone": {
			queue: queueState{builds: map[string]int{"keyturn/a": 1}, current: "keyturn/b"}, want: doctor.Wrong,
			says: "new work is for build keyturn/b, and only others ask for workflows: 1 of build keyturn/a",
		},
		"of a build that was never made the current one": {
			queue: queueState{builds: map[string]int{"keyturn/a": 1}}, want: doctor.Wrong,
			says: "new work is for workers without a version",
		},
		"of no build that a part of new work is for": {
			queue: queueState{builds: map[string]int{"": 1}, ramping: "keyturn/b"}, want: doctor.Wrong,
			says: "a part of new work",
		},
	} {
		f := c.queue.finding("workflows")
		require.Equal(t, c.want, f.Status, name)
		require.Contains(t, f.Found, c.says, name)
	}
}

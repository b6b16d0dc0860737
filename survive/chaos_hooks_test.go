//go:build chaos

package survive_test

import (
	"path/filepath"

	"github.com/stretchr/testify/require"
)

// calmReceivers has the receivers of events fail no more, but for the one that is dead.
func (l *lab) calmReceivers() {
	if l.calm {
		return
	}
	on := l.parts["receivers"]
	on.held.Lock()
	defer on.held.Unlock()
	l.calm = true
	on.kill()
	on.start()
}

// checkReceivers requires that each event came to the receivers that live, with its own bytes at each try.
func (l *lab) checkReceivers() {
	l.t.Helper()
	came, err := readHooks(filepath.Join(l.dir, "hooks.jsonl"))
	require.NoError(l.t, err)
	wrong, events, tries, err := checkHooks(l.direct, came)
	require.NoError(l.t, err)
	for _, what := range wrong {
		l.t.Errorf("an event: %s", what)
	}
	for _, name := range []string{"good", "flaky"} {
		l.tally.add("events that receivers took", int64(events[name]))
		l.tally.add("requests of events that failed", int64(tries[name]-events[name]))
	}
}

package keyturn_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// The page has every event, when it comes, and what it looks like.
func TestDocsListEvents(t *testing.T) {
	t.Parallel()
	const page = "docs/use/notifications.md"
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	section := regexp.MustCompile(`(?s)(<!-- events[^\n]*-->\n).*?(<!-- end -->)`)
	require.True(t, section.Match(text), "the page has the generated section")
	want := section.ReplaceAllString(string(text), "${1}"+strings.ReplaceAll(eventsSection(t), "$", "$$")+"${2}")
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o600))
		return
	}
	require.Equal(t, want, string(text), "write it anew: go test . -run Event -update")
}

func eventsSection(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	out.WriteString("| type | comes when |\n|---|---|\n")
	for _, info := range keyturn.EventTypes {
		out.WriteString("| `" + string(info.Type) + "` | " + info.When + " |\n")
	}
	out.WriteString("\n```json\n")
	for _, info := range keyturn.EventTypes {
		text, err := json.Marshal(keyturn.Event{
			Type: info.Type, Timestamp: time.Date(2026, 11, 29, 15, 0, 0, 0, time.UTC), Data: info.Example,
		})
		require.NoError(t, err)
		out.Write(append(text, '\n'))
	}
	out.WriteString("```\n")
	return out.String()
}

// The table says of each type once when it comes, and shows one.
func TestEventTypesAreTold(t *testing.T) {
	t.Parallel()
	seen := map[keyturn.EventType]bool{}
	for _, info := range keyturn.EventTypes {
		require.False(t, seen[info.Type], info.Type)
		seen[info.Type] = true
		require.NotEmpty(t, info.When, info.Type)
		require.NotNil(t, info.Example, info.Type)
		require.Regexp(t, `^[a-z]+\.[a-z_]+$`, info.Type)
		require.Equal(t, info.Type, info.Type.Info().Type)
	}
	require.Equal(t, keyturn.EventInfo{}, keyturn.EventType("order.eaten").Info())
}

func TestEventPatterns(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]bool{
		"*": true, "order.*": true, "order.created": true, "line.created": false, "line.*": false, "order": false, "": false,
	} {
		require.Equal(t, want, keyturn.EventOrderCreated.Matches(pattern), pattern)
	}
	require.True(t, keyturn.ValidEventPattern("line.*"))
	for _, bad := range []string{"", "lines.*", "order.eaten", "*.created", "order.created "} {
		require.False(t, keyturn.ValidEventPattern(bad), bad)
	}
}

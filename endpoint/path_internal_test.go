package endpoint

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The paths that docs/use/partners.md claims select what RFC 9535 says, node for node.
func TestPathsSelectWhatTheRFCSays(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/contract/jsonpath.txt")
	require.NoError(t, err)
	_, claimed, _ := strings.Cut(string(text), "-- claimed --\n")
	claimed, _, _ = strings.Cut(claimed, "\n-- refused --")
	lines := strings.Split(claimed, "\n")
	require.Greater(t, len(lines), 80)
	for _, line := range lines {
		cells := strings.Split(line, " | ")
		require.Len(t, cells, 3, line)
		p, err := parsePath(cells[0], pathOptions{filters: true, descendants: true})
		require.NoError(t, err, line)
		root, err := decodeJSON([]byte(cells[1]))
		require.NoError(t, err, line)
		for range 3 { // members of objects would come in another order each time
			nodes, err := p.eval(root, &work{left: maxWork})
			require.NoError(t, err, line)
			got, err := json.Marshal(append([]any{}, nodes...))
			require.NoError(t, err)
			require.JSONEq(t, cells[2], string(got), line)
		}
	}
}

package keyturn_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// Who makes a release changes the changelog and the constant together.
func TestTheVersionIsTheNewestReleaseOfTheChangelog(t *testing.T) {
	t.Parallel()
	newest := regexp.MustCompile(`(?m)^## \[(\d+\.\d+\.\d+)\] - (\S+)$`).FindStringSubmatch(read(t, "CHANGELOG.md"))
	require.NotNil(t, newest, "CHANGELOG.md has no release such as: ## [0.1.0] - 2026-11-29")
	require.Equal(t, keyturn.Version, newest[1])
	_, err := time.Parse(time.DateOnly, newest[2])
	require.NoError(t, err)
}

func TestABuildSaysWhatItWasMadeFrom(t *testing.T) {
	t.Parallel()
	date := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	b := keyturn.Build{Version: "0.1.0", Commit: "0123456789abcdef", Date: &date, Go: "go1.26.0"}
	require.Equal(t, "v0.1.0 (commit 0123456789ab, 2026-11-29T10:00:00Z, go1.26.0)", b.String())
	b.Modified = true
	require.Equal(t, "v0.1.0 (commit 0123456789ab with changes, 2026-11-29T10:00:00Z, go1.26.0)", b.String())
	require.Equal(t, "v0.1.0 (go1.26.0)", keyturn.Build{Version: "0.1.0", Go: "go1.26.0"}.String())
	require.Regexp(t, `^v0\.1\.0 \(.*go1\.`, keyturn.CurrentBuild().String())
}

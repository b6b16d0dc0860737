package keyturn_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const settingsPage = "docs/run/settings.md"

var (
	settingName    = regexp.MustCompile(`\b(?:KEYTURN|TEMPORAL)_[A-Z_]*[A-Z]\b`)
	settingRow     = regexp.MustCompile("(?m)^\\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \\|.*$")
	settingRead    = regexp.MustCompile(`\$\{((?:KEYTURN|TEMPORAL)_[A-Z_]*[A-Z])\b`)
	settingDefault = regexp.MustCompile(`envOr\("([A-Z_]+)", "([^"]*)"\)`)
)

// ofTests are the folders of code that runs in tests alone.
var ofTests = []string{"internal/testkit", "survive", "e2e", "tools", "drill"}

// The page of settings has all that the code and the compose file read, each in a row, with the code's default, and no
// other.
func TestEverySettingIsOnItsPage(t *testing.T) {
	t.Parallel()
	page := read(t, settingsPage)
	rows := map[string]string{}
	for _, m := range settingRow.FindAllStringSubmatch(page, -1) {
		for _, name := range settingName.FindAllString(m[1], -1) {
			rows[name] = m[0]
		}
	}
	known := map[string]bool{}
	find := func(file, name string) {
		known[name] = true
		if plain := strings.TrimSuffix(name, "_FILE"); rows[plain] != "" && plain != name {
			require.Contains(t, page, name, "%s reads it", file)
			return
		}
		require.NotEmpty(t, rows[name], "%s reads %s, which has no row in %s", file, name, settingsPage)
	}
	for _, file := range filesOf(t, ".go") {
		dir := filepath.ToSlash(filepath.Dir(file))
		if !strings.HasSuffix(file, "_test.go") &&
			!slices.ContainsFunc(ofTests, func(d string) bool { return dir == d || strings.HasPrefix(dir, d+"/") }) {
			for _, name := range settingName.FindAllString(read(t, file), -1) {
				find(file, name)
			}
			for _, m := range settingDefault.FindAllStringSubmatch(read(t, file), -1) {
				require.Contains(t, rows[m[1]], "`"+m[2]+"`", "the default of %s", m[1])
			}
		}
	}
	for _, m := range settingRead.FindAllStringSubmatch(read(t, "docker-compose.yml"), -1) {
		find("docker-compose.yml", m[1])
	}
	for name := range rows {
		require.True(t, known[name] || name == "TEMPORAL_CONFIG_FILE", "nothing reads %s", name)
	}
}

// A pooler is told to ignore all that connections set beyond what every pooler knows, and the role has it instead.
func TestAPoolersSettingsAreOnTheirPage(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/run/operating.md")
	_, parameters, _ := strings.Cut(read(t, "pg/pg.go"), "range map[string]string{")
	parameters, _, _ = strings.Cut(parameters, "}")
	known := []string{"binary_parameters", "sslmode", "connect_timeout", "application_name", "timezone"}
	found := 0
	for _, m := range regexp.MustCompile(`"([a-z_]+)": "[^"]*"`).FindAllStringSubmatch(parameters, -1) {
		if !slices.Contains(known, m[1]) {
			require.Regexp(t, `(?m)^ignore_startup_parameters = .*\b`+m[1]+`\b`, page)
			require.Contains(t, page, "SET "+m[1]+" = ")
			found++
		}
	}
	require.Greater(t, found, 4)
}

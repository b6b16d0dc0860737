package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// commands are all that a person may call, groups included.
func commands(of *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{of}
	for _, c := range of.Commands() {
		if !c.Hidden && c.Name() != "help" && c.Name() != "completion" {
			all = append(all, commands(c)...)
		}
	}
	return all
}

func TestHelpOfEveryCommandHasAnExampleThatIsOne(t *testing.T) {
	all := commands(newRoot())
	require.Greater(t, len(all), 15)
	for _, c := range all {
		out := help(t, c.CommandPath())
		require.Contains(t, out, "Examples:", c.CommandPath())
		require.Contains(t, c.Example, c.CommandPath(), "the example calls the command")
		require.NotEmpty(t, c.Short, c.CommandPath())
		t.Logf("%-24s %s", c.CommandPath(), c.Short)
	}
}

func help(t *testing.T, path string) string {
	t.Helper()
	out, err := execute(t, append(strings.Fields(path)[1:], "--help")...)
	require.NoError(t, err, path)
	return out
}

// execute runs a command as main does, without its process.
func execute(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	return out.String(), err
}

// Examples name flags that exist.
func TestExamplesCanBeParsed(t *testing.T) {
	for _, c := range commands(newRoot()) {
		for line := range strings.Lines(c.Example) {
			for word := range strings.FieldsSeq(line) {
				name, ok := strings.CutPrefix(word, "--")
				if !ok || name == "short" { // of git
					continue
				}
				_, args, ok := strings.Cut(" "+strings.TrimSpace(line), " keyturn ") // after the environment
				require.True(t, ok, line)
				found, _, err := newRoot().Find(strings.Fields(args))
				require.NoError(t, err, line)
				require.True(t, found.Flags().Lookup(name) != nil || found.InheritedFlags().Lookup(name) != nil,
					"%s has no flag --%s: %s", found.CommandPath(), name, line)
			}
		}
	}
}

func TestWrongArgumentsShowTheForm(t *testing.T) {
	for want, args := range map[string][]string{
		"`keyturn webhook test WEBHOOK [flags]`":   {"webhook", "test"},
		"`keyturn resolve FULFILLMENT ACTION":      {"resolve", "x"},
		"`keyturn order list [flags]`":             {"order", "list", "ORD-1"},
		"`keyturn webhook retry WEBHOOK DELIVERY ": {"webhook", "retry", "shop", "1", "2"},
	} {
		_, err := execute(t, args...)
		require.ErrorContains(t, err, want)
	}
}

func TestOutputIsTextOrJSON(t *testing.T) {
	_, err := execute(t, "order", "list", "--output", "yaml")
	require.ErrorContains(t, err, "--output is text or json, not yaml")

	out, err := execute(t, "keys", "create", filepath.Join(t.TempDir(), "keys.json"), "--output", "json")
	require.NoError(t, err)
	var made struct{ File string }
	require.NoError(t, json.Unmarshal([]byte(out), &made), out)
	require.FileExists(t, made.File)
}

// settings are those of a process that lacks nothing.
var settings = map[string]string{
	"KEYTURN_DATABASE_URL": "postgres://keyturn:secret@127.0.0.1:1/keyturn?sslmode=disable", "KEYTURN_KEYS": "keys.json",
	"KEYTURN_PUBLIC_URL": "https://shop.test/", "KEYTURN_SMTP_URL": "smtp://user:secret@mail.test:587",
	"KEYTURN_MAIL_FROM":       "keys@shop.test",
	"KEYTURN_OPERATIONS_MAIL": "ops@shop.test", "KEYTURN_MAIL_NAME": "", "KEYTURN_TEMPORAL_UI": "",
	"KEYTURN_DEVELOPMENT": "", "KEYTURN_RETURN_ORIGINS": "",
}

func set(t *testing.T, changes map[string]string) {
	t.Helper()
	for name, value := range settings {
		t.Setenv(name, value)
	}
	for name, value := range changes {
		t.Setenv(name, value)
	}
}

func TestProcessesNameEverySettingThatIsMissing(t *testing.T) {
	nothing := map[string]string{}
	for name := range settings {
		nothing[name] = ""
	}
	set(t, nothing)
	for _, command := range []string{"api", "worker"} {
		_, err := execute(t, command)
		require.ErrorContains(t, err, "the settings are not complete", command)
		for _, name := range []string{
			"KEYTURN_DATABASE_URL", "KEYTURN_KEYS", "KEYTURN_PUBLIC_URL", "KEYTURN_SMTP_URL",
			"KEYTURN_MAIL_FROM", "KEYTURN_OPERATIONS_MAIL",
		} {
			require.Contains(t, err.Error(), name+" is not set", command)
		}
		require.NotContains(t, err.Error(), "KEYTURN_MAIL_NAME", "it need not be set")
		t.Log(err)
	}
	_, err := execute(t, "migrate")
	require.ErrorContains(t, err, "KEYTURN_DATABASE_URL is not set")
}

func TestSettings(t *testing.T) {
	set(t, nil)
	c, err := configFromEnv()
	require.NoError(t, err)
	require.True(t, c.Production)
	require.Equal(t, "https://shop.test", c.PublicURL)
	require.Equal(t, "mail.test:587", c.Mail.Addr)

	for _, row := range []struct{ name, value, want string }{
		{"KEYTURN_PUBLIC_URL", "http://shop.test", "must be an https:// address"},
		{"KEYTURN_PUBLIC_URL", "shop.test", "must be an https:// address"},
		{"KEYTURN_SMTP_URL", "smtp+plain://127.0.0.1:1025", "keys do not travel in the clear"},
		{"KEYTURN_SMTP_URL", "mail.test:587", "must look like smtp://"},
		{"KEYTURN_SMTP_URL", "smtp://mail.test", "must look like smtp://"},
		{"KEYTURN_MAIL_FROM", "The Shop <keys@shop.test>", "KEYTURN_MAIL_FROM"},
		{"KEYTURN_OPERATIONS_MAIL", "ops", "KEYTURN_OPERATIONS_MAIL"},
		{"KEYTURN_RETURN_ORIGINS", "https://shop.test/thanks", "must be https:// origins"},
		{"KEYTURN_RETURN_ORIGINS", "https://shop.test,http://shop.test", "must be https:// origins"},
		{"KEYTURN_RETURN_ORIGINS", "https://user@shop.test", "must be https:// origins"},
	} {
		set(t, map[string]string{row.name: row.value})
		_, err := configFromEnv()
		require.ErrorContains(t, err, row.want, "%s=%s", row.name, row.value)
		require.ErrorContains(t, err, row.name, "%s=%s", row.name, row.value)
		require.NotContains(t, err.Error(), "secret")
	}
	set(t, map[string]string{
		"KEYTURN_DEVELOPMENT": "1", "KEYTURN_PUBLIC_URL": "http://127.0.0.1:8080",
		"KEYTURN_SMTP_URL":       "smtp+plain://127.0.0.1:1025",
		"KEYTURN_RETURN_ORIGINS": "https://shop.test/, https://shop.test:8443",
	})
	c, err = configFromEnv()
	require.NoError(t, err, "development allows both")
	require.False(t, c.Production)
	require.Equal(t, []string{"https://shop.test", "https://shop.test:8443"}, c.ReturnOrigins)
}

func TestVersionSaysWhatRuns(t *testing.T) {
	text, err := execute(t, "version")
	require.NoError(t, err)
	require.Regexp(t, `^keyturn v\d+\.\d+\.\d+ \(.*go1\.\S+\)\n$`, text)
	flag, err := execute(t, "--version")
	require.NoError(t, err)
	require.Equal(t, text, flag)
	out, err := execute(t, "version", "--output", "json")
	require.NoError(t, err)
	var build keyturn.Build
	require.NoError(t, json.Unmarshal([]byte(out), &build))
	require.Equal(t, keyturn.CurrentBuild(), build)
}

var (
	inSpan  = regexp.MustCompile("`(?:bin/)?keyturn ([^`\n]+)`")
	inBlock = regexp.MustCompile(`(?m)^ *(?:[A-Z_]+=\S+ )*(?:"\$BIN/keyturn"|(?:bin/)?keyturn) (.+)$`)
)

// Every command that a page names exists, with its flags.
func TestCommandsOfThePagesExist(t *testing.T) {
	pages := []string{"../../README.md", "../../SECURITY.md", "../../CONTRIBUTING.md"}
	require.NoError(t, filepath.WalkDir("../../docs", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") {
			pages = append(pages, path)
		}
		return err
	}))
	found := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		named := inSpan.FindAllStringSubmatch(string(text), -1)
		for _, m := range append(named, inBlock.FindAllStringSubmatch(string(text), -1)...) {
			line, _, _ := strings.Cut(m[1], "  ") // a remark follows
			words := strings.Fields(line)
			c, rest, err := newRoot().Find(words)
			require.NoError(t, err, "%s: keyturn %s", page, line)
			if c.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") && !c.Runnable() {
				require.Fail(t, "there is no such command", "%s: keyturn %s", page, line)
			}
			for _, word := range rest {
				name, isFlag := strings.CutPrefix(word, "--")
				name, _, _ = strings.Cut(name, "=")
				if isFlag && name != "short" { // of git
					require.True(t, c.Flags().Lookup(name) != nil || c.InheritedFlags().Lookup(name) != nil || name == "help",
						"%s: %s has no flag --%s", page, c.CommandPath(), name)
				}
			}
			found++
		}
	}
	require.Greater(t, found, 100)
}

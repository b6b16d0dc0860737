package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// composeFile is what the tests look at of docker-compose.yml.
type composeFile struct {
	Services map[string]composeService `yaml:"services"`
	Secrets  map[string]struct {
		File string `yaml:"file"`
	} `yaml:"secrets"`
}

type composeService struct {
	Image       string            `yaml:"image"`
	Build       string            `yaml:"build"`
	Command     yaml.Node         `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Secrets     []string          `yaml:"secrets"`
	Profiles    []string          `yaml:"profiles"`
	User        string            `yaml:"user"`
}

// root reads a file of the project's root.
func root(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	require.NoError(t, err)
	return string(text)
}

// exampleEnv is .env as somebody has it who only copied the example.
func exampleEnv(t *testing.T) map[string]string {
	t.Helper()
	env := map[string]string{}
	for line := range strings.Lines(root(t, ".env.example")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		require.True(t, ok, line)
		env[name] = value
	}
	return env
}

var variable = regexp.MustCompile(`\$\$|\$\{(\w+)(?::([-?])([^}]*))?\}`)

// compose reads docker-compose.yml with .env in place of its variables, and says which of them it used.
func compose(t *testing.T, env map[string]string) (composeFile, []string) {
	t.Helper()
	var used []string
	text := variable.ReplaceAllStringFunc(root(t, "docker-compose.yml"), func(match string) string {
		m := variable.FindStringSubmatch(match)
		if m[1] == "" {
			return "$"
		}
		used = append(used, m[1])
		value := env[m[1]]
		if value == "" {
			require.NotEqual(t, "?", m[2], "docker compose refuses without %s: %s", m[1], m[3])
			value = m[3]
		}
		return value
	})
	var c composeFile
	require.NoError(t, yaml.Unmarshal([]byte(text), &c))
	return c, used
}

// known are the variables that the command reads.
func known(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`"(KEYTURN_[A-Z_]+)"`).FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
	}
	require.Contains(t, names, "KEYTURN_DATABASE_URL")
	return append(names, "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE") // of Temporal's own environment configuration
}

func TestComposeRunsCommandsThatExistWithSettingsThatAreKnown(t *testing.T) {
	env := exampleEnv(t)
	c, used := compose(t, env)
	names := known(t)
	verbs := map[string]bool{}
	for name, service := range c.Services {
		if !strings.HasPrefix(service.Image, "keyturn") {
			continue
		}
		require.Equal(t, ".", service.Build, name)
		var args []string
		require.NoError(t, service.Command.Decode(&args), name)
		found, rest, err := newRoot().Find(args)
		require.NoError(t, err, name)
		require.NotEqual(t, "keyturn", found.Name(), "%s runs a command", name)
		require.NoError(t, found.ParseFlags(rest), name)
		verbs[found.Name()] = true

		for variable := range service.Environment {
			require.Contains(t, names, variable, "%s sets what nothing reads", name)
		}
		for _, secret := range service.Secrets {
			require.Contains(t, c.Secrets, secret, name)
			require.Equal(t, "/run/secrets/"+secret, service.Environment["KEYTURN_KEYS"], name)
		}
		require.NotEmpty(t, service.User, "%s reads the key file as its owner", name)
		t.Logf("%-8s keyturn %s, %d settings", name, strings.Join(args, " "), len(service.Environment))
	}
	for _, verb := range []string{"api", "worker", "migrate"} {
		require.True(t, verbs[verb], verb)
	}
	for name := range env {
		require.Contains(t, used, name, ".env.example sets what docker-compose.yml does not use")
	}
}

// The processes of docker-compose.yml start with the example's settings as they are, and in production mode with those
// that it asks for.
func TestComposeSettingsAreComplete(t *testing.T) {
	for _, changes := range []map[string]string{
		{},
		{
			"KEYTURN_DEVELOPMENT": "", "KEYTURN_PUBLIC_URL": "https://keys.shop.example",
			"KEYTURN_SMTP_URL": "smtp://user:password@mail.shop.example:587",
		},
	} {
		env := exampleEnv(t)
		for name, value := range changes {
			env[name] = value
		}
		c, _ := compose(t, env)
		for _, name := range []string{"api", "worker"} {
			for variable := range settings {
				t.Setenv(variable, "")
			}
			for variable, value := range c.Services[name].Environment {
				t.Setenv(variable, value)
			}
			got, err := configFromEnv()
			require.NoError(t, err, "%s with %v", name, changes)
			require.Equal(t, env["KEYTURN_DEVELOPMENT"] != "1", got.Production)
			require.Equal(t, "Example Shop", got.MailName)
			require.Contains(t, got.DatabaseURL, env["KEYTURN_DB_PASSWORD"])
		}
	}
	trial, _ := compose(t, exampleEnv(t))
	host, _, _ := strings.Cut(strings.TrimPrefix(exampleEnv(t)["KEYTURN_SMTP_URL"], "smtp+plain://"), ":")
	require.Equal(t, []string{"trial"}, trial.Services[host].Profiles,
		"the trial's mail server is there in the trial alone")
}

func TestDockerfileBuildsThisCommand(t *testing.T) {
	text := root(t, "Dockerfile")
	require.Contains(t, text, "-o /keyturn ./cmd/keyturn")
	require.Contains(t, text, `ENTRYPOINT ["/usr/local/bin/keyturn"]`)
	version := regexp.MustCompile(`FROM golang:(\d+\.\d+)`).FindStringSubmatch(text)
	require.NotNil(t, version)
	require.Regexp(t, `(?m)^go `+regexp.QuoteMeta(version[1]), root(t, "go.mod"),
		"the image has the Go that go.mod asks for")
	require.Regexp(t, `(?m)^EXPOSE 8080$`, text, "only what is served is exposed")
	ignored := strings.Fields(root(t, ".dockerignore"))
	for _, name := range []string{".git", ".keyturn", "bin", ".env", "keys.json"} {
		require.True(t, slices.Contains(ignored, name), "%s does not go into the image", name)
	}
}

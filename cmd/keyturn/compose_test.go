package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

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

// compose reads docker-compose.yml as Docker does, with .env in place of its variables, and with every profile.
func compose(t *testing.T, env map[string]string) *types.Project {
	t.Helper()
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: filepath.Join("..", ".."), Environment: maps.Clone(env),
		ConfigFiles: []types.ConfigFile{{Filename: "docker-compose.yml", Content: []byte(root(t, "docker-compose.yml"))}},
	}, func(o *loader.Options) { o.Profiles = []string{"*"} })
	require.NoError(t, err)
	return project
}

// ours are the services that run keyturn.
func ours(t *testing.T, p *types.Project) map[string]types.ServiceConfig {
	t.Helper()
	out := map[string]types.ServiceConfig{}
	for name, service := range p.Services {
		if strings.HasPrefix(service.Image, "keyturn") {
			out[name] = service
		}
	}
	require.NotEmpty(t, out)
	return out
}

// find gives the command that the arguments name, with its flags parsed.
func find(t *testing.T, args []string) *cobra.Command {
	t.Helper()
	found, rest, err := newRoot().Find(args)
	require.NoError(t, err, args)
	require.NotEqual(t, "keyturn", found.Name(), "%s is a command", args)
	require.NoError(t, found.ParseFlags(rest), args)
	return found
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
	for _, name := range secretSettings {
		names = append(names, name+fileSuffix)
	}
	return append(names, "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE") // of Temporal's own environment configuration
}

func TestComposeRunsCommandsThatExistWithSettingsThatAreKnown(t *testing.T) {
	env := exampleEnv(t)
	p := compose(t, env)
	names := known(t)
	verbs := map[string]bool{}
	for name, service := range ours(t, p) {
		require.NotNil(t, service.Build, name)
		require.Equal(t, "Dockerfile", service.Build.Dockerfile, name)
		verb := find(t, service.Command).Name()
		verbs[verb] = true
		for variable := range service.Environment {
			require.Contains(t, names, variable, "%s sets what nothing reads", name)
		}
		for _, secret := range service.Secrets {
			require.Contains(t, p.Secrets, secret.Source, name)
			require.Equal(t, "/run/secrets/"+secret.Source, *service.Environment["KEYTURN_KEYS"], name)
		}
		require.NotEmpty(t, service.User, "%s reads the key file as its owner", name)
		require.Equal(t, "keyturn", *service.Environment["TEMPORAL_NAMESPACE"], "the one that temporal-namespace makes")
		require.Contains(t, strings.Join(p.Services["temporal-namespace"].Command, ""), "--namespace keyturn", name)

		if verb == "migrate" { // it ends by itself
			require.True(t, service.HealthCheck.Disable)
			continue
		}
		// The health check is a command of the binary, at the address where the process serves its health.
		require.Equal(t, "/usr/local/bin/keyturn", service.HealthCheck.Test[1], name)
		require.Equal(t, "health", find(t, service.HealthCheck.Test[2:]).Name(), name)
		require.Equal(t, "http://127.0.0.1"+*service.Environment["KEYTURN_METRICS_ADDR"], service.HealthCheck.Test[3], name)
		require.GreaterOrEqual(t, time.Duration(*service.HealthCheck.Timeout), healthTimeout, name)
		grace := regexp.MustCompile(`give your orchestrator (\d+)`).FindStringSubmatch(root(t, "docs/run/operating.md"))
		require.NotNil(t, grace)
		require.Equal(t, grace[1]+"s", service.StopGracePeriod.String(), "%s has as long to stop as the docs say", name)
	}
	for _, verb := range []string{"api", "worker", "migrate"} {
		require.True(t, verbs[verb], verb)
	}
	used, err := loader.LoadModelWithContext(t.Context(), types.ConfigDetails{
		ConfigFiles: []types.ConfigFile{{Content: []byte(root(t, "docker-compose.yml"))}},
	}, func(o *loader.Options) {
		o.SkipInterpolation, o.SkipValidation = true, true
		o.SetProjectName("keyturn", true)
	})
	require.NoError(t, err)
	variables := template.ExtractVariables(used, template.DefaultPattern)
	for name := range env {
		require.Contains(t, variables, name, ".env.example sets what docker-compose.yml does not use")
	}
	for name, v := range variables {
		require.True(t, !v.Required || env[name] != "", ".env.example lacks %s, without which compose refuses", name)
	}
}

// Nothing listens where another machine reaches it: TLS is a proxy's.
func TestComposeListensOnThisMachineOnly(t *testing.T) {
	p := compose(t, exampleEnv(t))
	published := map[string]bool{}
	for name, service := range p.Services {
		for _, port := range service.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, name)
			published[fmt.Sprint(name, ":", port.Target)] = true
		}
	}
	_, listens, _ := strings.Cut(*p.Services["api"].Environment["KEYTURN_LISTEN"], ":")
	require.True(t, published["api:"+listens], "the port that the API listens on is published")
}

// What others run is pinned to a version, watched, and not what its makers have ended.
func TestComposeImages(t *testing.T) {
	p := compose(t, exampleEnv(t))
	temporal := map[string]bool{}
	for name, service := range p.Services {
		image, version, _ := strings.Cut(service.Image, ":")
		require.NotEqual(t, "temporalio/auto-setup", image, "it is deprecated")
		require.Regexp(t, `^(local|v?\d+(\.\d+)*)$`, version, name)
		if image == "temporalio/server" || image == "temporalio/admin-tools" {
			temporal[version] = true
		}
		if service.Restart == "unless-stopped" && name != "temporal-ui" {
			require.NotNil(t, service.HealthCheck, "%s is watched", name)
		}
		for before := range service.DependsOn {
			require.Contains(t, p.Services, before, name)
		}
	}
	require.Len(t, temporal, 1, "the tools that make the schema are the server's version: %v", temporal)
}

// The processes of docker-compose.yml start with the example's settings as they are, and in production mode with those
// that it asks for.
func TestComposeSettingsAreComplete(t *testing.T) {
	for _, changes := range []map[string]string{
		{},
		{
			"KEYTURN_DEVELOPMENT": "", "KEYTURN_PUBLIC_URL": "https://keys.shop.example",
			"KEYTURN_SMTP_URL": "smtp://user:password@mail.shop.example:587",
			"KEYTURN_PAYMENTS": "till=https://:token@pay.shop.example",
		},
	} {
		env := exampleEnv(t)
		for name, value := range changes {
			env[name] = value
		}
		c := compose(t, env)
		for _, name := range []string{"api", "worker"} {
			for variable := range settings {
				t.Setenv(variable, "")
			}
			for variable, value := range c.Services[name].Environment {
				t.Setenv(variable, *value)
			}
			got, err := configFromEnv()
			require.NoError(t, err, "%s with %v", name, changes)
			require.Equal(t, env["KEYTURN_DEVELOPMENT"] != "1", got.Production)
			require.Equal(t, "Example Shop", got.MailName)
			require.Contains(t, got.DatabaseURL, env["KEYTURN_DB_PASSWORD"])
			require.Equal(t, env["KEYTURN_PAYMENTS"] != "", len(got.Payments) == 1)
		}
	}
	trial := compose(t, exampleEnv(t))
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

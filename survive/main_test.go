package survive_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"keyturn.dev/keyturn/internal/testkit"
)

// binary is bin/keyturn as the tests run it, built once. bin/temporal is found in the project.
var binary string

// long says that the outages last as long as the promise says, and that kills go on: make test/outages.
var long = os.Getenv("KEYTURN_SURVIVE_LONG") != ""

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		serve(role)
	}
	testkit.AtOnce(10) // all of them: most of what each does is wait
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "keyturn-survive-bin-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "keyturn")
	build := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-buildvcs=false", "-o", binary,
		"keyturn.dev/keyturn/cmd/keyturn")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	start := time.Now()
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build keyturn: %w\n%s", err, out)
	}
	// `keyturn dev` looks for the Temporal CLI beside itself.
	if temporal, err := filepath.Abs("../bin/temporal"); err == nil {
		if err := os.Symlink(temporal, filepath.Join(dir, "temporal")); err != nil {
			return 1, err
		}
	}
	if err := findPostgresPrograms(); err != nil {
		return 1, err
	}
	fmt.Fprintf(os.Stderr, "built keyturn in %.1f s\n", time.Since(start).Seconds())
	return testkit.Run(m), nil
}

// findPostgresPrograms puts psql, pg_basebackup and the like on the PATH where they are only unpacked in the project,
// as for a user who is not root.
func findPostgresPrograms() error {
	if _, err := exec.LookPath("psql"); err == nil {
		return nil
	}
	programs, _ := filepath.Glob("../.keyturn/dist/postgresql/usr/lib/postgresql/*/bin")
	libraries, _ := filepath.Glob("../.keyturn/dist/postgresql/usr/lib/*-linux-gnu")
	more, _ := filepath.Glob("../.keyturn/dist/postgresql/lib/*-linux-gnu")
	libraries = append(libraries, more...)
	for name, folders := range map[string][]string{"PATH": programs, "LD_LIBRARY_PATH": libraries} {
		all := filepath.SplitList(os.Getenv(name))
		for _, folder := range folders {
			path, err := filepath.Abs(folder)
			if err != nil {
				return err
			}
			all = append(all, path)
		}
		if err := os.Setenv(name, strings.Join(all, string(os.PathListSeparator))); err != nil {
			return err
		}
	}
	return nil
}

// seed is KEYTURN_SURVIVE_SEED or a new one; it is printed, so that a run can be repeated.
func seed(t *testing.T) int64 {
	t.Helper()
	n, err := strconv.ParseInt(os.Getenv("KEYTURN_SURVIVE_SEED"), 10, 64)
	if err != nil {
		n = time.Now().UnixNano() % 1_000_000
	}
	t.Logf("KEYTURN_SURVIVE_SEED=%d", n)
	return n
}

// Package testkit gives tests a real PostgreSQL and a real Temporal. `make test` starts one of each for all packages
// and exports their addresses; under a plain `go test` each package that asks starts its own and stops it at the end.
//
//	func TestMain(m *testing.M) { testkit.Main(m) }
package testkit

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyturn.dev/keyturn/devstack"
)

// The addresses of the servers that `make test` starts for all packages.
const (
	DatabaseURLEnv     = "KEYTURN_TEST_DATABASE_URL"     // a superuser's connection to any database of the server
	TemporalAddressEnv = "KEYTURN_TEST_TEMPORAL_ADDRESS" // host:port
)

// Servers are a PostgreSQL and a Temporal for tests: in a temporary folder, on free ports, without care for durability.
// Each is started when it is first asked for.
type Servers struct {
	// Progress is told what takes long; nil: nobody is.
	Progress func(string)

	mu       sync.Mutex
	dir      *devstack.Dir
	postgres *devstack.Postgres
	temporal *devstack.Temporal
}

// own are the servers of this test process.
var (
	own     Servers
	running atomic.Bool // Main has been called and will stop them
)

// AtOnce sets how many parallel tests of a package run at the same time, unless -parallel is given.
// Tests that wait most of the time do not fill the processors one at each. It reads the command's flags: call it from
// TestMain, after a default of another flag was set.
func AtOnce(n int) {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if said {
		return
	}
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(err)
	}
}

// Main runs the tests of a package, stops the servers that they started, and exits. Call it from TestMain.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for a TestMain that has something to do afterwards: it returns the code to exit with.
func Run(m *testing.M) int {
	running.Store(true)
	code := m.Run()
	if err := own.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// Postgres starts PostgreSQL unless it runs.
func (s *Servers) Postgres(ctx context.Context) (*devstack.Postgres, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.postgres != nil {
		return s.postgres, nil
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	var err error
	s.postgres, err = devstack.StartPostgres(ctx, s.dir, devstack.PostgresOptions{
		Progress: s.Progress,
		Settings: map[string]string{
			"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum_naptime": "10min",
			"max_connections": "500", // every parallel test has a pool
			"max_wal_size":    "256MB",
		},
	})
	return s.postgres, err
}

// Temporal starts a Temporal development server unless it runs.
func (s *Servers) Temporal(ctx context.Context) (*devstack.Temporal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.temporal != nil {
		return s.temporal, nil
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	var err error
	s.temporal, err = devstack.StartTemporal(ctx, s.dir, devstack.TemporalOptions{})
	return s.temporal, err
}

func (s *Servers) open() error {
	if s.dir != nil {
		return nil
	}
	path, err := Folder("keyturn-test-")
	if err != nil {
		return err
	}
	s.dir, err = devstack.Open(path)
	return err
}

// Stop ends what was started and removes its files. A server that died during the tests is an error, with its log.
func (s *Servers) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var failures []error
	if s.temporal != nil {
		failures = append(failures, s.temporal.Err(), s.temporal.Stop(ctx))
	}
	if s.postgres != nil {
		failures = append(failures, s.postgres.Err(), s.postgres.Stop(ctx))
	}
	if s.dir != nil {
		failures = append(failures, s.dir.Close(), os.RemoveAll(s.dir.Path()))
		if s.postgres != nil {
			failures = append(failures, os.RemoveAll(s.postgres.Home()))
		}
	}
	s.dir, s.postgres, s.temporal = nil, nil, nil
	return errors.Join(failures...)
}

func needMain(t testing.TB) {
	t.Helper()
	if !running.Load() {
		t.Fatal("this package needs `func TestMain(m *testing.M) { testkit.Main(m) }`, which stops the servers at the end")
	}
}

// Temporal returns the address of a Temporal server with our search attributes in the namespace default. All tests
// share it: each uses task queues and workflow IDs of its own.
func Temporal(t testing.TB) string {
	t.Helper()
	needMain(t)
	if address := os.Getenv(TemporalAddressEnv); address != "" {
		return address
	}
	server, err := own.Temporal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return server.Address()
}

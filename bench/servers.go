package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack"
	"keyturn.dev/keyturn/vault"
)

// Servers are the PostgreSQL and the Temporal that a benchmark runs on: those that run already, or its own.
type Servers struct {
	DatabaseURL, KeysFile    string
	TemporalAddress          string // of its own Temporal, after StartTemporal; empty: another one is used
	PostgresPID, TemporalPID int    // 0: not its own

	dir   *devstack.Dir // nil: not its own
	stops []func()
}

// UseServers migrates a database that runs already. Stop leaves it running.
func UseServers(ctx context.Context, databaseURL, keysFile string) (*Servers, error) {
	_, err := db.Migrate(ctx, databaseURL)
	return &Servers{DatabaseURL: databaseURL, KeysFile: keysFile}, err
}

// StartServers starts a PostgreSQL in a directory, with a key file beside it; an empty path is a temporary directory,
// which Stop removes.
func StartServers(ctx context.Context, path string, progress io.Writer) (_ *Servers, err error) {
	s := &Servers{}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	temporary := path == ""
	if temporary {
		if path, err = os.MkdirTemp("", "keyturn-bench-"); err != nil {
			return nil, err
		}
		s.stops = append(s.stops, func() { _ = os.RemoveAll(path) })
	}
	if s.dir, err = devstack.Open(path); err != nil {
		return nil, err
	}
	s.stops = append(s.stops, func() { _ = s.dir.Close() })
	fmt.Fprintln(progress, "starting PostgreSQL")
	postgres, err := devstack.StartPostgres(ctx, s.dir, devstack.PostgresOptions{Progress: func(text string) {
		fmt.Fprintln(progress, text)
	}})
	if err != nil {
		return nil, err
	}
	if temporary {
		s.stops = append(s.stops, func() { _ = os.RemoveAll(postgres.Home()) }) // elsewhere, where it runs as another user
	}
	s.stopLater(postgres.Stop)
	if err = postgres.CreateDatabase(ctx, "keyturn"); err != nil {
		return nil, err
	}
	s.PostgresPID, s.DatabaseURL, s.KeysFile = postgres.PID(), postgres.DSN("keyturn"), filepath.Join(path, "keys.json")
	if _, statErr := os.Stat(s.KeysFile); errors.Is(statErr, os.ErrNotExist) {
		if err = vault.CreateKeys(s.KeysFile); err != nil {
			return nil, err
		}
	}
	_, err = db.Migrate(ctx, s.DatabaseURL)
	return s, err
}

// StartTemporal starts a Temporal beside its own PostgreSQL. It does nothing when the database is another's: the
// Temporal is then another's too.
func (s *Servers) StartTemporal(ctx context.Context) error {
	if s.dir == nil {
		return nil
	}
	temporal, err := devstack.StartTemporal(ctx, s.dir, devstack.TemporalOptions{})
	if err != nil {
		return err
	}
	s.stopLater(temporal.Stop)
	s.TemporalPID, s.TemporalAddress = temporal.PID(), temporal.Address()
	return nil
}

func (s *Servers) stopLater(stop func(context.Context) error) {
	s.stops = append(s.stops, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = stop(ctx)
	})
}

// OnStop adds what Stop ends before everything that was started earlier.
func (s *Servers) OnStop(stop func()) { s.stops = append(s.stops, stop) }

// Stop ends what was started, the last first.
func (s *Servers) Stop() {
	for i := len(s.stops) - 1; i >= 0; i-- {
		s.stops[i]()
	}
}

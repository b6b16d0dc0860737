package main

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

// benchGround is what a benchmark runs on: the PostgreSQL of the settings, or one of its own, and what is added to it.
type benchGround struct {
	databaseURL, keysFile    string
	postgresPID, temporalPID int           // 0: it is not ours
	dir                      *devstack.Dir // nil: it is not ours
	stops                    []func()
}

// newBenchGround opens the database of KEYTURN_DATABASE_URL, or starts one in a folder; an empty path is a temporary one.
func newBenchGround(ctx context.Context, path string, progress io.Writer) (_ *benchGround, err error) {
	g := &benchGround{databaseURL: os.Getenv("KEYTURN_DATABASE_URL"), keysFile: os.Getenv("KEYTURN_KEYS")}
	if g.databaseURL != "" {
		_, err = db.Migrate(ctx, g.databaseURL)
		return g, err
	}
	defer func() {
		if err != nil {
			g.stop()
		}
	}()
	temporary := path == ""
	if temporary {
		if path, err = os.MkdirTemp("", "keyturn-bench-"); err != nil {
			return nil, err
		}
		g.stops = append(g.stops, func() { _ = os.RemoveAll(path) })
	}
	if g.dir, err = devstack.Open(path); err != nil {
		return nil, err
	}
	g.stops = append(g.stops, func() { _ = g.dir.Close() })
	fmt.Fprintln(progress, "starting PostgreSQL")
	postgres, err := devstack.StartPostgres(ctx, g.dir, devstack.PostgresOptions{Progress: func(text string) { fmt.Fprintln(progress, text) }})
	if err != nil {
		return nil, err
	}
	if temporary {
		g.stops = append(g.stops, func() { _ = os.RemoveAll(postgres.Home()) }) // elsewhere, where it runs as another user
	}
	g.stopsLater(postgres.Stop)
	if err = postgres.CreateDatabase(ctx, "keyturn"); err != nil {
		return nil, err
	}
	g.postgresPID, g.databaseURL, g.keysFile = postgres.PID(), postgres.DSN("keyturn"), filepath.Join(path, "keys.json")
	if _, statErr := os.Stat(g.keysFile); errors.Is(statErr, os.ErrNotExist) {
		if err = vault.CreateKeys(g.keysFile); err != nil {
			return nil, err
		}
	}
	_, err = db.Migrate(ctx, g.databaseURL)
	return g, err
}

// addTemporal starts a Temporal beside a PostgreSQL of our own and points the settings at it.
func (g *benchGround) addTemporal(ctx context.Context) error {
	if g.dir == nil {
		return nil
	}
	temporal, err := devstack.StartTemporal(ctx, g.dir, devstack.TemporalOptions{})
	if err != nil {
		return err
	}
	g.stopsLater(temporal.Stop)
	g.temporalPID = temporal.PID()
	return os.Setenv("TEMPORAL_ADDRESS", temporal.Address())
}

func (g *benchGround) stopsLater(stop func(context.Context) error) {
	g.stops = append(g.stops, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = stop(ctx)
	})
}

// stop stops what was started, the last first.
func (g *benchGround) stop() {
	for i := len(g.stops) - 1; i >= 0; i-- {
		g.stops[i]()
	}
}

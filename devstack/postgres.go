package devstack

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lib/pq"
)

// PostgresOptions configures PostgreSQL. The zero value is usable.
type PostgresOptions struct {
	Port     int               // on 127.0.0.1; 0: any free one
	Settings map[string]string // server settings that win over the defaults, such as fsync=off for tests
	Progress func(string)      // told what takes long, such as an installation; nil: nobody is
}

// Postgres is a running PostgreSQL server. It listens on loopback only and wants a password, which DSN contains.
type Postgres struct {
	*Process
	port     int
	home     string
	password string
}

const (
	superuser = "keyturn"
	// startTimeout covers the recovery of a server that was killed under load.
	startTimeout = 60 * time.Second
	// releaseTimeout is how long the children of a killed server may hold its shared memory.
	releaseTimeout = 15 * time.Second
)

// postgresSettings are for a developer's machine: durable like a real one, without what only large machines need.
var postgresSettings = map[string]string{
	"fsync":                   "on",
	"jit":                     "off", // our statements are short; compiling them costs more than running them
	"max_connections":         "200",
	"shared_buffers":          "256MB",
	"max_wal_size":            "2GB",
	"log_checkpoints":         "off",
	"log_timezone":            "UTC",
	"timezone":                "UTC",
	"listen_addresses":        loopback,
	"unix_socket_directories": "", // nothing to clean up after a crash, and no limit on the length of the path
}

// StartPostgres finds PostgreSQL's programs or gets them, makes the database cluster where there is none, starts the
// server and returns when it answers. State from an earlier run is kept; what a crash left behind is repaired.
func StartPostgres(ctx context.Context, dir *Dir, options PostgresOptions) (*Postgres, error) {
	progress := options.Progress
	if progress == nil {
		progress = func(string) {}
	}
	if options.Port != 0 && !portFree(options.Port) {
		return nil, fmt.Errorf("port %d for PostgreSQL is taken on %s by another program; stop it, or choose other ports "+
			"with --port-offset", options.Port, loopback)
	}
	c, err := openCluster(ctx, dir, options.Settings["fsync"] == "off", progress)
	if err != nil {
		return nil, err
	}
	settings := maps.Clone(postgresSettings)
	maps.Copy(settings, options.Settings)

	for deadline := time.Now().Add(releaseTimeout); ; time.Sleep(200 * time.Millisecond) {
		pg, err := c.launch(ctx, dir, options.Port, settings)
		if err == nil {
			return pg, nil
		}
		// A killed server's children notice its death within moments, and hold its memory until then.
		if !errors.Is(err, errMemoryInUse) || time.Now().After(deadline) {
			return nil, err
		}
	}
}

var errMemoryInUse = errors.New("the server before it has not let go of its memory yet")

// launch starts the server once and waits until it answers or has ended.
func (c *cluster) launch(ctx context.Context, dir *Dir, port int, settings map[string]string) (*Postgres, error) {
	if port == 0 {
		free, err := FreePort()
		if err != nil {
			return nil, err
		}
		port = free
	}
	args := []string{"-D", c.data, "-p", strconv.Itoa(port)}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	process, err := startProcess(command{
		name: "PostgreSQL", path: c.programs.path("postgres"), args: args, env: c.programs.env(), dir: c.data, user: c.owner,
		log: dir.Path("logs", "postgres.log"),
		// Immediate shutdown: nothing may be left when we were killed, and recovery is what the log of PostgreSQL is for.
		orphan: syscall.SIGQUIT,
	})
	if err != nil {
		return nil, err
	}
	pg := &Postgres{Process: process, port: port, home: c.home, password: c.password}
	if err := pg.ready(ctx); err != nil {
		if strings.Contains(pg.lastLines(20), "pre-existing shared memory block") {
			err = errors.Join(errMemoryInUse, err)
		}
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return nil, errors.Join(err, pg.Stop(stopping))
	}
	return pg, nil
}

// ready returns when the server answers a query.
func (pg *Postgres) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	db, err := sql.Open("postgres", pg.DSN("postgres"))
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer db.Close() //nolint:errcheck // one idle connection
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		if refused, ok := errors.AsType[*pq.Error](err); ok && refused.Code.Class() == "28" {
			return fmt.Errorf("PostgreSQL in %s refuses our password; delete %s to begin anew: %w", pg.home, pg.home, err)
		}
		select {
		case <-pg.Done():
			return pg.Err()
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer on port %d: %w; its log %s ends with:\n%s", pg.port, err, pg.log,
				pg.lastLines(12))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// DSN is the connection string, in the URL form, for a database of the server. It contains the password.
func (pg *Postgres) DSN(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, pg.password), Host: hostPort(pg.port),
		Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Port is where the server listens on 127.0.0.1.
func (pg *Postgres) Port() int { return pg.port }

// Home is where the server keeps its data. It is below the data directory, or, when we are root and the user that
// PostgreSQL runs as cannot reach that, below /var/lib/keyturn-dev.
func (pg *Postgres) Home() string { return pg.home }

// CreateDatabase makes a database unless it exists.
func (pg *Postgres) CreateDatabase(ctx context.Context, name string) error {
	db, err := sql.Open("postgres", pg.DSN("postgres"))
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer db.Close() //nolint:errcheck // one idle connection
	const duplicate = "42P04"
	//keyturn:autocommit PostgreSQL refuses it in a transaction, and a repetition is an error that is recognised below
	_, err = db.ExecContext(ctx, "CREATE DATABASE "+pq.QuoteIdentifier(name))
	if e, ok := errors.AsType[*pq.Error](err); ok && e.Code == duplicate {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create the database %s: %w", name, err)
	}
	return nil
}

// Stop ends the server cleanly: it cuts the connections and writes what is in memory. When ctx ends first the server is
// killed, which costs a recovery at the next start and no data.
func (pg *Postgres) Stop(ctx context.Context) error {
	return pg.stop(ctx, syscall.SIGINT)
}

// Command with runs a command, usually `go test`, with a PostgreSQL and a Temporal that all its packages share, and
// with a C compiler for the race detector. Where there is no compiler to be had it says so and leaves -race out.
//
//	with go test -race ./...
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"keyturn.dev/keyturn/devstack"
	"keyturn.dev/keyturn/devstack/debian"
	"keyturn.dev/keyturn/internal/testkit"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: with COMMAND [ARGUMENT...], for example: with go test -race ./...")
		os.Exit(2)
	}
	// The terminal sends Ctrl-C to the command too; we wait for its end and stop the servers after it.
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	code, err := with(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "with:", err)
	}
	os.Exit(code)
}

func say(text string) { fmt.Fprintln(os.Stderr, "with:", text) }

// reportDeath says nothing about a server that was asked to stop.
func reportDeath(server *devstack.Process) {
	if err := server.Err(); err != nil {
		say(err.Error())
	}
}

// with returns the exit status of the command, or 1 when the servers failed.
func with(ctx context.Context, command []string) (code int, err error) {
	servers := &testkit.Servers{Progress: say}
	defer func() {
		if stopErr := servers.Stop(); stopErr != nil {
			code, err = max(code, 1), errors.Join(err, stopErr)
		}
	}()
	env := os.Environ()
	if slices.Contains(command, "-race") {
		cc, err := debian.Compiler(ctx, devstack.ToolDir(".keyturn"), say)
		if err == nil {
			env = append(env, "CGO_ENABLED=1", "CC="+cc)
		} else {
			say("WITHOUT THE RACE DETECTOR, which needs a C compiler: " + err.Error())
			command = slices.DeleteFunc(slices.Clone(command), func(arg string) bool { return arg == "-race" })
		}
	}
	start := time.Now()
	pg, err := servers.Postgres(ctx)
	if err != nil {
		return 1, err
	}
	temporal, err := servers.Temporal(ctx)
	if err != nil {
		return 1, err
	}
	say(fmt.Sprintf("PostgreSQL on port %d and Temporal on %s started in %.1f s", pg.Port(), temporal.Address(),
		time.Since(start).Seconds()))
	env = append(env, testkit.DatabaseURLEnv+"="+pg.DSN("postgres"), testkit.TemporalAddressEnv+"="+temporal.Address())

	// Tests against a server that is gone fail in a hundred ways; this is the line that explains them.
	go func() {
		select {
		case <-pg.Done():
			reportDeath(pg.Process)
		case <-temporal.Done():
			reportDeath(temporal.Process)
		}
	}()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the caller's own command
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, fmt.Errorf("run %s: %w", command[0], err)
	}
	return 0, nil
}

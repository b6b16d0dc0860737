package devstack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

// TemporalOptions configures the Temporal development server.
type TemporalOptions struct {
	Port    int    // gRPC on 127.0.0.1; 0: any free one
	UIPort  int    // Web UI on 127.0.0.1; 0: any free one
	Program string // the Temporal CLI; "": bin/temporal beside our program or in the project, else from the PATH
}

// Temporal is a running Temporal development server with the namespace default and our search attributes.
type Temporal struct {
	*Process
	port, uiPort int
}

// Namespace is the one that a development server has from the start.
const Namespace = "default"

// SearchAttributes are those by which operators find workflows.
var SearchAttributes = map[string]enums.IndexedValueType{
	"OrderId":        enums.INDEXED_VALUE_TYPE_KEYWORD,
	"ProductId":      enums.INDEXED_VALUE_TYPE_KEYWORD,
	"Source":         enums.INDEXED_VALUE_TYPE_KEYWORD,
	"LineStatus":     enums.INDEXED_VALUE_TYPE_KEYWORD,
	"NeedsAttention": enums.INDEXED_VALUE_TYPE_BOOL,
	"PaymentStatus":  enums.INDEXED_VALUE_TYPE_KEYWORD,
}

// temporalSettings suit a server for one application on one machine.
var temporalSettings = map[string]string{
	// Off by default in this version of the server: an activity that follows a workflow task goes back with its answer.
	"system.enableActivityEagerExecution": "true",
	"system.enableEagerWorkflowStart":     "true",
	// One queue, one machine: partitions would only forward to each other.
	"matching.numTaskqueueReadPartitions":  "1",
	"matching.numTaskqueueWritePartitions": "1",
	// The limits protect a shared cluster from one tenant. Here they would cap what a benchmark can measure.
	"frontend.rps": "100000", "frontend.namespaceRPS": "100000", "frontend.namespaceRPS.visibility": "1000",
	"frontend.namespaceCount": "10000", "frontend.persistenceMaxQPS": "100000",
	"history.rps": "100000", "history.persistenceMaxQPS": "100000",
	"matching.rps": "100000", "matching.persistenceMaxQPS": "100000",
}

// StartTemporal starts the server and returns when it serves: the namespace is there, the search attributes are
// registered, the Web UI answers. Workflows of an earlier run go on.
//
// The server finds ports for its parts by itself, and may lose one to somebody else before it listens there. So one
// that ends at its start is started again.
func StartTemporal(ctx context.Context, dir *Dir, options TemporalOptions) (*Temporal, error) {
	for try := 1; ; try++ {
		t, err := startTemporal(ctx, dir, options)
		if _, ended := errors.AsType[endedError](err); !ended || try == startsOfTemporal || ctx.Err() != nil {
			return t, err
		}
	}
}

const startsOfTemporal = 3

func startTemporal(ctx context.Context, dir *Dir, options TemporalOptions) (*Temporal, error) {
	program, err := findTemporal(options.Program)
	if err != nil {
		return nil, err
	}
	t := &Temporal{port: options.Port, uiPort: options.UIPort}
	for _, port := range []*int{&t.port, &t.uiPort} {
		if *port == 0 {
			if *port, err = FreePort(); err != nil {
				return nil, err
			}
		}
	}
	if err := CheckPorts(0, Port{"Temporal", t.port}, Port{"Temporal Web UI", t.uiPort}); err != nil {
		return nil, err
	}
	args := []string{
		"server", "start-dev", "--ip", loopback, "--port", strconv.Itoa(t.port), "--ui-port", strconv.Itoa(t.uiPort),
		"--log-level", "warn", "--color", "never",
	}
	for _, name := range slices.Sorted(maps.Keys(SearchAttributes)) {
		args = append(args, "--search-attribute", name+"="+SearchAttributes[name].String())
	}
	for _, name := range slices.Sorted(maps.Keys(temporalSettings)) {
		args = append(args, "--dynamic-config-value", name+"="+temporalSettings[name])
	}
	database, complete := dir.Path("temporal.db"), dir.Path("temporal.complete")
	if err := clearHalfMade(database, complete); err != nil {
		return nil, err
	}
	// A write-ahead log that is flushed at checkpoints survives the end of the process at any moment, and costs one
	// write per transaction instead of two flushes. A database in memory would end with the last connection to it, which a
	// time-out on a busy machine may be.
	args = append(args, "--db-filename", database, "--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma",
		"synchronous=normal")
	t.Process, err = startProcess(command{
		name: "Temporal", path: program, args: args, dir: dir.Path(), log: dir.Path("logs", "temporal.log"),
		orphan: syscall.SIGKILL, // a polite end may take longer than whoever killed us will wait
	})
	if err != nil {
		return nil, err
	}
	err = t.ready(ctx)
	if err == nil {
		err = writeFile(complete, "the database beside this file has served; it is not half-made\n")
	}
	if err != nil {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return nil, errors.Join(err, t.Stop(stopping))
	}
	return t, nil
}

// clearHalfMade removes a database whose first start was cut short: the server takes any file that exists for complete.
func clearHalfMade(database, complete string) error {
	if _, err := os.Stat(complete); err == nil {
		return nil
	}
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(database + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clear a half-made Temporal database: %w", err)
		}
	}
	return nil
}

func findTemporal(program string) (string, error) {
	if program != "" {
		return program, nil
	}
	var candidates []string
	if self, err := os.Executable(); err == nil {
		candidates = append(candidates, filepath.Join(filepath.Dir(self), "temporal"))
	}
	if root := projectRoot(); root != "" {
		candidates = append(candidates, filepath.Join(root, "bin", "temporal"))
	}
	for _, path := range candidates {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return path, nil
		}
	}
	if path, err := exec.LookPath("temporal"); err == nil {
		return path, nil
	}
	return "", errors.New("the Temporal CLI is neither in bin/temporal nor on the PATH; run `make build`, which builds it")
}

// ready polls until the server has everything that workflows need.
func (t *Temporal) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c, err := client.NewLazyClient(
		client.Options{HostPort: t.Address(), Namespace: Namespace, Logger: log.NewStructuredLogger(
			slog.New(slog.DiscardHandler))})
	if err != nil {
		return fmt.Errorf("connect to Temporal: %w", err)
	}
	defer c.Close()
	for {
		err := t.check(ctx, c)
		if err == nil {
			return nil
		}
		select {
		case <-t.Done():
			return t.Err()
		case <-ctx.Done():
			return fmt.Errorf("Temporal is not ready on port %d: %w; its log %s ends with:\n%s", t.port, err, t.log,
				t.lastLines(12))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (t *Temporal) check(ctx context.Context, c client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := c.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return fmt.Errorf("check its health: %w", err)
	}
	if _, err := c.WorkflowService().DescribeNamespace(ctx,
		&workflowservice.DescribeNamespaceRequest{Namespace: Namespace}); err != nil {
		return fmt.Errorf("describe the namespace: %w", err)
	}
	have, err := c.OperatorService().ListSearchAttributes(ctx,
		&operatorservice.ListSearchAttributesRequest{Namespace: Namespace})
	if err != nil {
		return fmt.Errorf("list the search attributes: %w", err)
	}
	for name, kind := range SearchAttributes {
		if have.GetCustomAttributes()[name] != kind {
			return fmt.Errorf("the search attribute %s is not registered", name)
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, t.UIURL(), nil)
	if err != nil {
		return fmt.Errorf("ask the Web UI: %w", err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask the Web UI: %w", err)
	}
	return answer.Body.Close()
}

// Address is where the server speaks gRPC, as TEMPORAL_ADDRESS wants it.
func (t *Temporal) Address() string { return hostPort(t.port) }

// UIURL is the address of the Web UI.
func (t *Temporal) UIURL() string { return "http://" + hostPort(t.uiPort) }

// Stop ends the server cleanly; when ctx ends first it is killed. Running workflows go on at the next start.
func (t *Temporal) Stop(ctx context.Context) error {
	return t.stop(ctx, syscall.SIGTERM)
}

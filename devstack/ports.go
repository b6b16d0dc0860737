package devstack

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
)

// Port is a loopback port and what it is for.
type Port struct {
	Name   string // "API", "Temporal Web UI"
	Number int
}

// loopback is the only address the servers listen on.
const loopback = "127.0.0.1"

// CheckPorts says in one sentence which of the ports are taken, and proposes an offset at which all are free. offset is
// what has been added to the numbers already.
func CheckPorts(offset int, ports ...Port) error {
	var taken []string
	for _, p := range ports {
		if !portFree(p.Number) {
			taken = append(taken, fmt.Sprintf("%d (%s)", p.Number, p.Name))
		}
	}
	if len(taken) == 0 {
		return nil
	}
	what := "port " + taken[0] + " is"
	if n := len(taken); n > 1 {
		what = "ports " + strings.Join(taken[:n-1], ", ") + " and " + taken[n-1] + " are"
	}
	return fmt.Errorf("%s taken on %s by other programs; stop them, or run with --port-offset %d, which adds to every "+
		"port",
		what, loopback, offset+freeOffset(ports))
}

// Ports above those that Linux gives to any connection: one that was found free here stays so until it is used.
const (
	lowestFree = 61_000
	manyFree   = 4_000
)

var (
	firstFree = rand.N(manyFree) //nolint:gosec // keeps processes apart, keeps no secret
	nextFree  atomic.Int64
)

// FreePort is a port that nothing listens on now. This process gets another one each time; a process beside it may take
// it before it is used.
func FreePort() (int, error) {
	for range manyFree {
		port := lowestFree + (firstFree+int(nextFree.Add(1)))%manyFree
		if portFree(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no port from %d to %d is free on %s", lowestFree, lowestFree+manyFree-1, loopback)
}

func portFree(port int) bool {
	l, err := net.Listen("tcp", hostPort(port)) //nolint:noctx // does not wait
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// freeOffset is the first hundred at which every port is free.
func freeOffset(ports []Port) int {
	const step, most = 100, 5000
next:
	for offset := step; offset < most; offset += step {
		for _, p := range ports {
			if !portFree(p.Number + offset) {
				continue next
			}
		}
		return offset
	}
	return most
}

func hostPort(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

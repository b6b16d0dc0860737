package faultproxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/internal/testkit/faultproxy"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func start(t *testing.T, to string, speaks faultproxy.Protocol) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.Start("127.0.0.1:0", to, speaks)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// shop answers on /slow after a moment, and counts.
func shop(t *testing.T) (address string, asked *atomic.Int64) {
	asked = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path == "/slow" {
			time.Sleep(200 * time.Millisecond)
		}
		fmt.Fprint(w, "well")
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), asked
}

func post(p *faultproxy.Proxy, path string, patience time.Duration) error {
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Post("http://"+p.Addr()+path, "text/plain", strings.NewReader("order"))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	return err
}

func TestProxyLosesTheAnswerOfWhatWasCarriedOut(t *testing.T) {
	t.Parallel()
	to, asked := shop(t)
	p := start(t, to, faultproxy.HTTP)
	p.Lose(faultproxy.Loss{After: 1, Only: func(name string) bool { return name == "POST /refunds" }})
	require.NoError(t, post(p, "/other", time.Minute))
	require.NoError(t, post(p, "/refunds", time.Minute))
	require.Error(t, post(p, "/refunds", time.Minute))
	require.EqualValues(t, 3, asked.Load(), "the server did it")
	name, lost := p.Disarm()
	require.True(t, lost)
	require.Equal(t, "POST /refunds", name)
	require.NoError(t, post(p, "/refunds", time.Minute), "one answer, not all")
}

func TestProxyDelaysSwallowsCutsAndRefuses(t *testing.T) {
	t.Parallel()
	to, asked := shop(t)
	p := start(t, to, faultproxy.HTTP)
	p.Delay(100 * time.Millisecond)
	begun := time.Now()
	require.NoError(t, post(p, "/", time.Minute))
	require.GreaterOrEqual(t, time.Since(begun), 100*time.Millisecond)
	require.Equal(t, 1, p.Delay(0))

	p.Swallow(true)
	before := asked.Load()
	require.Error(t, post(p, "/", 100*time.Millisecond))
	require.Equal(t, before, asked.Load(), "it never arrived")
	p.Swallow(false)
	require.Eventually(t, func() bool { return p.Busy() == 0 }, time.Minute, 10*time.Millisecond, "who gave up is gone")

	failed := make(chan error)
	slow, stop := faultproxy.Await(func(name string) bool { return name == "POST /slow" }, p)
	defer stop()
	go func() { failed <- post(p, "/slow", time.Minute) }()
	<-slow
	require.Equal(t, 1, p.Busy())
	require.Equal(t, 1, p.Cut(true))
	require.Error(t, <-failed)

	p.Target("")
	require.Error(t, post(p, "/", time.Minute))
	p.Target(to)
	require.NoError(t, post(p, "/", time.Minute))
}

func TestProxyKnowsTheFinalDot(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprint(c, "220 hello\r\n")
		for in := bufio.NewScanner(c); in.Scan(); {
			if line := in.Text(); line == "DATA" || line == "." || line == "NOOP" {
				fmt.Fprint(c, "250 so be it\r\n")
			}
		}
	}()
	p := start(t, l.Addr().String(), faultproxy.SMTP)
	p.Lose(faultproxy.Loss{Only: func(name string) bool { return name == faultproxy.FinalDot }})
	c, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	defer c.Close()
	in := bufio.NewReader(c)
	for _, say := range []string{"", "NOOP\r\n", "DATA\r\n"} {
		fmt.Fprint(c, say)
		_, err := in.ReadString('\n')
		require.NoError(t, err, say)
	}
	fmt.Fprint(c, "Subject: keys\r\n\r\nKEY\r")
	time.Sleep(20 * time.Millisecond)
	fmt.Fprint(c, "\n.\r\n")
	_, err = in.ReadString('\n')
	require.ErrorIs(t, err, io.EOF)
	_, lost := p.Disarm()
	require.True(t, lost)
}

func TestProxyKnowsTemporalsMethods(t *testing.T) {
	t.Parallel()
	p := start(t, testkit.Temporal(t), faultproxy.GRPC)
	c, err := client.Dial(client.Options{HostPort: p.Addr()})
	require.NoError(t, err)
	defer c.Close()
	name := "RegisterNamespace"
	p.Lose(faultproxy.Loss{Reset: true, Only: func(n string) bool { return n == name }})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: "default"})
	require.NoError(t, err)
	_, _ = c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{Namespace: "lost"})
	got, lost := p.Disarm()
	require.True(t, lost, "its answer did not come the first time; the client asked again by itself")
	require.Equal(t, name, got)
}

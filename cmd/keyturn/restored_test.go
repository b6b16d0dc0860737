package main

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	temporal "go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"keyturn.dev/keyturn"
	emulator "keyturn.dev/keyturn/devstack/stripe"
	"keyturn.dev/keyturn/internal/testkit"
)

// A Temporal that takes connections and says nothing ends the command, which says what that means and how to go on.
func TestRestoredSaysHowToGoOnWithoutTemporal(t *testing.T) {
	s := newPoolShop(t)
	s.run("pool", "import", "games", s.file("keys.txt", "AAAA\nBBBB\n"))
	s.sell()
	require.NoError(t, s.d.Close())
	require.NoError(t, s.x.Close())
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	t.Setenv("TEMPORAL_ADDRESS", silent.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs([]string{"restored"})
	err = root.ExecuteContext(ctx)
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err), "%v", err)
	said := strings.ToLower(err.Error())
	for _, words := range []string{
		"temporal did not answer in time", "nothing was changed in the database", "run it again",
		"keyturn restored --since 20",
	} {
		require.Contains(t, said, words)
	}
}

// What Stripe has taken for payments that the restored database does not have goes back once a person has said so, and
// not before.
func TestRestoredAsksBeforeItGivesMoneyBack(t *testing.T) {
	s := newPoolShop(t)
	s.run("pool", "import", "games", s.file("keys.txt", "AAAA\nBBBB\n"))
	require.NoError(t, s.d.Close())
	require.NoError(t, s.x.Close())
	e := emulator.New(emulator.Config{})
	require.NoError(t, e.Start())
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	t.Setenv(stripeKeyEnv, emulator.Key)
	t.Setenv(installationEnv, "shop-1")
	t.Setenv(stripeURLEnv, e.URL())
	t.Setenv("TEMPORAL_ADDRESS", testkit.Temporal(t))
	t.Setenv("TEMPORAL_NAMESPACE", emptyNamespace(t))
	paid := func() (intent string) {
		return e.PaidElsewhere(5998, "eur", map[string]string{"keyturn": "shop-1/" + uuid.NewString()}, emulator.Card(""))
	}
	refunded := func(intent string) (minor int64) {
		for _, p := range e.Books().Payments {
			if p.ID == intent {
				return p.Refunded
			}
		}
		t.Fatal("Stripe has no such payment")
		return 0
	}
	restored := func(answer string, args ...string) string {
		t.Helper()
		var out bytes.Buffer
		root := newRoot()
		root.SetIn(strings.NewReader(answer))
		root.SetOut(&out)
		root.SetErr(&out)
		root.SetArgs(append([]string{"restored"}, args...))
		require.NoError(t, root.ExecuteContext(t.Context()), out.String())
		return out.String()
	}
	const question = "Give all of it back?"
	first := paid()
	for _, answer := range []string{"", "\n", "n\n", "yes please\n"} {
		out := restored(answer)
		require.Contains(t, out, first)
		require.Contains(t, out, "59.98 EUR taken")
		require.Contains(t, out, question)
		require.Contains(t, out, "nothing was given back: `keyturn restored --yes` does it")
		require.Regexp(t, `59\.98 +captured there, of payments that are not here`, out)
		require.Regexp(t, `0\.00 +given back of that`, out)
		require.Zero(t, refunded(first), "answered %q", answer)
	}
	out := restored(" Y \n")
	require.Contains(t, out, question)
	require.NotContains(t, out, "nothing was given back")
	require.Regexp(t, `59\.98 +given back of that`, out)
	require.EqualValues(t, 5998, refunded(first))

	second := paid()
	out = restored("n\n", "--yes")
	require.Contains(t, out, second)
	require.NotContains(t, out, question)
	require.EqualValues(t, 5998, refunded(second))
	out = restored("")
	require.NotContains(t, out, question, "there is nothing to give back any more")
	require.EqualValues(t, 5998, refunded(first), "not twice")
}

// emptyNamespace is one of Temporal in which nothing ever ran: others share the server.
func emptyNamespace(t *testing.T) string {
	t.Helper()
	name := "restored-" + uuid.NewString()
	c, err := temporal.NewLazyClient(temporal.Options{HostPort: testkit.Temporal(t), Namespace: name})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	_, err = c.WorkflowService().RegisterNamespace(t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace: name, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{})
		return err == nil
	}, time.Minute, 100*time.Millisecond, "servers learn of a namespace a little later")
	return name
}

package survive_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	temporalclient "go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
	"keyturn.dev/keyturn/devstack/inbox"
	"keyturn.dev/keyturn/internal/testkit"
)

// freshNamespace is one as `temporal operator namespace create` makes it.
func freshNamespace(t *testing.T, name string) temporalclient.Client {
	t.Helper()
	c, err := temporalclient.NewLazyClient(temporalclient.Options{HostPort: testkit.Temporal(t), Namespace: name})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	_, err = c.WorkflowService().RegisterNamespace(t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace: name, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := c.OperatorService().ListSearchAttributes(t.Context(),
			&operatorservice.ListSearchAttributesRequest{Namespace: name})
		return err == nil
	}, 30*time.Second, 100*time.Millisecond, "servers learn of a namespace a little later")
	return c
}

// health asks a process for /readyz, and is zero while it does not answer.
func health(ctx context.Context, address string) (h keyturn.Health, status int) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return h, 0
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return h, 0
	}
	defer answer.Body.Close()
	_ = json.NewDecoder(answer.Body).Decode(&h)
	return h, answer.StatusCode
}

// A namespace is used as it was created: the worker creates the search attributes. One of them is there with another
// type, which no process may repair: everything that could tell says so, until a person removes it.
func TestMissingSearchAttributesAreSaidAndCreated(t *testing.T) {
	t.Parallel()
	ctx, dir, namespace := t.Context(), t.TempDir(), "shop-"+strings.ToLower(rand.Text()[:8])
	temporal := freshNamespace(t, namespace)
	_, err := temporal.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: map[string]enums.IndexedValueType{"OrderId": enums.INDEXED_VALUE_TYPE_TEXT},
	})
	require.NoError(t, err)
	mails := inbox.New(inbox.Config{SMTPAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0"})
	require.NoError(t, mails.Start())
	t.Cleanup(func() { _ = mails.Close() })
	port := freePorts(t, 3)
	api, apiHealth, workerHealth := fmt.Sprint("127.0.0.1:", port), fmt.Sprint("127.0.0.1:", port+1),
		fmt.Sprint("127.0.0.1:", port+2)
	env := []string{
		"KEYTURN_DEVELOPMENT=1", "KEYTURN_DATABASE_URL=" + testkit.Postgres(t, "", nil),
		"KEYTURN_KEYS=" + filepath.Join(dir, "keys.json"), "KEYTURN_PUBLIC_URL=http://" + api,
		"KEYTURN_SMTP_URL=smtp+plain://" + mails.SMTPAddr(), "KEYTURN_MAIL_FROM=keys@shop.test",
		"KEYTURN_OPERATIONS_MAIL=ops@shop.test", "TEMPORAL_ADDRESS=" + testkit.Temporal(t), "TEMPORAL_NAMESPACE=" + namespace,
		"KEYTURN_LISTEN=" + api, "KEYTURN_API=http://" + api,
	}
	must(t, env, "keys", "create", filepath.Join(dir, "keys.json"))
	const wrong = "OrderId (which is there as Text, not as Keyword)"
	_, said, code := command(t, env, "migrate")
	require.Equal(t, 1, code, said)
	require.Contains(t, said, wrong)
	require.Contains(t, said, "temporal operator search-attribute create --namespace "+namespace)
	env = append(env, "KEYTURN_TOKEN="+must(t, env, "token", "create", "t", "--scope",
		"orders:write,orders:read,catalog:write,keys:write,ops"))

	run(t, "api", dir, env, "api", "--metrics", apiHealth)
	worker := run(t, "worker", dir, env, "worker", "--metrics", workerHealth, "--log-format", "json")
	for _, address := range []string{api, apiHealth, workerHealth} {
		require.Eventually(t, func() bool {
			h, status := health(ctx, address)
			return status == http.StatusServiceUnavailable && len(h.MissingSearchAttributes) == 1 &&
				h.MissingSearchAttributes[0] == wrong
		}, 2*time.Minute, 200*time.Millisecond, address)
		_, said, code = command(t, env, "health", "http://"+address)
		require.Equal(t, 1, code)
		require.Contains(t, said, "the process is not ready")
	}
	open := func() (found []keyturn.AlertView) {
		require.NoError(t, json.Unmarshal([]byte(must(t, env, "alert", "list", "--output", "json")), &found))
		return found
	}
	require.Eventually(t, func() bool { return len(open()) == 1 }, time.Minute, 200*time.Millisecond)
	require.Equal(t, keyturn.AlertSearchAttributes, open()[0].Cause)
	require.Contains(t, open()[0].Happened, wrong)
	require.Eventually(t, func() bool { return len(mails.Messages()) == 1 }, time.Minute, 200*time.Millisecond)

	shop := &client.Client{BaseURL: "http://" + api, Token: strings.TrimPrefix(env[len(env)-1], "KEYTURN_TOKEN=")}
	_, err = shop.PutPool(ctx, keyturn.Pool{ID: "games"}, false)
	require.NoError(t, err)
	_, err = shop.PutProduct(ctx, keyturn.Product{
		ID: "game", Name: "Game", Sources: []keyturn.Source{{Type: keyturn.SourcePool, Pool: "games"}},
	}, false)
	require.NoError(t, err)
	_, err = shop.ImportKeys(ctx, "games", strings.NewReader("KEY-1\n"), client.ImportOptions{})
	require.NoError(t, err)
	_, _, err = shop.CreateOrder(ctx, "first", keyturn.Order{
		ID: "ORD-1", Currency: "EUR", Payment: keyturn.Payment{Provider: "sandbox", Reference: "pay_1"},
		Customer: keyturn.Customer{
			ID: "user-1", Email: "jean@buyer.test", Country: "FR", Locale: "fr-FR", FirstName: "Jean",
		},
		LineItems: []keyturn.LineItem{{ProductID: "game", Quantity: 1, GrossPrice: "9.99"}},
	})
	require.NoError(t, err)
	order := func() keyturn.OrderView {
		o, err := shop.Order(ctx, "ORD-1")
		require.NoError(t, err)
		return o
	}
	require.Equal(t, keyturn.OrderPending, order().Status)

	_, err = temporal.OperatorService().RemoveSearchAttributes(ctx, &operatorservice.RemoveSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: []string{"OrderId"},
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return order().Status == keyturn.OrderCompleted }, 2*time.Minute,
		200*time.Millisecond)
	require.Eventually(t, func() bool { return len(open()) == 0 }, time.Minute, 200*time.Millisecond,
		"it closes by itself")
	for _, address := range []string{api, apiHealth, workerHealth} {
		require.Contains(t, must(t, env, "health", "http://"+address), "ok; database: ok; Temporal: ok")
	}
	require.Equal(t, "Temporal's namespace has the search attributes",
		strings.Split(must(t, env, "migrate"), "\n")[1])
	for line := range strings.Lines(worker.output()) {
		require.True(t, json.Valid([]byte(line)), line)
	}
}

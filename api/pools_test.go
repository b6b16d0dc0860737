package api_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/client"
)

func TestKeysAreImportedOncePerLine(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	post := func(name, media, body string, status int, contains ...string) scenario {
		return scenario{name, "POST", "/v1/pools/keys/batches", []string{"Content-Type", media}, body, status, contains, nil}
	}
	b.play(t, []scenario{
		{
			"a dry run", "POST", "/v1/pools/keys/batches?dryRun=true",
			[]string{"Content-Type", "text/plain"},
			"A\nB", 200,
			[]string{`"accepted":2`, `"dryRun":true`},
			[]string{"batchId"},
		},
		post("plain text", "text/plain", "A\r\n\n  B  \nA\n", 200, `"accepted":2`, `"line":4,"reason":"duplicate_in_file"`,
			`"counts":{"duplicate_in_file":1}`, `"batchId"`, `"served":0`),
		post("the same again", "text/plain; charset=utf-8", "A\nB\n", 200, `"accepted":0`, `"duplicate_in_pool":2`),
		post("byte-order mark", "text/plain", "\xEF\xBB\xBFC", 200, `"accepted":1`),
		post("a key with everything in it", "text/plain", `D<&>"',`, 200, `"accepted":1`),
		post("control characters and a key of 10 MB", "text/plain", "E\x7f\n"+strings.Repeat("F", 10<<20)+"\nG", 422,
			"line 1", "malformed", "line 2", "too_long", "nothing was stored"),
		{
			"skipping bad lines", "POST", "/v1/pools/keys/batches?skipBad=true",
			[]string{"Content-Type", "text/plain"},
			"E\x7f\n" + strings.Repeat("F", 10<<20) + "\nG", 200,
			[]string{`"malformed":1`, `"too_long":1`, `"accepted":1`},
			nil,
		},
		{
			"CSV by name", "POST", "/v1/pools/keys/batches?column=key&expiryColumn=until",
			[]string{"Content-Type", "text/csv"},
			"id;Key;until\r\n1;\"P;1\";2999-01-31\r\n2;Q;\r\n", 200,
			[]string{`"accepted":2`},
			nil,
		},
		{
			"CSV without that name", "POST", "/v1/pools/keys/batches?column=key",
			[]string{"Content-Type", "text/csv"},
			"SECRET-1,1\n", 422,
			[]string{"column"},
			[]string{"SECRET"},
		},
		{
			"CSV by number", "POST", "/v1/pools/keys/batches?column=2&header=true",
			[]string{"Content-Type", "text/csv"},
			"id,Key\n1,R\n", 200,
			[]string{`"accepted":1`},
			nil,
		},
		{
			"a key that expired", "POST", "/v1/pools/keys/batches?column=1&expiryColumn=2",
			[]string{"Content-Type", "text/csv"},
			"S,2001-01-01\n", 422,
			[]string{"line 1", "expired"},
			nil,
		},
		{
			"text has no columns", "POST", "/v1/pools/keys/batches?column=2",
			[]string{"Content-Type", "text/plain"},
			"S", 422,
			[]string{"text/csv"},
			nil,
		},
		post("CSV", "text/csv", "H\n\"I,1\"\n\"J\"\"2\"\n", 200, `"accepted":3`),
		post("CSV of two columns", "text/csv", "K\nL;M,N\n", 422, "line 2"),
		post("CSV with an open quote", "text/csv", "\"K\nL\n", 422, "line 1"),
		post("CSV with a quote inside", "text/csv", "\"K\"L\"\n", 422, "line 1"),
		post("no keys", "text/plain", " \n\n", 422, "one key per line"),
		post("UTF-16", "text/plain", "\xff\xfeA\x00\n\x00", 422, "line 1"),
		post("another media type", "application/json", "[]", 415, "text/plain"),
		post("another character set", "text/plain; charset=utf-16", "A", 415),
		{"unknown pool", "POST", "/v1/pools/none/batches", []string{"Content-Type", "text/plain"}, "A", 404, nil, nil},
		{"no pool at all", "POST", "/v1/pools/%00/batches", []string{"Content-Type", "text/plain"}, "A", 400, nil, nil},
		{
			"dry run of neither", "POST", "/v1/pools/keys/batches?dryRun=maybe",
			[]string{"Content-Type", "text/plain"},
			"A",
			400,
			[]string{"dryRun"},
			nil,
		},
	})
	pool, err := b.client().Pool(t.Context(), "keys")
	require.NoError(t, err)
	require.Equal(t, int64(11), pool.Stock.Available, "A B C D G P Q R and three of the CSV")
	require.Len(t, pool.Batches, 7)
	require.Equal(t, "dev", pool.Batches[0].CreatedBy)
}

func TestAnImportThatBreaksOffStoresNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.URL, "http://"))
	require.NoError(t, err)
	_, err = io.WriteString(conn, "POST /v1/pools/keys/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+devToken+
		"\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\nA\nB\n")
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.NotContains(t, string(answer), " 200 ")
	pool, err := b.client().Pool(t.Context(), "keys")
	require.NoError(t, err)
	require.Zero(t, pool.Stock.Available)
	require.Empty(t, pool.Batches)
}

// More than fits between the two ends has been sent, so the server has read a good part of it. Nobody but the one who
// sends it waits for the rest.
func TestASlowUploadHoldsNoTransaction(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	watch, err := sqlx.Open("postgres", b.dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = watch.Close() })
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.URL, "http://"))
	require.NoError(t, err)
	_, err = io.WriteString(conn, "POST /v1/pools/keys/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+devToken+
		"\r\nContent-Type: text/plain\r\nContent-Length: 1000000000\r\n\r\n")
	require.NoError(t, err)
	filler := strings.Repeat("x", keyturn.MaxKeyLength-8)
	for i := range 5000 { // 20 MB
		_, err := fmt.Fprintf(conn, "%08d%s\n", i, filler)
		require.NoError(t, err)
	}
	var under int
	require.NoError(t, watch.Get(&under, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
		AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL`))
	require.Zero(t, under, "transactions under way")
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Contains(t, string(answer), " 400 ")
	require.Contains(t, string(answer), "the keys stopped coming at line 5001, nothing was stored")
	pool, err := b.client().Pool(t.Context(), "keys")
	require.NoError(t, err)
	require.Empty(t, pool.Batches)
}

func TestTheClientImportsWithProgress(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sell(t)
	var read int64
	keys := strings.Repeat("x", 10) + "\n" + strings.Repeat("y", 10)
	result, err := b.client().ImportKeys(t.Context(), "keys",
		client.Progress(strings.NewReader(keys), func(n int64) { read = n }), client.ImportOptions{})
	require.NoError(t, err)
	require.Equal(t, 2, result.Accepted)
	require.Equal(t, int64(len(keys)), read)
	_, err = b.client().ImportKeys(t.Context(), "none", strings.NewReader(keys), client.ImportOptions{DryRun: true})
	require.Equal(t, keyturn.KindNotFound, keyturn.KindOf(err))
}

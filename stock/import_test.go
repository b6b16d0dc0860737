package stock_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/stock"
)

// noKeys forgets all that was imported.
func (s *store) noKeys() {
	s.t.Helper()
	for _, table := range []string{"pool_keys", "batches"} {
		s.exec(`DELETE FROM ` + table)
	}
	s.exec(`UPDATE pool_stock SET available = 0`)
}

func TestImportOfEveryKindOfFile(t *testing.T) {
	s := newStore(t)
	long := strings.Repeat("k", keyturn.MaxKeyLength)
	for i, c := range []struct {
		name, file string
		keys       []string
		rejected   map[int]string // by line
	}{
		{"line feeds", "a\nb\nc\n", []string{"a", "b", "c"}, nil},
		{"no last line feed", "a\nb", []string{"a", "b"}, nil},
		{"one key", "a", []string{"a"}, nil},
		{"Windows", "a\r\nb\r\n", []string{"a", "b"}, nil},
		{"byte-order mark", "\uFEFFa\nb", []string{"a", "b"}, nil},
		{"blank lines", "\n\na\n\n  \nb\n\n", []string{"a", "b"}, nil},
		{"blanks and tabs around", "  a\t\n\tb  \n\u00a0c\u00a0", []string{"a", "b", "c"}, nil},
		{"blanks inside", "a b\nc  d", []string{"a b", "c  d"}, nil},
		{
			"what HTML, CSV and JSON trip over", "<&>\"'\na,b;c\n{\"k\":1}\n\\\\\n=1+1\n%00\n'; DROP TABLE pool_keys",
			[]string{"<&>\"'", "a,b;c", `{"k":1}`, `\\`, "=1+1", "%00", "'; DROP TABLE pool_keys"},
			nil,
		},
		{"other scripts", "ключ-1\n鍵-2\n🔑", []string{"ключ-1", "鍵-2", "🔑"}, nil},
		{"the longest", long, []string{long}, nil},
		{"too long", long + "k\na", []string{"a"}, map[int]string{1: "too_long"}},
		{"far too long", "a\n" + strings.Repeat("k", 10<<20) + "\nb", []string{"a", "b"}, map[int]string{2: "too_long"}},
		{
			"long in the bytes of a character", strings.Repeat("鍵", 4096) + "\n" + strings.Repeat("🔑", 4097),
			[]string{strings.Repeat("鍵", 4096)},
			map[int]string{2: "too_long"},
		},
		{
			"twice in the file", "a\nb\na\na",
			[]string{"a", "b"},
			map[int]string{3: "duplicate_in_file", 4: "duplicate_in_file"},
		},
		{"twice but for blanks", "a\n a ", []string{"a"}, map[int]string{2: "duplicate_in_file"}},
		{"two keys but for case", "a\nA", []string{"a", "A"}, nil},
		{
			"control characters", "a\nb\x07\nc\x7f\n\x1b[31md",
			[]string{"a"},
			map[int]string{2: "malformed", 3: "malformed", 4: "malformed"},
		},
		{"text that hides its direction", "a\u202eb", []string{}, map[int]string{1: "malformed"}},
		{"the Macintosh of 1984", "a\rb\rc", []string{"a", "b", "c"}, nil},
		{"what nobody sees around keys", "\u200ba\u200e\n\u2060\n\u202ab\u202c\n", []string{"a", "b"}, nil},
		{"what nobody sees inside", "a\u200bb\na\u00adb\nc", []string{"c"}, map[int]string{1: "malformed", 2: "malformed"}},
		{"the same but for what nobody sees", "a\na\u200b\n", []string{"a"}, map[int]string{2: "duplicate_in_file"}},
		{"files put together", "\uFEFFa\n\uFEFFb\n\uFEFF\n", []string{"a", "b"}, nil},
	} {
		pool := fmt.Sprint("p", i)
		s.pool(pool)
		_, err := s.Import(s.ctx, stock.ImportInput{Pool: pool, File: strings.NewReader(c.file), By: "ops"})
		if bad := badLines(c.rejected); len(bad) > 0 {
			requireKind(t, err, keyturn.KindInvalid, bad...)
			require.Empty(t, s.keysIn(pool), c.name)
			_, err = s.Import(s.ctx, stock.ImportInput{
				Pool: pool, File: strings.NewReader(c.file), By: "ops", SkipBad: true,
				DryRun: true,
			})
		}
		require.NoError(t, err, c.name)
		s.noKeys()
		r, err := s.Import(s.ctx, stock.ImportInput{Pool: pool, File: strings.NewReader(c.file), By: "ops", SkipBad: true})
		require.NoError(t, err, c.name)
		require.Equal(t, c.keys, s.keysIn(pool), c.name)
		require.Equal(t, len(c.keys), r.Accepted, c.name)
		got := map[int]string{}
		for _, rejected := range r.Rejected {
			got[rejected.Line] = rejected.Reason
		}
		require.Len(t, got, len(c.rejected), c.name)
		for line, reason := range c.rejected {
			require.Equal(t, reason, got[line], "%s, line %d", c.name, line)
		}
		s.noKeys()
	}
}

// badLines are the places that refuse a file as a whole.
func badLines(rejected map[int]string) (at []string) {
	for _, line := range slices.Sorted(maps.Keys(rejected)) {
		if _, bad := keyturn.RowReasons[rejected[line]]; bad {
			at = append(at, fmt.Sprint("line ", line))
		}
	}
	return at
}

// The files of testdata, as they came from spreadsheets and publishers: exactly these keys are imported, or the refusal
// names this.
func TestImportOfFilesFromTheField(t *testing.T) {
	s := newStore(t)
	for i, c := range []struct {
		file  string
		in    stock.ImportInput
		keys  []string
		at    string // what the refusal names
		until []string
	}{
		{
			"keys-blank-first-line.csv",
			stock.ImportInput{Column: "key", ExpiryColumn: "expires"},
			[]string{"Z008-1", "Z008-2"},
			"",
			[]string{"2031-01-02", "2031-01-02"},
		},
		{"keys-blank-first-line.csv", stock.ImportInput{Column: "key"}, []string{"Z008-1", "Z008-2"}, "", nil},
		{"keys-blank-first-line.csv", stock.ImportInput{}, nil, "column", nil},
		{
			"keys-blank-first-line.csv",
			stock.ImportInput{Column: "key", ExpiryColumn: "valid until"},
			nil, "expiryColumn",
			nil,
		},
		{"keys-header.csv", stock.ImportInput{}, nil, "header", nil},
		{"keys-header.csv", stock.ImportInput{SkipBad: true}, nil, "header", nil},
		{"keys-header.csv", stock.ImportInput{Column: "1"}, nil, "header", nil},
		{"keys-header.csv", stock.ImportInput{Header: keyturn.HeaderYes}, []string{"K42AE9E-1", "K42AE9E-2"}, "", nil},
		{"keys-header.csv", stock.ImportInput{Column: "license key 42ae9e"}, []string{"K42AE9E-1", "K42AE9E-2"}, "", nil},
		{
			"keys-header.csv",
			stock.ImportInput{Header: keyturn.HeaderNo},
			[]string{"License Key 42AE9E", "K42AE9E-1", "K42AE9E-2"},
			"", nil,
		},
		{
			"keys-multiline.csv",
			stock.ImportInput{Column: "key"},
			[]string{"-----BEGIN LICENSE-----\nZ024\n-----END LICENSE-----"},
			"", nil,
		},
		{
			"keys-multiline.csv",
			stock.ImportInput{Column: "1", Header: keyturn.HeaderYes},
			[]string{"-----BEGIN LICENSE-----\nZ024\n-----END LICENSE-----"},
			"", nil,
		},
		{"keys-multiline.csv", stock.ImportInput{Column: "1"}, nil, "header", nil},
		{"keys-multiline.csv", stock.ImportInput{}, nil, "column", nil},
		{"keys-sep-line.csv", stock.ImportInput{}, nil, "column", nil},
		{"keys-sep-line.csv", stock.ImportInput{Column: "1"}, []string{"Z006-1", "Z006-2"}, "", nil},
		{"keys-sep-line.csv", stock.ImportInput{Column: "key"}, nil, "column", nil},
		{"keys-tab-empty-first.csv", stock.ImportInput{Column: "key"}, []string{"Z017-1", "Z017-2"}, "", nil},
		{
			"keys-tab-empty-first.csv",
			stock.ImportInput{Column: "2", Header: keyturn.HeaderYes},
			[]string{"Z017-1", "Z017-2"},
			"", nil,
		},
		{"keys-tab-empty-first.csv", stock.ImportInput{Column: "2"}, nil, "header", nil},
		{
			"keys-tab-empty-last.csv",
			stock.ImportInput{Column: "key", ExpiryColumn: "expires"},
			[]string{"Z018-1", "Z018-2"},
			"",
			[]string{"", "2031-01-02"},
		},
		{"keys-tab-empty-last.csv", stock.ImportInput{}, nil, "column", nil},
	} {
		pool, what := fmt.Sprint("f", i), fmt.Sprintf("%s %+v", c.file, c.in)
		s.pool(pool)
		c.in.Pool, c.in.CSV, c.in.By, c.in.DryRun = pool, true, "ops", true
		for range 2 { // first as a dry run
			file, err := os.Open(filepath.Join("testdata", c.file))
			require.NoError(t, err)
			c.in.File = file
			r, err := s.Import(s.ctx, c.in)
			require.NoError(t, file.Close())
			if c.at != "" {
				requireKind(t, err, keyturn.KindInvalid, c.at)
				require.Empty(t, s.keysIn(pool), what)
			} else {
				require.NoError(t, err, what)
				require.Equal(t, len(c.keys), r.Accepted, what)
				require.Equal(t, len(c.keys), r.Preview.Rows, what)
			}
			if c.in.DryRun {
				require.Empty(t, s.keysIn(pool), what)
			}
			c.in.DryRun = false
		}
		if c.at == "" {
			require.Equal(t, c.keys, s.keysIn(pool), what)
		}
		for j, until := range c.until {
			require.Equal(t, 1, s.count(fmt.Sprintf(`SELECT count(*) FROM (SELECT coalesce(to_char(expires_at AT TIME ZONE 'UTC',
				'YYYY-MM-DD'), '') AS until FROM pool_keys WHERE pool_id = '%s' ORDER BY position OFFSET %d LIMIT 1) k
				WHERE until = '%s'`, pool, j, until)), what)
		}
		s.noKeys()
	}
}

func TestImportRefusesWhatIsNoText(t *testing.T) {
	s := newStore(t)
	s.pool("p")
	for _, c := range []struct{ name, file, at string }{
		{"empty", "", "body"},
		{"blank lines only", "\n\r\n  \n", "body"},
		{"a byte-order mark only", "\ufeff", "body"},
		{"binary", "a\nb\n\x89PNG\r\n\x1a\n\x00\xff", "line 3"},
		{"NUL", "a\n\x00", "line 2"},
		{"UTF-16, little end first", "\xff\xfea\x00\n\x00", "line 1"},
		{"UTF-16, big end first", "\xfe\xff\x00a\x00\n", "line 1"},
		{"UTF-16 without a mark", "a\x00\n\x00b\x00", "line 1"},
		{"Latin-1", "a\ncl\xe9", "line 2"},
		{
			"bad after many good ones", strings.Join(keysNamed("K", 2*importChunk), "\n") + "\n\xff",
			fmt.Sprint("line ", 2*importChunk+1),
		},
	} {
		_, err := s.Import(s.ctx, stock.ImportInput{Pool: "p", File: strings.NewReader(c.file), By: "ops"})
		requireKind(t, err, keyturn.KindInvalid, c.at)
	}
	require.Zero(t, s.count(`SELECT (SELECT count(*) FROM pool_keys) + (SELECT count(*) FROM batches)`),
		"nothing was stored")
	_, err := s.Import(s.ctx, stock.ImportInput{Pool: "no-such-pool", File: strings.NewReader("a"), By: "ops"})
	requireKind(t, err, keyturn.KindNotFound)
}

func TestImportOfTheSameKeysAgainAddsNothing(t *testing.T) {
	s := newStore(t)
	s.pool("p")
	s.pool("q")
	s.keys("p", "a", "b")
	r, err := s.Import(s.ctx, stock.ImportInput{Pool: "p", File: strings.NewReader("a\nb"), By: "ops"})
	require.NoError(t, err)
	require.Zero(t, r.Accepted)
	require.Empty(t, r.BatchID)
	require.Equal(t, map[string]int{"duplicate_in_pool": 2}, r.Counts)

	r, err = s.Import(s.ctx, stock.ImportInput{Pool: "q", File: strings.NewReader("a\nc\nc"), By: "ops"})
	require.NoError(t, err)
	require.Equal(t, 1, r.Accepted)
	require.Equal(t, map[string]int{"duplicate_in_other_pool": 1, "duplicate_in_file": 1}, r.Counts)
	require.ElementsMatch(t, []keyturn.RejectedKey{
		{Line: 1, Reason: "duplicate_in_other_pool"},
		{Line: 3, Reason: "duplicate_in_file"},
	}, r.Rejected)
	require.Len(t, s.view("p").Batches, 1, "a batch without a new key leaves no trace")
}

type brokenReader struct{ good io.Reader }

func (b brokenReader) Read(p []byte) (int, error) {
	n, err := b.good.Read(p)
	if errors.Is(err, io.EOF) {
		err = errors.New("the connection was lost")
	}
	return n, err
}

func TestImportThatBreaksOffStoresNothing(t *testing.T) {
	s := newStore(t)
	s.pool("p")
	file := strings.Join(keysNamed("K", importChunk+7), "\n")
	_, err := s.Import(s.ctx, stock.ImportInput{Pool: "p", File: brokenReader{strings.NewReader(file)}, By: "ops"})
	requireKind(t, err, keyturn.KindInvalid)
	require.Empty(t, s.keysIn("p"))
	require.Equal(t, importChunk+7, s.keys("p", keysNamed("K", importChunk+7)...).Accepted, "the whole file again is fine")
}

// Rejected lines are all counted, and a thousand are listed, in the order of the file.
func TestImportListsItsRejections(t *testing.T) {
	s := newStore(t)
	s.pool("p")
	s.keys("p", keysNamed("K", 3000)...)
	file := strings.Join(keysNamed("K", 3000), "\n\x07\n")
	r, err := s.Import(s.ctx, stock.ImportInput{Pool: "p", File: strings.NewReader(file), By: "ops", SkipBad: true})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"duplicate_in_pool": 3000, "malformed": 2999}, r.Counts)
	require.Len(t, r.Rejected, 1000)
	for i, k := range r.Rejected {
		require.Equal(t, i+1, k.Line, "the first ones")
		require.Equal(t, []string{keyturn.RowDuplicateInPool, keyturn.RowMalformed}[i%2], k.Reason)
	}

	r, err = s.Import(s.ctx, stock.ImportInput{
		Pool: "p", File: strings.NewReader("K-00000\n\x07\nK-00001\nnew\nnew"),
		By: "ops", DryRun: true,
	})
	require.NoError(t, err)
	require.Equal(t, []keyturn.RejectedKey{
		{Line: 1, Reason: "duplicate_in_pool"},
		{Line: 2, Reason: "malformed"},
		{Line: 3, Reason: "duplicate_in_pool"},
		{Line: 5, Reason: "duplicate_in_file"},
	}, r.Rejected)
}

// lineReader makes n keys as they are read, so that nothing but the import holds them.
type lineReader struct{ n, i int }

func (r *lineReader) Read(p []byte) (int, error) {
	if r.i == r.n {
		return 0, io.EOF
	}
	n := 0
	for r.i < r.n && n+16 <= len(p) {
		n += copy(p[n:], fmt.Sprintf("KEY-%010d\n", r.i))
		r.i++
	}
	return n, nil
}

func TestImportStreamsInBoundedMemory(t *testing.T) {
	s := newStore(t)
	s.pool("p")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := s.Import(s.ctx, stock.ImportInput{Pool: "p", File: &lineReader{n: 100_000}, By: "ops"})
	require.NoError(t, err)
	require.Equal(t, 100_000, r.Accepted)
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(64<<20),
		"other tests run at the same time, so this is a coarse bound")
	require.EqualValues(t, 100_000, s.view("p").Stock.Available)
}

// Two people import the same file at the same moment: each key once, and whoever came second is told.
func TestConcurrentImportsOfTheSameKeys(t *testing.T) {
	s := newStore(t)
	s.pool("p")
	file := []byte(strings.Join(keysNamed("K", 500), "\n"))
	results := make([]keyturn.ImportResult, 4)
	for _, err := range atOnce(4, func(i int) (err error) {
		results[i], err = s.Import(s.ctx, stock.ImportInput{Pool: "p", File: bytes.NewReader(file), By: "ops"})
		return err
	}) {
		require.NoError(t, err)
	}
	accepted := 0
	for _, r := range results {
		accepted += r.Accepted
		require.Equal(t, 500, r.Accepted+r.Counts["duplicate_in_pool"])
	}
	require.Equal(t, 500, accepted)
}

package stock

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// readFile reads a whole file: the good keys in order, why other rows are bad, by line, and how it was read.
func readFile(in ImportInput) (keys []string, bad map[int]string, p *keyturn.ImportPreview, err error) {
	f, err := newKeyFile(in, keyturn.Pool{})
	bad = map[int]string{}
	for err == nil {
		var row keyRow
		if row, err = f.next(); err != nil {
			break
		}
		if row.bad != "" {
			bad[row.line] = row.bad
			continue
		}
		if !row.expires.IsZero() {
			row.key += " until " + row.expires.Format("2006-01-02")
		}
		keys = append(keys, row.key)
	}
	if errors.Is(err, io.EOF) {
		return keys, bad, f.preview(), nil
	}
	return keys, bad, nil, err
}

// Files as they come from spreadsheets, publishers and scripts.
func TestKeyFilesFromTheField(t *testing.T) {
	t.Parallel()
	csv := func(column, expiry string) ImportInput {
		return ImportInput{CSV: true, Column: column, ExpiryColumn: expiry}
	}
	with := func(header keyturn.HeaderRow, in ImportInput) ImportInput {
		in.Header = header
		return in
	}
	text := ImportInput{}
	for _, c := range []struct {
		name, file string
		in         ImportInput
		keys       []string
		bad        map[int]string
	}{
		{
			"Excel, European", "\ufeffKey;Valid until;Price\r\nA-1;2031-01-01;1,50\r\nA-2;;1,75\r\n", csv("key", "valid until"),
			[]string{"A-1 until 2031-01-02", "A-2"},
			nil,
		},
		{
			"Excel, American", "Key,Valid until\r\nA-1,2031-01-01\r\nA-2,\r\n", csv("KEY", "Valid until"),
			[]string{"A-1 until 2031-01-02", "A-2"},
			nil,
		},
		{"Excel's empty rows at the end", "key;note\r\nA-1;x\r\n;\r\n;\r\n", csv("key", ""), []string{"A-1"}, nil},
		{"a separator of its own", "sep=|\r\nkey|note\r\nA-1|x;y,z\r\n", csv("key", ""), []string{"A-1"}, nil},
		{"a line that names the separator in quotes", "\"sep=;\"\nkey;note\nA-1;x\n", csv("key", ""), []string{"A-1"}, nil},
		{
			"blank lines, a separator line, blank lines", "\n \nSEP=;\n\nkey;note\nA-1;x\n", csv("key", ""),
			[]string{"A-1"},
			nil,
		},
		{"tabs, the first field empty", "note\tkey\n\tA-1\nx\tA-2\n", csv("key", ""), []string{"A-1", "A-2"}, nil},
		{
			"tabs, the last field empty", "key\texpires\nA-1\t\nA-2\t2031-01-01\n", csv("key", "expires"),
			[]string{"A-1", "A-2 until 2031-01-02"},
			nil,
		},
		{
			"a column without a name, as of data frames", ",key,seats\n0,A-1,5\n1,A-2,7\n", csv("key", ""),
			[]string{"A-1", "A-2"},
			nil,
		},
		{"decimal commas between semicolons", "1,50;A-1\n2,75;A-2\n", with("no", csv("2", "")), []string{"A-1", "A-2"}, nil},
		{"commas in the header", "Price, net;Key, Pro;Note\n1;A-1;x\n", csv("Key, Pro", ""), []string{"A-1"}, nil},
		{"old Macintosh", "key,note\rA-1,x\rA-2,y\r", csv("key", ""), []string{"A-1", "A-2"}, nil},
		{"text of an old Macintosh", "A-1\rA-2\rA-3", text, []string{"A-1", "A-2", "A-3"}, nil},
		{"line ends of every kind", "A-1\nA-2\r\nA-3\rA-4\n\r\nA-5", text, []string{"A-1", "A-2", "A-3", "A-4", "A-5"}, nil},
		{"no line end at the end", "key,note\nA-1,x\nA-2,y", csv("key", ""), []string{"A-1", "A-2"}, nil},
		{"a quoted key at the very end", "key\n\"A-1\"", csv("key", ""), []string{"A-1"}, nil},
		{
			"quotes, separators and blanks in keys", "key,note\n\"A\"\"1\"\"\",x\n\"A,2\",y\n\" A 3 \",z\nA'4,w\n",
			csv("key", ""),
			[]string{`A"1"`, "A,2", "A 3", "A'4"},
			nil,
		},
		{"blanks before quotes", "key, note\n\"A-1\", \"x, y\"\n", csv("key", ""), []string{"A-1"}, nil},
		{
			"keys of several lines", "key,seats\r\n\"-----BEGIN X-----\r\n\r\nQUFB\r\n-----END X-----\r\n\",5\r\n\"B\nC\",7\r\n",
			csv("key", ""),
			[]string{"-----BEGIN X-----\n\nQUFB\n-----END X-----", "B\nC"},
			nil,
		},
		{"a name of two lines", "\"license\nkey\",seats\nA-1,5\n", csv("license key", ""), []string{"A-1"}, nil},
		{
			"a row that lacks the key, a row that lacks columns, a row with more",
			"note,key,exp\nx,,\nx\n1,5,A-1,2031-01-01\nx,A-2,\n",
			csv("key", "exp"),
			[]string{"A-2"},
			map[int]string{2: keyturn.RowMalformed, 3: keyturn.RowMalformed, 4: keyturn.RowMalformed},
		},
		{
			"lines are those of the file", "\n\"key\nname\",exp\n\n\"A\n1\",\nA-2,tomorrow\n", csv("key name", "exp"),
			[]string{"A\n1"},
			map[int]string{7: keyturn.RowBadExpiry},
		},
		{
			"files put together", "key,note\nA-1,x\nkey,note\nA-2,y\n", csv("key", ""),
			[]string{"A-1", "A-2"},
			map[int]string{3: keyturn.RowMalformed},
		},
		{"a header that is no header by look", "A-0,x\nA-1,y\n", with("yes", csv("1", "")), []string{"A-1"}, nil},
		{
			"a key that is a header by look", "license key\nA-1\nA-2\n", with("no", csv("", "")),
			[]string{"license key", "A-1", "A-2"},
			nil,
		},
		{"text with a header", "License keys\nA-1\n", with("yes", text), []string{"A-1"}, nil},
		{"text below blank lines and a header", "\n \ufeff\nLicense keys\nA-1\n", with("yes", text), []string{"A-1"}, nil},
		{"one column without a name", "A-1\nA-2\n", csv("", ""), []string{"A-1", "A-2"}, nil},
		{"one column and separators at the end", "A-1;\nA-2;\n", csv("", ""), []string{"A-1", "A-2"}, nil},
		{
			"a long first row that is the header", strings.Repeat("k", 5000) + "\nA-1\n", with("yes", csv("1", "")),
			[]string{"A-1"},
			nil,
		},
		{
			"a long first row that is not", strings.Repeat("k", 5000) + "\nA-1\n", csv("1", ""),
			[]string{"A-1"},
			map[int]string{1: keyturn.RowTooLong},
		},
		{"keys that count", "K-9\nK-10\nK-11\nK-100\n", text, []string{"K-9", "K-10", "K-11", "K-100"}, nil},
		{"keys of the same words", "KEY-A\nKEY-B\nKEY-C\n", text, []string{"KEY-A", "KEY-B", "KEY-C"}, nil},
		{"short codes", "ABCDEF\nA1B2C3\nAB12CD\n", text, []string{"ABCDEF", "A1B2C3", "AB12CD"}, nil},
		{
			"a key of the same series in another shape", "GAME-\"1\"\nGAME-2\nGAME-3\n", text,
			[]string{`GAME-"1"`, "GAME-2", "GAME-3"},
			nil,
		},
		{"one key", "KEY", with("no", text), []string{"KEY"}, nil},
		{
			"links", "https://a.test/r?k=1&x=2\nhttps://a.test/r?k=2&x=3\n", text,
			[]string{"https://a.test/r?k=1&x=2", "https://a.test/r?k=2&x=3"},
			nil,
		},
	} {
		c.in.File = strings.NewReader(c.file)
		keys, bad, _, err := readFile(c.in)
		require.NoError(t, err, c.name)
		require.Equal(t, c.keys, keys, c.name)
		if c.bad == nil {
			c.bad = map[int]string{}
		}
		require.Equal(t, c.bad, bad, c.name)
		for _, slow := range []int{1, 3} { // however it comes in
			c.in.File = &slowReader{c.file, slow}
			again, _, _, err := readFile(c.in)
			require.NoError(t, err, c.name)
			require.Equal(t, keys, again, c.name)
		}
	}
}

// slowReader gives a few bytes at a time.
type slowReader struct {
	text string
	n    int
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.text == "" {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.n)], r.text)
	r.text = r.text[n:]
	return n, nil
}

// What is not a file of keys as the options say is refused, and the error names the option or the line.
func TestKeyFilesThatAreRefused(t *testing.T) {
	t.Parallel()
	const secret = "QX7F-99PL-S3CR"
	csv := func(column, expiry string) ImportInput {
		return ImportInput{CSV: true, Column: column, ExpiryColumn: expiry}
	}
	for _, c := range []struct {
		name, file string
		in         ImportInput
		at, says   string
	}{
		{
			"no such column", "note;key;seats\nx;" + secret + ";5\n", csv("code", ""), "column",
			"no column code: its first row has 3 columns, separated by ';': note, key, seats",
		},
		{"no such column by number", "note;key\nx;" + secret + "\n", csv("3", ""), "column", "no column 3: it has 2 columns"},
		{
			"no such column for the expiry", "key;seats\n" + secret + ";5\n", csv("key", "expires"), "expiryColumn",
			"no column expires: its first row has 2 columns, separated by ';': key, seats",
		},
		{"no header at all", secret + ";5\nAAAA-AAAA-AAAA;7\n", csv("key", ""), "column", "separated by ';': 1, 2"},
		{"two columns of one name", "key;key\n" + secret + ";5\n", csv("key", ""), "column", "2 columns named key"},
		{
			"columns without a choice", "key;expires\n" + secret + ";2031-01-01\n", csv("", ""), "column",
			"is required, by name or by number from 1: the file has 2 columns, separated by ';': key, expires",
		},
		{"a separator line and no choice", "sep=;\n" + secret + ";x\n", csv("", ""), "column", "is required"},
		{
			"a name and no header", "key;seats\n" + secret + ";5\n",
			ImportInput{CSV: true, Column: "key", Header: "no"},
			"header",
			"given by its name",
		},
		{"columns of a text file", secret, ImportInput{Column: "key"}, "column", "only a CSV file"},
		{"an expiry and no key", "a;b\n", csv("", "b"), "column", "is required"},
		{"what may be a header", "License Key\n" + secret + "\nAAAA-AAAA-AAAA\n", csv("", ""), "header", "yes skips line 1"},
		{"what may be a header of text", "\n\nLicense Key\n" + secret + "\n", ImportInput{}, "header", "yes skips line 3"},
		{"what may be a header of one word", "licenseKey\n" + secret + "\n", ImportInput{}, "header", "yes"},
		{"what may be a header by its look", "Produkt\n" + secret + "\nAAAA-AAAA-AAAA\n", ImportInput{}, "header", "yes"},
		{"what may be a header by its length", "Produkt\nAB12CD34\nEF56GH78\n", ImportInput{}, "header", "yes"},
		{"what may be a header in German", "Lizenzschlüssel\n" + secret + "\n", ImportInput{}, "header", "yes"},
		{"what may be a header of a numbered column", "id,serial\n1," + secret + "\n", csv("2", ""), "header", "yes"},
		{"a header alone", "License key", ImportInput{}, "header", "yes"},
		{"a column too many", "A-1\nA-2,x\n", csv("", ""), "line 2", "one key"},
		{
			"a quote without its end", "key,note\n\"" + secret + ",x\nA-2,y\n", csv("key", ""), "line 2",
			"quote without its end",
		},
		{"a quote inside", "key,note\nA-1,x\n" + secret + "\"2,y\n", csv("key", ""), "line 3", "quote"},
		{"text after a quote", "key\n\"A\"-1\n", csv("key", ""), "line 2", "quote"},
		{
			"a quote without its end in a large file", "key\n\"" + strings.Repeat(secret+"\n", 100_000), csv("key", ""),
			"line 2",
			"a quote may lack its end",
		},
		{"UTF-16", "\xff\xfek\x00e\x00y\x00", csv("key", ""), "line 1", "save the file as UTF-8"},
		{"UTF-16 without its mark", "k\x00e\x00y\x00\n\x00", csv("1", ""), "line 1", "UTF-16"},
		{"Latin-1", "key,note\nA-1,\xe9\n", csv("key", ""), "line 2", "save the file as UTF-8"},
		{"text that is CSV", "sep=;\n" + secret + "\n", ImportInput{}, "line 1", "text/csv"},
		{
			"text with keys of several lines", "A\n-----BEGIN LICENSE-----\nQUFB\n-----END LICENSE-----\n",
			ImportInput{Header: "no"},
			"line 2", "send the file as CSV",
		},
	} {
		c.in.File = strings.NewReader(c.file)
		_, _, _, err := readFile(c.in)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), "%s: %v", c.name, err)
		var e *keyturn.Error
		require.ErrorAs(t, err, &e, c.name)
		require.Len(t, e.Fields, 1, c.name)
		require.Equal(t, c.at, e.Fields[0].Location, c.name)
		require.Contains(t, e.Fields[0].Message, c.says, c.name)
		require.NotContains(t, err.Error(), secret, c.name)
	}
}

// A row without an end does not fill the memory, wherever it is, and in a text file the rest is read.
func TestKeyFilesWithARowOf100MB(t *testing.T) {
	t.Parallel()
	file := func() io.Reader {
		return io.MultiReader(strings.NewReader("A-1\n"), io.LimitReader(endless{}, 100<<20), strings.NewReader("\nA-2\n"))
	}
	keys, bad, _, err := readFile(ImportInput{File: file()})
	require.NoError(t, err)
	require.Equal(t, []string{"A-1", "A-2"}, keys)
	require.Equal(t, map[int]string{2: keyturn.RowTooLong}, bad)
	_, _, _, err = readFile(ImportInput{File: file(), CSV: true})
	require.ErrorContains(t, err, "line 2 has more than 1MiB")
	_, _, _, err = readFile(ImportInput{File: io.LimitReader(endless{}, 100<<20), CSV: true, Column: "key"})
	require.ErrorContains(t, err, "line 1 has more than 1MiB")
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'k'
	}
	return len(p), nil
}

func TestPreviewOfAnImport(t *testing.T) {
	t.Parallel()
	_, _, p, err := readFile(ImportInput{CSV: true, Column: "key", File: strings.NewReader(
		"Note;Key;QX7F-99PL\nx;ABCDE-12345-A;1\ny;ABCDE-12345-B;2\nz;see " +
			"mail;3\n;ABCDE-12345-C;4\n;ABCDE-12345;5\nx;A\x07;6\n")})
	require.NoError(t, err)
	require.Equal(t, keyturn.ImportPreview{
		FirstKey: "ABCD•-•••••-•", Header: true, Columns: []string{"Note", "Key", "3"}, Separator: ";", Rows: 6, Unlike: 2,
	}, *p)

	_, _, p, err = readFile(ImportInput{File: strings.NewReader("AAAA\nb+c/d=\n#\n")})
	require.NoError(t, err)
	require.Equal(t, keyturn.ImportPreview{FirstKey: "A•••", Rows: 3}, *p, "nothing in common")

	_, _, p, err = readFile(ImportInput{CSV: true, File: strings.NewReader("\"-----BEGIN X-----\nQUFB\n\"\n")})
	require.NoError(t, err)
	require.Equal(t, keyturn.ImportPreview{FirstKey: "-----••••• •-----…", Rows: 1}, *p)
}

func BenchmarkKeyFile(b *testing.B) {
	var text, csv strings.Builder
	csv.WriteString("note,key,expires\n")
	for i := range 100_000 {
		fmt.Fprintf(&text, "KEY-%010d\n", i)
		fmt.Fprintf(&csv, "x,KEY-%010d,2031-01-01\n", i)
	}
	for name, in := range map[string]ImportInput{
		"text": {},
		"csv":  {CSV: true, Column: "key", ExpiryColumn: "expires"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				in.File = strings.NewReader(map[bool]string{true: csv.String(), false: text.String()}[in.CSV])
				f, err := newKeyFile(in, keyturn.Pool{})
				require.NoError(b, err)
				n := 0
				for ; err == nil; n++ {
					_, err = f.next()
				}
				require.ErrorIs(b, err, io.EOF)
				require.Equal(b, 100_001, n)
			}
		})
	}
}

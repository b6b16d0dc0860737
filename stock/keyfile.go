package stock

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"keyturn.dev/keyturn"
)

// ImportInput is a file of keys for a pool.
type ImportInput struct {
	Pool string
	File io.Reader // UTF-8, with or without a byte-order mark; lines end with LF or CRLF
	By   string    // who imports, for the record

	// A CSV file has one column, the key, or the ones named here: by the name that the first line gives them, or by their
	// number from 1. Header says that the first line has names also where the columns are numbers. The separator is the
	// comma, the semicolon or the tab, whichever the first line has. A key that expires does so at a time (RFC 3339) or
	// with the end of a day (2027-01-31, UTC); an empty field says never.
	CSV          bool
	Column       string
	ExpiryColumn string
	Header       bool

	SkipBad bool // import the good rows of a file with bad ones; otherwise it is refused
	DryRun  bool // say what would happen
}

// keyRow is one row of the file. bad says why it cannot be a key of the pool.
type keyRow struct {
	line    int
	key     string
	expires time.Time // zero: never
	bad     string
}

const maxRowLength = 4*keyturn.MaxKeyLength + 4096

// keyFile reads a file row by row in constant memory. What is no key is marked; what is no such file ends it with
// KindInvalid and the line.
type keyFile struct {
	ImportInput
	in      *bufio.Reader
	line    int
	column  int // from 0, once known
	expiry  int // or -1
	comma   byte
	pattern *regexp.Regexp // nil: anything
}

func newKeyFile(in ImportInput, pool keyturn.Pool) (*keyFile, error) {
	f := &keyFile{ImportInput: in, in: bufio.NewReaderSize(in.File, 64<<10), expiry: -1, comma: ','}
	var bad keyturn.Problems
	bad.Check(in.CSV || in.Column == "" && in.ExpiryColumn == "" && !in.Header, "column",
		"only a CSV file has columns: send it as text/csv")
	bad.Check(in.ExpiryColumn == "" || in.Column != "", "column", "is required next to expiryColumn")
	f.pattern = pool.MustMatch()
	return f, bad.Err("the import is not valid")
}

// refuse says that the file is not one of keys.
func (f *keyFile) refuse(why, hint string) error {
	return &keyturn.Error{Kind: keyturn.KindInvalid, Message: why + ", nothing was stored", Fields: []keyturn.FieldError{
		{Location: "line " + strconv.Itoa(f.line), Message: hint},
	}}
}

// next gives the next row that is not empty, or io.EOF.
func (f *keyFile) next() (keyRow, error) {
	for {
		if f.line == 0 {
			if err := f.begin(); err != nil {
				return keyRow{}, err
			}
		}
		f.line++
		text, tooLong, err := readLine(f.in)
		if err != nil && !errors.Is(err, io.EOF) {
			return keyRow{}, keyturn.Errorf(keyturn.KindInvalid,
				"the keys stopped coming at line %d, nothing was stored: send all again: %w", f.line, err)
		}
		if tooLong {
			return keyRow{line: f.line, bad: keyturn.RowTooLong}, nil
		}
		if len(text) == 0 && err != nil {
			return keyRow{}, io.EOF
		}
		if bytes.IndexByte(text, 0) >= 0 {
			return keyRow{}, f.refuse("the file is not text",
				"has NUL bytes: it is binary, or UTF-16 without its mark; save it as UTF-8 text, one key per line")
		}
		if !utf8.Valid(text) {
			return keyRow{}, f.refuse("the file is not text in UTF-8",
				"has bytes that are not UTF-8 text: save the file as UTF-8, one key per line")
		}
		// files put together bring their marks along
		row, isRow, err := f.row(strings.TrimSpace(strings.TrimPrefix(string(text), "\uFEFF")))
		if isRow || err != nil {
			return row, err
		}
	}
}

// begin looks at the first bytes: text in another encoding is known by its mark.
func (f *keyFile) begin() error {
	mark, _ := f.in.Peek(2)
	if string(mark) == "\xFF\xFE" || string(mark) == "\xFE\xFF" {
		f.line = 1
		return f.refuse("the file is UTF-16", "save the file as UTF-8, one key per line")
	}
	return nil
}

// readLine reads up to a line feed and gives at most what a row can be long; the rest of a longer line is passed over.
// The text is good until the next read.
func readLine(in *bufio.Reader) (text []byte, tooLong bool, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if len(text) == 0 && !tooLong && len(part) <= maxRowLength && !errors.Is(err, bufio.ErrBufferFull) {
			return part, false, err
		}
		if len(text)+len(part) <= maxRowLength {
			text = append(text, part...)
		} else {
			tooLong = true
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if tooLong { // what was cut may end inside a character
				text = nil
			}
			return text, tooLong, err
		}
	}
}

// row makes a row of a line; a line that is empty or names the columns is none.
func (f *keyFile) row(text string) (row keyRow, isRow bool, err error) {
	row = keyRow{line: f.line, key: text}
	if text == "" {
		return row, false, nil
	}
	if f.CSV {
		fields, header, err := f.fields(text)
		if err != nil || header {
			return row, false, err
		}
		if f.column >= len(fields) || f.expiry >= len(fields) {
			row.bad = keyturn.RowMalformed
			return row, true, nil
		}
		row.key = strings.TrimSpace(fields[f.column])
		if f.expiry >= 0 {
			if row.expires, err = parseExpiry(strings.TrimSpace(fields[f.expiry])); err != nil {
				row.bad = keyturn.RowBadExpiry
				return row, true, nil //nolint:nilerr // the row is bad, the file is not
			}
		}
	}
	switch row.key, err = keyturn.CleanKey(row.key); {
	case errors.Is(err, keyturn.ErrKeyTooLong):
		row.bad = keyturn.RowTooLong
	case err != nil, row.key == "", strings.Contains(row.key, "\n"), f.pattern != nil && !f.pattern.MatchString(row.key):
		row.bad = keyturn.RowMalformed
	}
	return row, true, nil
}

// fields splits a line of CSV. The first one says what the separator is and, with Header or names, where the columns
// are.
func (f *keyFile) fields(text string) (fields []string, header bool, err error) {
	first := f.line == 1
	if first && f.Column != "" {
		f.comma = separator(text)
	}
	fields, ok := splitCSV(text, f.comma)
	switch {
	case !ok:
		return nil, false, f.refuse("the file is not CSV",
			"has a quote without its end or inside a field: a field with a quote stands in quotes and doubles it; or send "+
				"the file as text/plain")
	case f.Column == "" && len(fields) != 1:
		return nil, false, f.refuse("the file is not CSV of one column",
			"must be one key, in quotes if it has a comma or a quote; name the key's column, or send the file as text/plain")
	case !first || f.Column == "":
		return fields, false, nil
	}
	var bad keyturn.Problems
	var named bool
	f.column, named = findColumn(&bad, "column", f.Column, fields)
	header = named || f.Header
	if f.ExpiryColumn != "" {
		f.expiry, named = findColumn(&bad, "expiryColumn", f.ExpiryColumn, fields)
		header = header || named
	}
	return fields, header, bad.Err("the columns are not those of the file, nothing was stored")
}

func findColumn(bad *keyturn.Problems, at, name string, fields []string) (index int, named bool) {
	if n, err := strconv.Atoi(name); err == nil {
		bad.Check(n >= 1 && n <= len(fields), at, "the file has %d columns: it must be 1 to %d, or a name in its first line",
			len(fields), len(fields))
		return n - 1, false
	}
	for i, field := range fields {
		if strings.EqualFold(strings.TrimSpace(field), name) {
			return i, true
		}
	}
	bad.Addf(at, "the file's first line names no column %s", name)
	return 0, true
}

// separator is the first of the usual ones that stands outside quotes.
func separator(text string) byte {
	quoted := false
	for i := range len(text) {
		switch c := text[i]; c {
		case '"':
			quoted = !quoted
		case ',', ';', '\t':
			if !quoted {
				return c
			}
		}
	}
	return ','
}

// splitCSV splits one line. Fields do not go over several lines: no key does, and a quote without its end must not eat
// the file.
func splitCSV(text string, comma byte) (fields []string, ok bool) {
	for {
		text = strings.TrimLeft(text, " ")
		if !strings.HasPrefix(text, `"`) {
			field, rest, more := strings.Cut(text, string(comma))
			if strings.Contains(field, `"`) {
				return nil, false
			}
			fields = append(fields, field)
			if text = rest; !more {
				return fields, true
			}
			continue
		}
		field, rest, closed := unquote(text[1:])
		if !closed {
			return nil, false
		}
		fields = append(fields, field)
		rest = strings.TrimLeft(rest, " ")
		if rest == "" {
			return fields, true
		}
		if rest[0] != comma {
			return nil, false
		}
		text = rest[1:]
	}
}

func unquote(text string) (field, rest string, closed bool) {
	var b strings.Builder
	for {
		part, after, found := strings.Cut(text, `"`)
		b.WriteString(part)
		if !found {
			return "", "", false
		}
		if !strings.HasPrefix(after, `"`) {
			return b.String(), after, true
		}
		b.WriteByte('"')
		text = after[1:]
	}
}

// parseExpiry reads a time or a day, which ends with its last moment.
func parseExpiry(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	return time.Parse(time.RFC3339, text)
}

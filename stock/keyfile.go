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
	File io.Reader // UTF-8, with or without a byte-order mark; lines end with LF, CRLF or CR
	By   string    // who imports, for the record

	// A text file has one key per line. A CSV file (RFC 4180) has one column, the key, or the ones named here: by the name
	// that the header gives them, or by their number from 1. A key that expires does so at a time (RFC 3339) or with the
	// end of a day (2027-01-31, UTC); an empty field says never.
	CSV          bool
	Column       string
	ExpiryColumn string
	// Header says whether the first row is a header. Where it does not say and no column has a name, a first row that
	// looks like a header refuses the file: neither must a header be sold nor a key be lost.
	Header keyturn.HeaderRow

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

const (
	maxRowLength = 4*keyturn.MaxKeyLength + 4096 // of a text file
	fileBuffer   = 64 << 10
	lookAhead    = 100 // rows with which the first one is compared
)

// keyFile reads a file row by row in constant memory. What is no key is marked; what is no such file ends it with
// KindInvalid and the line.
type keyFile struct {
	ImportInput
	src      *source
	in       *bufio.Reader
	table    *table         // of a CSV file
	pattern  *regexp.Regexp // nil: anything
	line     int            // of the row that was read last
	begun    bool
	ahead    []keyRow // were read already
	aheadErr error    // comes after them
	seen     outlook
}

func newKeyFile(in ImportInput, pool keyturn.Pool) (*keyFile, error) {
	f := &keyFile{ImportInput: in, src: newSource(in.File), pattern: pool.MustMatch()}
	f.in = bufio.NewReaderSize(f.src, fileBuffer)
	var bad keyturn.Problems
	bad.Check(in.CSV || in.Column == "" && in.ExpiryColumn == "", "column",
		"only a CSV file has columns: send it as text/csv")
	bad.Check(in.ExpiryColumn == "" || in.Column != "", "column", "is required next to expiryColumn")
	return f, bad.Err("the import is not valid")
}

// refuse says that the file is not one of keys.
func (f *keyFile) refuse(line int, why, hint string) error {
	return &keyturn.Error{Kind: keyturn.KindInvalid, Message: why + ", nothing was stored", Fields: []keyturn.FieldError{
		{Location: "line " + strconv.Itoa(line), Message: hint},
	}}
}

// next gives the next row that has something in it, or io.EOF.
func (f *keyFile) next() (keyRow, error) {
	if !f.begun {
		f.begun = true
		if err := f.begin(); err != nil {
			return keyRow{}, err
		}
	}
	if len(f.ahead) == 0 {
		if f.aheadErr != nil {
			return keyRow{}, f.aheadErr
		}
		row, err := f.read()
		if err == nil {
			f.seen.add(row)
		}
		return row, err
	}
	row := f.ahead[0]
	f.ahead = f.ahead[1:]
	f.seen.add(row)
	return row, nil
}

// begin finds out what the file is and takes its header. A file whose first row looks like one is refused, unless the
// input says whether it is.
func (f *keyFile) begin() error {
	mark, _ := f.in.Peek(3)
	switch {
	case bytes.HasPrefix(mark, []byte("\xFF\xFE")), bytes.HasPrefix(mark, []byte("\xFE\xFF")):
		return f.refuse(1, "the file is UTF-16", "save the file as UTF-8, one key per line")
	case string(mark) == "\uFEFF":
		_, _ = f.in.Discard(len(mark)) // they are there
	}
	header := f.Header == keyturn.HeaderYes
	if f.CSV {
		t, err := f.openTable()
		if err != nil {
			return err
		}
		f.table, header = t, t.header != nil
	} else if header {
		if _, err := f.read(); err != nil {
			return err
		}
	}
	f.seen.header = header
	if header || f.Header == keyturn.HeaderNo {
		return nil
	}
	for len(f.ahead) < lookAhead && f.aheadErr == nil {
		var row keyRow
		if row, f.aheadErr = f.read(); f.aheadErr == nil {
			f.ahead = append(f.ahead, row)
		}
	}
	if !errors.Is(f.aheadErr, io.EOF) && f.aheadErr != nil {
		return f.aheadErr
	}
	return f.checkFirst()
}

// checkFirst refuses a file whose first key looks like a header.
func (f *keyFile) checkFirst() error {
	var line int
	var keys []string
	for _, row := range f.ahead {
		if row.bad != "" {
			continue
		}
		if line == 0 {
			line = row.line
		}
		keys = append(keys, row.key)
	}
	if len(keys) == 0 || !looksLikeHeader(keys[0], keys[1:], f.pattern == nil) {
		return nil
	}
	var bad keyturn.Problems
	bad.Addf("header", "must be yes or no: yes skips line %d as a header, no imports it as a key", line)
	return bad.Err("the first row looks like a header and not like the other keys, nothing was stored: say which it is " +
		"(header, --header)")
}

// read gives the next row, as it is in the file.
func (f *keyFile) read() (keyRow, error) {
	if f.table != nil {
		return f.table.row()
	}
	for {
		f.line++
		line, tooLong, err := readLine(f.in)
		switch {
		case f.src.broken() != nil && err != nil:
			return keyRow{}, f.brokenOff(f.line)
		case tooLong:
			return keyRow{line: f.line, bad: keyturn.RowTooLong}, nil
		case len(line) == 0 && err != nil:
			return keyRow{}, io.EOF
		}
		text := string(bytes.TrimSuffix(line, []byte("\n")))
		if err := f.checkText(f.line, text); err != nil {
			return keyRow{}, err
		}
		row := keyRow{line: f.line}
		if f.judge(&row, text); row.key == "" && row.bad == "" {
			continue
		}
		if strings.HasPrefix(row.key, "-----BEGIN ") {
			return keyRow{}, f.refuse(f.line, "the file has keys of several lines",
				"begins a key of several lines: send the file as CSV, each key in quotes")
		}
		if f.seen.rows+len(f.ahead) == 0 && separatorLine.MatchString(row.key) {
			return keyRow{}, f.refuse(f.line, "the file is CSV", "names a separator: send the file as CSV (text/csv, .csv)")
		}
		return row, nil
	}
}

func (f *keyFile) brokenOff(line int) error {
	return keyturn.Errorf(keyturn.KindInvalid,
		"the keys stopped coming at line %d, nothing was stored: send all again: %w", line, f.src.broken())
}

// checkText refuses a file that is not text in UTF-8.
func (f *keyFile) checkText(line int, text string) error {
	if strings.IndexByte(text, 0) >= 0 {
		return f.refuse(line, "the file is not text",
			"has NUL bytes: it is binary, or UTF-16 without its mark; save it as UTF-8 text, one key per line")
	}
	if !utf8.ValidString(text) {
		return f.refuse(line, "the file is not text in UTF-8",
			"has bytes that are not UTF-8 text: save the file as UTF-8, one key per line")
	}
	return nil
}

// judge makes a key of the text, or says why it is none of the pool. With nothing in it the row stays as it is.
func (f *keyFile) judge(row *keyRow, text string) {
	key, err := keyturn.CleanKey(text)
	switch {
	case errors.Is(err, keyturn.ErrKeyTooLong):
		row.bad = keyturn.RowTooLong
	case err != nil, key != "" && f.pattern != nil && !f.pattern.MatchString(key):
		row.bad = keyturn.RowMalformed
	}
	row.key = key
}

// preview says how the file was read.
func (f *keyFile) preview() *keyturn.ImportPreview {
	p := f.seen.preview()
	if f.table != nil {
		p.Columns = f.table.names(f.table.header)
		if f.table.width > 1 {
			p.Separator = string(f.table.comma)
		}
	}
	return &p
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

// parseExpiry reads a time or a day, which ends with its last moment.
func parseExpiry(text string) (time.Time, error) {
	text, err := keyturn.CleanKey(text)
	if err != nil || text == "" {
		return time.Time{}, err
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	return time.Parse(time.RFC3339, text)
}

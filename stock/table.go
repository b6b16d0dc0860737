package stock

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"keyturn.dev/keyturn"
)

// maxRecord is the longest row of a CSV file, in bytes: more is a quote without its end, or no such file.
const maxRecord = 1 << 20

// table is a CSV file of keys: the first row may name its columns.
type table struct {
	*keyFile
	csv    *csv.Reader
	comma  rune
	offset int // lines before those that csv counts

	first  []string // the first row while it is still to be read
	width  int      // how many columns it has
	header []string // the first row if it is a header
	column int      // of the key, from 0
	expiry int      // or -1
}

// openTable finds the separator, the header and the columns.
func (f *keyFile) openTable() (*table, error) {
	t := &table{keyFile: f, expiry: -1}
	t.findSeparator()
	t.csv = csv.NewReader(f.in) // takes the buffer as it is
	t.csv.Comma, t.csv.FieldsPerRecord, t.csv.ReuseRecord = t.comma, -1, true
	t.csv.TrimLeadingSpace = !unicode.IsSpace(t.comma) // it would take tabs for space
	fields, err := t.record()
	if errors.Is(err, io.EOF) {
		return t, nil // what reads it finds so
	}
	if err != nil {
		return nil, err
	}
	first := slices.Clone(fields)
	t.width = len(first)
	header, err := t.findColumns(first)
	if err != nil {
		return nil, err
	}
	if header {
		t.header = first
	} else {
		t.first = first
	}
	return t, nil
}

// record reads the next row with something in it.
func (t *table) record() ([]string, error) {
	if t.first != nil {
		fields := t.first
		t.first = nil
		return fields, nil
	}
	for {
		t.src.left = maxRecord
		fields, err := t.csv.Read()
		if err != nil {
			return nil, t.explain(err)
		}
		line, _ := t.csv.FieldPos(0)
		t.line = t.offset + line
		for _, field := range fields {
			if err := t.checkText(t.line, field); err != nil {
				return nil, err
			}
		}
		if !allBlank(fields) {
			return fields, nil
		}
	}
}

// explain says what is wrong with the file.
func (t *table) explain(err error) error {
	if t.src.broken() != nil {
		return t.brokenOff(t.line + 1)
	}
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		return t.refuse(t.offset+e.StartLine, "the file is not CSV",
			"has a quote without its end or inside a field: a field with a quote stands in quotes and doubles it; or send "+
				"the file as text/plain")
	}
	if errors.Is(err, errRowTooLong) {
		return t.refuse(t.line+1, "the file is not CSV of keys",
			"has more than "+keyturn.Bytes(maxRecord).String()+" up to its end: a quote may lack its end")
	}
	return err
}

// row makes the next row a key.
func (t *table) row() (keyRow, error) {
	fields, err := t.record()
	if err != nil {
		return keyRow{}, err
	}
	row := keyRow{line: t.line}
	switch {
	case t.Column == "" && !allBlank(fields[1:]):
		return row, t.refuse(t.line, "the file is not CSV of one column",
			"must be one key, in quotes if it has a separator or a quote; name the key's column, or send the file as text/plain")
	case !allBlank(fields[min(t.width, len(fields)):]), t.column >= len(fields), t.expiry >= len(fields):
		row.bad = keyturn.RowMalformed
		return row, nil
	}
	if t.judge(&row, fields[t.column]); row.bad != "" {
		return row, nil
	}
	if row.key == "" || t.header != nil && slices.Equal(fields, t.header) { // files put together have it again
		row.bad = keyturn.RowMalformed
		return row, nil
	}
	if t.expiry >= 0 {
		if row.expires, err = parseExpiry(fields[t.expiry]); err != nil {
			row.bad = keyturn.RowBadExpiry
		}
	}
	return row, nil
}

// allBlank says that fields have nothing in them that could be seen.
func allBlank(fields []string) bool {
	for _, field := range fields {
		if text, err := keyturn.CleanKey(field); err != nil || text != "" {
			return false
		}
	}
	return true
}

// separatorLine is what spreadsheets write and read before the first row.
var separatorLine = regexp.MustCompile(`^"?(?i:sep)=([^\s\pL\pN"]|\t)"?$`)

func namedSeparator(line []byte) rune {
	found := separatorLine.FindSubmatch(line)
	if found == nil || !utf8.Valid(line) {
		return 0
	}
	r, _ := utf8.DecodeRune(found[1])
	return r
}

// findSeparator passes over empty lines, obeys a line that names the separator, and otherwise looks for it.
func (t *table) findSeparator() {
	for {
		text, err := t.in.Peek(fileBuffer)
		used := 0
		for {
			line, _, whole := bytes.Cut(text[used:], []byte("\n"))
			if !whole && err == nil || used == len(text) { // the line is not all here
				break
			}
			named := namedSeparator(line)
			if named == 0 && len(bytes.TrimSpace(line)) > 0 {
				_, _ = t.in.Discard(used)
				t.comma = t.guessSeparator(text[used:])
				return
			}
			used = min(used+len(line)+1, len(text))
			t.offset++
			if named != 0 {
				_, _ = t.in.Discard(used)
				t.comma = named
				return
			}
		}
		_, _ = t.in.Discard(used)
		if used == 0 { // nothing more, or a line longer than all that was looked at
			t.comma = t.guessSeparator(text)
			return
		}
	}
}

// separators are those that are found without being named. Of two that fit equally well the first is taken: commas also
// stand in numbers and sentences.
var separators = []rune{'\t', ';', ','}

const sampleRows = 50

// guessSeparator is the one with which the first row has the names that are asked for, and most rows have the same
// number of columns.
func (t *table) guessSeparator(sample []byte) rune {
	best, most := ',', 0
	for _, comma := range separators {
		r := csv.NewReader(bytes.NewReader(sample))
		r.Comma, r.FieldsPerRecord, r.LazyQuotes, r.TrimLeadingSpace = comma, -1, true, !unicode.IsSpace(comma)
		rows, score, widths := 0, 0, map[int]int{}
		for rows < sampleRows {
			fields, err := r.Read()
			if err != nil {
				break
			}
			if rows++; rows == 1 {
				for _, name := range []string{t.Column, t.ExpiryColumn} {
					if columnNumber(name) == 0 && name != "" && len(findName(fields, name)) > 0 {
						score += 2 * sampleRows
					}
				}
			}
			widths[len(fields)]++
		}
		for width, n := range widths {
			if width > 1 && 2*n > rows {
				score += n
			}
		}
		if score > most {
			best, most = comma, score
		}
	}
	return best
}

// findColumns finds the columns by the first row, and says whether that is a header.
func (t *table) findColumns(first []string) (header bool, err error) {
	var bad keyturn.Problems
	header = t.Header == keyturn.HeaderYes
	find := func(at, name string) int {
		if n := columnNumber(name); n > 0 {
			bad.Check(n <= len(first), at, "the file has no column %s: it has %s", name, t.list(first))
			return n - 1
		}
		header = true
		found := findName(first, name)
		switch {
		case len(found) == 0:
			bad.Addf(at, "the file has no column %s: its first row has %s", name, t.list(first))
			return 0
		case len(found) > 1:
			bad.Addf(at, "the file has %d columns named %s: give the number of one, from 1", len(found), name)
		case t.Header == keyturn.HeaderNo:
			bad.Addf("header", "must not be no where a column is given by its name")
		}
		return found[0]
	}
	if t.Column != "" {
		t.column = find("column", t.Column)
	} else if !allBlank(first[1:]) {
		bad.Addf("column", "is required, by name or by number from 1: the file has %s", t.list(first))
	}
	if t.ExpiryColumn != "" {
		t.expiry = find("expiryColumn", t.ExpiryColumn)
	}
	return header, bad.Err("the columns are not those of the file, nothing was stored")
}

// columnNumber is the number that a column is given by; 0: it is given by its name.
func columnNumber(column string) int {
	n, err := strconv.Atoi(column)
	if err != nil || n < 1 {
		return 0
	}
	return n
}

// findName finds the columns of a name, whatever its case and its white space.
func findName(fields []string, name string) (found []int) {
	name = fold(name)
	for i, field := range fields {
		if fold(field) == name {
			found = append(found, i)
		}
	}
	return found
}

func fold(name string) string {
	if clean, err := keyturn.CleanKey(name); err == nil {
		name = clean
	}
	return strings.ToLower(strings.Join(strings.Fields(name), " "))
}

// list names the columns for a message.
func (t *table) list(fields []string) string {
	const many = 30
	names := t.names(fields)
	text := strings.Join(names[:min(len(names), many)], ", ")
	if len(names) > many {
		text += ", …"
	}
	if len(names) == 1 {
		return "one column, " + text
	}
	return strconv.Itoa(len(names)) + " columns, separated by " + strconv.QuoteRune(t.comma) + ": " + text
}

// columnName is text that can only be the name of a column: a key must not get into a message.
var columnName = regexp.MustCompile(`^\p{L}[\p{L} _.()/#%-]{0,39}$`)

// names are the fields of a row as names of columns; what may be a key has its number instead.
func (t *table) names(fields []string) []string {
	var names []string
	for i, field := range fields {
		name := strings.Join(strings.Fields(field), " ")
		if !columnName.MatchString(name) || len(name) > 12 && name == strings.ToUpper(name) {
			name = strconv.Itoa(i + 1)
		}
		names = append(names, name)
	}
	return names
}

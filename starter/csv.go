package starter

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"keyturn.dev/keyturn"
)

// csvKeys turns a CSV file of one column into one key per line: programs that write CSV put a key with a comma or a
// quote into quotes, and these must not reach a customer. It goes line by line, so that a quote without its end costs
// one line and not the memory. A line of several columns ends it with KindInvalid.
type csvKeys struct {
	in   *bufio.Reader
	line int
	out  []byte
	err  error
}

func newCSVKeys(r io.Reader) *csvKeys { return &csvKeys{in: bufio.NewReaderSize(r, 64<<10)} }

func (c *csvKeys) Read(p []byte) (int, error) {
	for len(c.out) == 0 && c.err == nil {
		c.next()
	}
	if len(c.out) == 0 {
		return 0, c.err
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

// next takes one line over. One that is longer than the buffer is no key: it passes, to be reported as too long.
func (c *csvKeys) next() {
	text, err := c.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		c.out = append(c.out[:0], text...)
		return
	}
	c.line++
	c.err = err
	key := bytes.TrimSpace(text)
	if c.line == 1 {
		key = bytes.TrimPrefix(key, []byte("\xEF\xBB\xBF"))
	}
	switch {
	case len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' && bytes.Count(key, []byte{'"'})%2 == 0:
		inner := key[1 : len(key)-1]
		if bytes.Contains(bytes.ReplaceAll(inner, []byte(`""`), nil), []byte{'"'}) {
			c.refuse()
			return
		}
		key = bytes.ReplaceAll(inner, []byte(`""`), []byte{'"'})
	case bytes.ContainsAny(key, `",`):
		c.refuse()
		return
	}
	c.out = append(append(c.out[:0], key...), '\n')
}

func (c *csvKeys) refuse() {
	c.err = &keyturn.Error{Kind: keyturn.KindInvalid, Message: "the file is not CSV of one column, nothing was stored", Fields: []keyturn.FieldError{
		{Location: "line " + itoa(c.line), Message: "must be one key, in quotes if it has a comma or a quote; or send the file as text/plain"},
	}}
}

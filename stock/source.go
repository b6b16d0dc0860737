package stock

import (
	"bytes"
	"errors"
	"io"
	"math"
)

// errRowTooLong ends a file with a row that has no end in sight.
var errRowTooLong = errors.New("the row is too long")

// source is the text of a file of keys. Each of its lines ends with LF, whatever it ended with in the file: LF, CRLF
// or, from an old Macintosh, CR.
type source struct {
	in   io.Reader
	left int   // how much may still be read, for the row that is being read
	cr   bool  // the last byte of the file so far was CR
	err  error // what the file ended with
}

func newSource(in io.Reader) *source { return &source{in: in, left: math.MaxInt} }

// broken says what stopped the file before its end.
func (s *source) broken() error {
	if errors.Is(s.err, io.EOF) {
		return nil
	}
	return s.err
}

func (s *source) Read(p []byte) (n int, err error) {
	for n == 0 && len(p) > 0 && s.err == nil {
		if s.left <= 0 {
			return 0, errRowTooLong
		}
		n, s.err = s.in.Read(p[:min(len(p), s.left)])
		s.left -= n
		n = s.endLines(p[:n])
	}
	if n > 0 {
		return n, nil
	}
	return 0, s.err
}

// endLines makes LF of the line ends in text and returns its new length.
func (s *source) endLines(text []byte) int {
	if !s.cr && bytes.IndexByte(text, '\r') < 0 {
		return len(text)
	}
	n := 0
	for _, c := range text {
		if c == '\n' && s.cr { // the line has ended with the CR
			s.cr = false
			continue
		}
		if s.cr = c == '\r'; s.cr {
			c = '\n'
		}
		text[n] = c
		n++
	}
	return n
}

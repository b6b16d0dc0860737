package stock

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"keyturn.dev/keyturn"
)

// spool keeps the chunks of a file that is still coming, in a temporary file without a name: it is gone when it is
// closed, or with the process. It holds what the database will: ciphertexts, fingerprints, line numbers and expiries.
// The zero spool is empty, and needs no file.
type spool struct {
	file *os.File
	out  *bufio.Writer
	buf  []byte // of what is being written
}

// add puts a chunk behind the others. KindUnavailable when there is no room.
func (s *spool) add(c chunk) error {
	if s.file == nil {
		file, err := os.CreateTemp("", "keyturn-import-*") // for its owner alone
		if err != nil {
			return noRoom(err)
		}
		s.keepIn(file)
		if err := os.Remove(file.Name()); err != nil {
			return noRoom(err)
		}
	}
	s.buf = binary.AppendUvarint(s.buf[:0], uint64(len(c.rows)))
	s.buf = binary.AppendUvarint(s.buf, uint64(len(c.bad)))
	for _, k := range c.rows {
		var expires int64 // none
		if !k.expires.IsZero() {
			expires = k.expires.UnixMicro() // as precise as PostgreSQL
		}
		s.buf = binary.AppendUvarint(s.buf, uint64(k.line)) //nolint:gosec // lines are counted from 1
		s.buf = append(s.buf, k.fingerprint[:]...)
		s.buf = binary.AppendVarint(s.buf, expires)
		s.buf = append(binary.AppendUvarint(s.buf, uint64(len(k.content))), k.content...)
	}
	for _, bad := range c.bad {
		s.buf = binary.AppendUvarint(s.buf, uint64(bad.Line)) //nolint:gosec // as above
		s.buf = append(binary.AppendUvarint(s.buf, uint64(len(bad.Reason))), bad.Reason...)
	}
	_, err := s.out.Write(s.buf)
	return noRoom(err)
}

func (s *spool) keepIn(file *os.File) { s.file, s.out = file, bufio.NewWriterSize(file, fileBuffer) }

// each gives all chunks in their order, each time that it is called.
func (s *spool) each(do func(chunk) error) error {
	if s.file == nil {
		return nil
	}
	err := s.out.Flush()
	if err == nil {
		_, err = s.file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return noRoom(err)
	}
	in := &spoolReader{in: bufio.NewReaderSize(s.file, fileBuffer)}
	for {
		if _, err := in.in.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		c := in.chunk()
		if in.err != nil {
			return noRoom(in.err)
		}
		if err := do(c); err != nil {
			return err
		}
	}
}

func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close() // what it held is stored, or refused
	}
}

// spoolReader reads what add wrote, until its first error.
type spoolReader struct {
	in  *bufio.Reader
	err error
}

func (r *spoolReader) chunk() chunk {
	c := chunk{rows: make([]newKey, r.number()), bad: make([]keyturn.RejectedKey, r.number())}
	for i := range c.rows {
		k := &c.rows[i]
		k.line = r.number()
		r.fill(k.fingerprint[:])
		if expires := r.signed(); expires != 0 {
			k.expires = time.UnixMicro(expires).UTC()
		}
		k.content = r.bytes()
	}
	for i := range c.bad {
		c.bad[i] = keyturn.RejectedKey{Line: r.number(), Reason: string(r.bytes())}
	}
	return c
}

func (r *spoolReader) number() int {
	if r.err != nil {
		return 0
	}
	var n uint64
	n, r.err = binary.ReadUvarint(r.in)
	return int(n) //nolint:gosec // it was one
}

func (r *spoolReader) signed() (n int64) {
	if r.err == nil {
		n, r.err = binary.ReadVarint(r.in)
	}
	return n
}

func (r *spoolReader) bytes() []byte {
	b := make([]byte, r.number())
	r.fill(b)
	return b
}

func (r *spoolReader) fill(b []byte) {
	if r.err == nil {
		_, r.err = io.ReadFull(r.in, b)
	}
}

// noRoom says that the temporary directory does not take the file.
func noRoom(err error) error {
	if err == nil {
		return nil
	}
	reason := "it cannot be read back"
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		reason = errno.Error()
	}
	return keyturn.Errorf(keyturn.KindUnavailable, "the server could not keep the keys in a temporary file until all "+
		"have come, nothing was stored: make room in its directory for temporary files, or set TMPDIR to another (%s): %w",
		reason, fmt.Errorf("%s: %w", os.TempDir(), err))
}

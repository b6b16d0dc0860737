package emulator

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// reply is an answer before it is sent.
type reply struct {
	status      int
	header      http.Header
	contentType string
	body        []byte
}

const (
	hugeLimit = 8 << 30 // "never ends" has to end somewhere
	bombSize  = 1 << 30
)

// sendPlain is how a well-behaved partner answers. The call leaves the gauge just before its last byte: a caller that
// keeps to its limit may send the next request the moment it has read this one's answer.
func sendPlain(c *call, rep reply) {
	c.writeHead(rep, len(rep.body))
	c.leave()
	_, _ = c.w.Write(rep.body)
}

func (c *call) writeHead(rep reply, length int) {
	h := c.w.Header()
	for name, values := range rep.header {
		h[name] = values
	}
	if rep.contentType != "" {
		h.Set("Content-Type", rep.contentType)
	}
	if length >= 0 && rep.status != http.StatusNoContent && rep.status != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(length))
	}
	if length == 0 || rep.status == http.StatusNoContent || rep.status == http.StatusNotModified {
		c.leave() // nothing follows the head
	}
	c.w.WriteHeader(rep.status)
}

func sendSlow(c *call, rep reply) {
	if !c.wait(c.drill.duration) {
		sendCut(c, rep)
	}
	sendPlain(c, rep)
}

// sendNever holds the request until the caller or the server goes away.
func sendNever(c *call, rep reply) {
	c.wait(maxHold)
	sendCut(c, rep)
}

// sendCut closes the connection as it is. The server recognises this value and logs nothing.
func sendCut(c *call, _ reply) {
	c.leave()
	panic(http.ErrAbortHandler)
}

// sendHalf promises the whole body, so the cut is visible to HTTP.
func sendHalf(c *call, rep reply) {
	c.writeHead(rep, len(rep.body))
	_, _ = c.w.Write(rep.body[:len(rep.body)/2])
	_ = http.NewResponseController(c.w).Flush()
	sendCut(c, rep)
}

// sendTruncated is half of the body as a complete reply: only a JSON parser can tell.
func sendTruncated(c *call, rep reply) {
	rep.body = rep.body[:len(rep.body)/2]
	sendPlain(c, rep)
}

func sendDrip(c *call, rep reply) {
	c.writeHead(rep, len(rep.body))
	flush := http.NewResponseController(c.w)
	for i := range rep.body {
		if !c.wait(c.drill.duration) {
			sendCut(c, rep)
		}
		if i == len(rep.body)-1 {
			c.leave()
		}
		if _, err := c.w.Write(rep.body[i : i+1]); err != nil || flush.Flush() != nil {
			return
		}
	}
}

func sendHuge(c *call, rep reply) {
	rep.contentType = "application/json"
	c.writeHead(rep, -1)
	out := &pouring{c: c, left: hugeLimit}
	_, _ = io.WriteString(out, `{"activationCode":"EMU-`)
	out.pour(bytes.Repeat([]byte("A"), 32<<10))
}

func sendBomb(c *call, rep reply) {
	rep.contentType, rep.header = "application/json", http.Header{"Content-Encoding": {"gzip"}}
	c.writeHead(rep, -1)
	zip := gzip.NewWriter(c.w)
	_, _ = io.WriteString(zip, `{"activationCode":"EMU-`)
	flush := http.NewResponseController(c.w)
	out := &pouring{c: c, left: bombSize, w: writerFunc(func(b []byte) (int, error) {
		n, err := zip.Write(b)
		return n, errors.Join(err, zip.Flush(), flush.Flush()) // megabytes of it would wait in the buffers otherwise
	})}
	out.pour(bytes.Repeat([]byte("A"), 32<<10))
	_ = zip.Close()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// pouring writes until it has written enough or somebody goes away.
type pouring struct {
	c    *call
	w    io.Writer // the response if nil
	left int
}

func (p *pouring) Write(b []byte) (int, error) {
	w := p.w
	if w == nil {
		w = p.c.w
	}
	p.left -= len(b)
	return w.Write(b)
}

func (p *pouring) pour(chunk []byte) {
	for p.left > 0 && !p.c.gone() {
		if _, err := p.Write(chunk); err != nil {
			return
		}
	}
}

// wait sleeps; it is false when the caller or the server went away meanwhile.
func (c *call) wait(d time.Duration) bool {
	if d <= 0 {
		return !c.gone()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.r.Context().Done():
	case <-c.s.closing:
	}
	return false
}

func (c *call) gone() bool {
	select {
	case <-c.r.Context().Done():
		return true
	case <-c.s.closing:
		return true
	default:
		return false
	}
}

package faultproxy

import (
	"bytes"
	"io"
	"strings"
)

// Protocol splits both directions of a connection into messages.
type Protocol func(client, server io.Reader) (requests, answers Reader)

// message is a piece of a connection that is forwarded as a whole.
type message struct {
	bytes   []byte
	stream  uint32 // of those that share the connection
	name    string // what a request asks for
	asks    bool   // a request that waits for an answer
	answers bool   // the answer to the stream's request, or its beginning
}

// Reader returns the next message; with an error it may give the last bytes.
type Reader func() (message, error)

// pieces returns what each read brings.
func pieces(from io.Reader, look func(*message)) Reader {
	buf := make([]byte, 64<<10)
	return func() (message, error) {
		n, err := from.Read(buf)
		m := message{bytes: bytes.Clone(buf[:n])}
		if n > 0 {
			look(&m)
		}
		return m, err
	}
}

// HTTP is HTTP/1: a request is named by its method and path.
func HTTP(client, server io.Reader) (requests, answers Reader) {
	requests = pieces(client, func(m *message) {
		line, _, _ := bytes.Cut(m.bytes, []byte("\r\n"))
		if words := strings.Fields(string(line)); len(words) == 3 && strings.HasPrefix(words[2], "HTTP/") {
			m.asks, m.name = true, words[0]+" "+words[1]
		}
	})
	return requests, pieces(server, func(m *message) { m.answers = true })
}

// FinalDot is the name of the request that ends an e-mail: its answer says whether the server has taken it.
const FinalDot = "."

// SMTP is mail: a request is named by its verb, the end of an e-mail is FinalDot.
func SMTP(client, server io.Reader) (requests, answers Reader) {
	var last []byte
	requests = pieces(client, func(m *message) {
		last = append(last, m.bytes...)
		last = last[max(0, len(last)-5):]
		verb, _, _ := strings.Cut(strings.TrimSpace(string(m.bytes[:min(len(m.bytes), 10)])), " ")
		m.asks, m.name = true, strings.ToUpper(verb)
		if string(last) == "\r\n.\r\n" {
			m.name = FinalDot
		}
	})
	return requests, pieces(server, func(m *message) { m.answers = true })
}

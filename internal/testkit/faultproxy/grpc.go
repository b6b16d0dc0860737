package faultproxy

import (
	"bytes"
	"io"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// GRPC is gRPC without TLS: a request is named by its method, such as RespondWorkflowTaskCompleted. Methods that wait
// for work (Poll…) or for the end of a workflow count as no request: they are always under way.
func GRPC(client, server io.Reader) (requests, answers Reader) {
	return grpcRequests(client), frames(server, nil, func(f http2.Frame, m *message) {
		if _, ok := f.(*http2.MetaHeadersFrame); ok {
			m.answers = true
		}
	})
}

func grpcRequests(client io.Reader) Reader {
	names := map[uint32]string{}
	next := frames(client, []byte(http2.ClientPreface), func(f http2.Frame, m *message) {
		if h, ok := f.(*http2.MetaHeadersFrame); ok {
			path := h.PseudoValue("path")
			names[m.stream] = path[strings.LastIndex(path, "/")+1:]
		}
		// A request is complete with its last frame: before, the server does not know what it is to do.
		if f.Header().Flags.Has(http2.FlagDataEndStream) &&
			(f.Header().Type == http2.FrameData || f.Header().Type == http2.FrameHeaders) {
			m.name = names[m.stream]
			m.asks = !waits(m.name)
			delete(names, m.stream)
		}
	})
	return next
}

func waits(method string) bool {
	return strings.HasPrefix(method, "Poll") || strings.HasPrefix(method, "GetWorkflowExecutionHistory")
}

const maxFrame = 16<<20 - 1

// frames returns one HTTP/2 frame at a time, as it came, after a preface.
func frames(from io.Reader, preface []byte, look func(http2.Frame, *message)) Reader {
	var raw bytes.Buffer
	f := http2.NewFramer(io.Discard, io.TeeReader(from, &raw))
	f.SetMaxReadFrameSize(maxFrame)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.MaxHeaderListSize = 1 << 20
	begun := len(preface) == 0
	return func() (message, error) {
		if !begun {
			begun = true
			head := make([]byte, len(preface))
			n, err := io.ReadFull(from, head)
			return message{bytes: head[:n]}, err
		}
		raw.Reset()
		frame, err := f.ReadFrame()
		m := message{bytes: bytes.Clone(raw.Bytes())}
		if err != nil {
			return m, err
		}
		m.stream = frame.Header().StreamID
		look(frame, &m)
		return m, nil
	}
}

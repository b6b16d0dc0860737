package inbox

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"time"
)

// What a hostile message may make the parser do.
const (
	maxDepth = 8
	maxParts = 100
)

// Message is one message in full: its summary, its headers and what is in it.
type Message struct {
	Summary
	Headers     map[string][]string `json:"headers"` // as sent, encoded words included
	Text        string              `json:"text"`
	HTML        string              `json:"html"`
	Attachments []Attachment        `json:"attachments"`
}

// Attachment is a part that is neither the text nor the HTML.
type Attachment struct {
	Name        string `json:"name"`
	ContentType string `json:"contentType"`
	Size        int    `json:"size"` // decoded
}

// summarize reads what the list shows. A message that is no proper mail still has a size.
func summarize(data []byte) Summary {
	s := Summary{Size: len(data)}
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(data))).ReadMIMEHeader()
	if err != nil && header == nil {
		return s
	}
	s.Subject = decodeWords(header.Get("Subject"))
	s.MessageID = strings.Trim(strings.TrimSpace(header.Get("Message-Id")), "<>")
	if date, err := mail.ParseDate(header.Get("Date")); err == nil {
		s.Date = date.UTC().Truncate(time.Second)
	}
	return s
}

func decodeWords(text string) string {
	decoded, err := new(mime.WordDecoder).DecodeHeader(text)
	if err != nil {
		return text
	}
	return decoded
}

// parse takes a message apart. What it cannot read it leaves out: the raw message is always there.
func parse(s Summary, data []byte) Message {
	m := Message{Summary: s, Headers: map[string][]string{}, Attachments: []Attachment{}}
	read, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		m.Text = string(data)
		return m
	}
	m.Headers = read.Header
	parts := 0
	m.addPart(textproto.MIMEHeader(read.Header), read.Body, 0, &parts)
	return m
}

func (m *Message) addPart(header textproto.MIMEHeader, body io.Reader, depth int, parts *int) {
	if *parts++; *parts > maxParts || depth > maxDepth {
		return
	}
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") && params["boundary"] != "" {
		reader := multipart.NewReader(body, params["boundary"])
		for {
			part, err := reader.NextRawPart()
			if err != nil {
				return
			}
			m.addPart(part.Header, part, depth+1, parts)
		}
	}
	data, _ := io.ReadAll(decoded(header.Get("Content-Transfer-Encoding"), body)) // as much as can be read
	disposition, dispositionParams, _ := mime.ParseMediaType(header.Get("Content-Disposition"))
	switch {
	case disposition != "attachment" && kind == "text/plain" && m.Text == "":
		m.Text = string(data)
	case disposition != "attachment" && kind == "text/html" && m.HTML == "":
		m.HTML = string(data)
	default:
		m.Attachments = append(m.Attachments, Attachment{
			Name: decodeWords(dispositionParams["filename"]), ContentType: kind,
			Size: len(data),
		})
	}
}

func decoded(encoding string, body io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	}
	return body
}

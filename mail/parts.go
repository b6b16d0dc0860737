package mail

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"

	"keyturn.dev/keyturn"
)

// Parts are what a reader shows of a message.
type Parts struct {
	From, ReplyTo, Subject string
	Text, HTML             string
}

// Parts takes a rendered message apart, without its attachments. Anything but what this package has rendered is
// KindInternal.
func (m Message) Parts() (Parts, error) {
	var p Parts
	read, err := mail.ReadMessage(bytes.NewReader(m.Data))
	if err == nil {
		words := new(mime.WordDecoder)
		for name, into := range map[string]*string{"From": &p.From, "Reply-To": &p.ReplyTo, "Subject": &p.Subject} {
			text, wordErr := words.DecodeHeader(read.Header.Get(name))
			err = errors.Join(err, wordErr)
			*into = text
		}
		err = errors.Join(err, p.add(read.Header.Get("Content-Type"), read.Body))
	}
	if err != nil {
		return p, keyturn.Errorf(keyturn.KindInternal, "a rendered e-mail cannot be read: %w", err)
	}
	p.ReplyTo = strings.Trim(p.ReplyTo, "<>")
	return p, nil
}

func (p *Parts) add(contentType string, body io.Reader) error {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return err
	}
	if strings.HasPrefix(kind, "multipart/") {
		for parts := multipart.NewReader(body, params["boundary"]); ; {
			part, err := parts.NextPart() // it decodes quoted-printable
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if part.FileName() != "" {
				continue
			}
			if err := p.add(part.Header.Get("Content-Type"), part); err != nil {
				return err
			}
		}
	}
	text, err := io.ReadAll(body)
	into := &p.Text
	if kind == "text/html" {
		into = &p.HTML
	}
	*into = strings.ReplaceAll(string(text), "\r\n", "\n")
	return err
}

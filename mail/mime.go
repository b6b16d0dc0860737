package mail

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"path"
	"regexp"
	"slices"
	"strings"

	"keyturn.dev/keyturn"
)

// maxMessage is the largest mail that is rendered. Common servers accept at least 10 MiB.
const maxMessage = 10 << 20

// maxMailSubject is the longest subject after its tags are replaced, in bytes.
const maxMailSubject = 300

var messageID = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+/=?^_{|}~.-]{1,128}@[A-Za-z0-9.-]{1,128}$`)

var refPattern = regexp.MustCompile(`^[a-z0-9]{1,64}\.[a-z0-9]{1,64}$`)

// check reports every fault of the envelope (KindInvalid) and gives it with its addresses in ASCII.
func (e Envelope) check() (Envelope, error) {
	var bad keyturn.Problems
	for _, a := range []struct {
		at      string
		address *string
	}{{"from", &e.From}, {"to", &e.To}, {"replyTo", &e.ReplyTo}, {"returnPath", &e.ReturnPath}} {
		if *a.address == "" && (a.at == "replyTo" || a.at == "returnPath") {
			continue
		}
		ascii, err := ASCIIAddress(*a.address)
		bad.Merge(a.at, err)
		*a.address = ascii
	}
	bad.Check(messageID.MatchString(e.MessageID), "messageId", "must look like unique@domain")
	bad.Check(!e.Date.IsZero(), "date", "is required")
	bad.Check(e.Ref == "" || refPattern.MatchString(e.Ref), "ref", "must be letters and digits around a dot")
	return e, bad.Err("the mail cannot be rendered")
}

// compose assembles the message. It writes exactly these headers, each once; their values were checked before or are
// encoded here. The boundaries derive from the Message-ID, so every rendering has the same bytes, and their "=_" occurs
// in no line of quoted-printable or base64.
func compose(e Envelope, subject, text, html string, files []Attachment) (Message, error) {
	e, err := e.check()
	if err != nil {
		return Message{}, err
	}
	sum := sha256.Sum256([]byte(e.MessageID))
	unique := hex.EncodeToString(sum[:12])
	// The richest form comes last (RFC 2046 §5.1.4).
	body, err := multipartOf("alternative", "=_a"+unique, textPart("text/plain", text), textPart("text/html", html))
	if err == nil && len(files) > 0 {
		parts := []part{body}
		for _, f := range files {
			parts = append(parts, filePart(f))
		}
		body, err = multipartOf("mixed", "=_m"+unique, parts...)
	}
	if err != nil {
		return Message{}, keyturn.Errorf(keyturn.KindInternal, "the mail cannot be assembled: %w", err)
	}

	var out bytes.Buffer
	out.Grow(1024 + len(body.data))
	header := func(name, value string) { out.WriteString(name + ": " + value + "\r\n") }
	header("From", headerAddress(e.SenderName, e.From))
	header("To", headerAddress("", e.To))
	if e.ReplyTo != "" {
		header("Reply-To", headerAddress("", e.ReplyTo))
	}
	header("Subject", headerText(cut(oneLine(subject), maxMailSubject)))
	header("Date", e.Date.UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000"))
	header("Message-ID", "<"+e.MessageID+">")
	header("MIME-Version", "1.0")
	header("Auto-Submitted", "auto-generated") // suppresses out-of-office replies (RFC 3834)
	if e.Ref != "" {
		header("X-Keyturn-Ref", e.Ref)
	}
	header("Content-Type", body.header.Get("Content-Type"))
	out.WriteString("\r\n")
	out.Write(body.data)
	if out.Len() > maxMessage {
		return Message{}, keyturn.Errorf(keyturn.KindInvalid, "the mail must have at most %s", keyturn.Bytes(maxMessage))
	}
	return Message{
		From: cmp.Or(e.ReturnPath, e.From), To: e.To, MessageID: e.MessageID, Ref: e.Ref, Data: out.Bytes(),
	}, nil
}

// part is a MIME entity: its header, and its content in the header's transfer encoding.
type part struct {
	header textproto.MIMEHeader
	data   []byte
}

func multipartOf(subtype, boundary string, parts ...part) (part, error) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	if err := w.SetBoundary(boundary); err != nil {
		return part{}, err
	}
	for _, p := range parts {
		content, err := w.CreatePart(p.header)
		if err != nil {
			return part{}, err
		}
		if _, err := content.Write(p.data); err != nil {
			return part{}, err
		}
	}
	if err := w.Close(); err != nil {
		return part{}, err
	}
	contentType := mime.FormatMediaType("multipart/"+subtype, map[string]string{"boundary": boundary})
	return part{header: textproto.MIMEHeader{"Content-Type": {contentType}}, data: body.Bytes()}, nil
}

// textPart encodes text as quoted-printable, which survives servers that break long lines, strip trailing blanks or
// accept only ASCII.
func textPart(contentType, text string) part {
	var data bytes.Buffer
	w := quotedprintable.NewWriter(&data)
	_, _ = w.Write([]byte(text)) // a bytes.Buffer does not fail
	_ = w.Close()
	return part{
		header: textproto.MIMEHeader{
			"Content-Type":              {contentType + "; charset=utf-8"},
			"Content-Transfer-Encoding": {"quoted-printable"},
		},
		data: data.Bytes(),
	}
}

// filePart encodes an attachment as base64. A content type that is malformed, or that a reader would open as a message,
// becomes application/octet-stream.
func filePart(f Attachment) part {
	kind, _, err := mime.ParseMediaType(f.ContentType)
	if err != nil || !strings.Contains(kind, "/") ||
		strings.HasPrefix(kind, "multipart/") || strings.HasPrefix(kind, "message/") {
		kind = "application/octet-stream"
	}
	const lineBytes = 57 // 76 characters of base64
	var data []byte
	for rest := range slices.Chunk(f.Data, lineBytes) {
		if data != nil {
			data = append(data, "\r\n"...)
		}
		data = base64.StdEncoding.AppendEncode(data, rest)
	}
	return part{
		header: textproto.MIMEHeader{
			"Content-Type":              {mime.FormatMediaType(kind, nil)},
			"Content-Transfer-Encoding": {"base64"},
			"Content-Disposition": {
				mime.FormatMediaType("attachment", map[string]string{"filename": fileName(f.Name)}),
			},
		},
		data: data,
	}
}

// fileName reduces name to a bare file name: no folder, no line break, and the extension survives shortening.
func fileName(name string) string {
	name = path.Base(strings.ReplaceAll(oneLine(name), `\`, "/"))
	if len(name) > 100 {
		ext := path.Ext(name)
		if len(ext) > 10 {
			ext = ""
		}
		name = cut(strings.TrimSuffix(name, ext), 100-len(ext)) + ext
	}
	if strings.Trim(name, "./ ") == "" {
		return "file"
	}
	return name
}

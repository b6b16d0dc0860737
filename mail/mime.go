package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"mime"
	"mime/quotedprintable"
	"path"
	"regexp"
	"strings"

	"keyturn.dev/keyturn"
)

// maxMessage is the largest mail that is rendered; common servers take 10 MiB and more.
const maxMessage = 10 << 20

// maxMailSubject bounds a subject after its tags are replaced, in bytes.
const maxMailSubject = 300

var messageID = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+/=?^_{|}~.-]{1,128}@[A-Za-z0-9.-]{1,128}$`)

// check says what is wrong with an envelope.
func (e Envelope) check() error {
	var bad keyturn.Problems
	bad.Merge("from", CheckAddress(e.From))
	bad.Merge("to", CheckAddress(e.To))
	if e.ReplyTo != "" {
		bad.Merge("replyTo", CheckAddress(e.ReplyTo))
	}
	bad.Check(messageID.MatchString(e.MessageID), "messageId", "must look like unique@domain")
	bad.Check(!e.Date.IsZero(), "date", "is required")
	return bad.Err("the mail cannot be rendered")
}

// compose writes the whole message. The headers are these and no others, each once; everything in them was checked or
// is encoded here. The boundaries come from the Message-ID: they are the same in every rendering, and the "=_" in them
// appears in no quoted-printable or base64 line.
func compose(e Envelope, subject, text, html string, files []Attachment) (Message, error) {
	if err := e.check(); err != nil {
		return Message{}, err
	}
	sum := sha256.Sum256([]byte(e.MessageID))
	unique := hex.EncodeToString(sum[:12])
	mixed, alternative := "=_m"+unique, "=_a"+unique

	var out bytes.Buffer
	out.Grow(4096 + len(text) + 2*len(html))
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
	header("Auto-Submitted", "auto-generated") // no out-of-office replies, please (RFC 3834)
	if len(files) > 0 {
		header("Content-Type", `multipart/mixed; boundary="`+mixed+`"`)
		out.WriteString("\r\n--" + mixed + "\r\n")
	}
	header("Content-Type", `multipart/alternative; boundary="`+alternative+`"`)
	out.WriteString("\r\n")
	// The richest form comes last (RFC 2046 §5.1.4).
	textPart(&out, alternative, "text/plain", text)
	textPart(&out, alternative, "text/html", html)
	out.WriteString("--" + alternative + "--\r\n")
	for _, f := range files {
		filePart(&out, mixed, f)
	}
	if len(files) > 0 {
		out.WriteString("--" + mixed + "--\r\n")
	}
	if out.Len() > maxMessage {
		return Message{}, keyturn.Errorf(keyturn.KindInvalid, "the mail must have at most %s", keyturn.Bytes(maxMessage))
	}
	return Message{From: e.From, To: e.To, MessageID: e.MessageID, Data: out.Bytes()}, nil
}

// textPart writes text in quoted-printable, which keeps every byte through servers that break long lines, strip
// trailing blanks or know only ASCII.
func textPart(out *bytes.Buffer, boundary, contentType, text string) {
	out.WriteString("--" + boundary + "\r\nContent-Type: " + contentType +
		"; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	w := quotedprintable.NewWriter(out)
	_, _ = w.Write([]byte(text)) // a bytes.Buffer takes everything
	_ = w.Close()
	out.WriteString("\r\n")
}

func filePart(out *bytes.Buffer, boundary string, f Attachment) {
	kind, _, err := mime.ParseMediaType(f.ContentType)
	if err != nil || !strings.Contains(kind, "/") || strings.HasPrefix(kind, "multipart/") || strings.HasPrefix(kind, "message/") {
		kind = "application/octet-stream"
	}
	out.WriteString("--" + boundary + "\r\nContent-Type: " + mime.FormatMediaType(kind, nil) +
		"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: " +
		mime.FormatMediaType("attachment", map[string]string{"filename": fileName(f.Name)}) + "\r\n\r\n")
	const lineBytes = 57 // 76 characters of base64
	for data := f.Data; len(data) > 0; {
		n := min(len(data), lineBytes)
		out.Write(base64.StdEncoding.AppendEncode(out.AvailableBuffer(), data[:n]))
		out.WriteString("\r\n")
		data = data[n:]
	}
}

// fileName gives a name that is only a name: no folder, no line end, nothing that hides the extension.
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

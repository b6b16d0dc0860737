package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
	"strings"

	"github.com/google/uuid"
)

// parsedMail is what the checks need of an e-mail. It holds keys.
type parsedMail struct {
	sum        [sha256.Size]byte
	deliveryID string // of its Message-ID; empty for a letter that is no delivery of ours
	badHeader  string // what is wrong with its headers
	to         string // the address in its To
	text, html string // html with its entities resolved
	rawHTML    string
}

// letterHeaders are those that we write.
var letterHeaders = map[string]bool{
	"From": true, "To": true, "Reply-To": true, "Subject": true, "Date": true, "Message-Id": true, "Mime-Version": true,
	"Auto-Submitted": true, "Content-Type": true, "X-Keyturn-Ref": true, "Dkim-Signature": true,
}

func parseMail(raw []byte) parsedMail {
	p := parsedMail{sum: sha256.Sum256(raw)}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		p.badHeader = "it is no e-mail"
		return p
	}
	local, _, _ := strings.Cut(strings.Trim(m.Header.Get("Message-Id"), "<> "), "@")
	if id, err := uuid.Parse(local); err == nil {
		p.deliveryID = id.String()
	}
	for name, values := range m.Header {
		switch {
		case !letterHeaders[name]:
			p.badHeader = "it has a header " + name
		case len(values) > 1:
			p.badHeader = "it has more than one " + name
		}
	}
	if to, err := m.Header.AddressList("To"); err == nil && len(to) == 1 {
		p.to = to[0].Address
	} else {
		p.badHeader = "it is not to one address"
	}
	p.addPart(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body, 0)
	p.html = html.UnescapeString(p.rawHTML)
	return p
}

func (p *parsedMail) addPart(contentType, encoding string, body io.Reader, depth int) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") && depth < 8 {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			part, err := parts.NextRawPart()
			if err != nil {
				return
			}
			p.addPart(part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), part, depth+1)
		}
	}
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	data, _ := io.ReadAll(body) // as much as can be read: what is missing is found missing
	switch kind {
	case "text/plain":
		p.text += lineEnds(data)
	case "text/html":
		p.rawHTML += lineEnds(data)
	}
}

// lineEnds makes the line ends of an e-mail those that keys are stored with.
func lineEnds(data []byte) string { return strings.ReplaceAll(string(data), "\r\n", "\n") }

// keyBlock is where an e-mail shows a key of several lines.
var keyBlock = regexp.MustCompile(`(?s)<pre[^>]*>(.*?)</pre>`)

// candidates are the pieces of a letter that could be a key: its lines and its words, also without punctuation around
// them, and its blocks of several lines.
func (p *parsedMail) candidates() map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(p.text) {
		out[strings.TrimSpace(line)] = true
		for _, word := range strings.Fields(line) {
			out[word] = true
			out[strings.Trim(word, `.,;:!?"'()<>[]{}`)] = true
		}
	}
	for _, block := range keyBlock.FindAllStringSubmatch(p.rawHTML, -1) {
		out[html.UnescapeString(block[1])] = true
	}
	for piece := range out {
		if len(piece) < shortest {
			delete(out, piece) // a word of the letter, which a short key may be, too
		}
	}
	return out
}

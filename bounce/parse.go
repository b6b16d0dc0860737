package bounce

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

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// What is read of a message, whatever its sender makes of it.
const (
	MaxMessage = 1 << 20   // bytes of a message
	maxPart    = 64 << 10  // bytes of a part that says something
	maxParts   = 100       // of a message
	maxDepth   = 8         // of parts in parts
	maxHeader  = 128 << 10 // bytes of a message's header
)

// Parse reads a message that came to the bounce address. It understands reports of delivery (RFC 3464) and of abuse
// (RFC 5965), by their fields alone. ok is false for what is to be ignored: automatic replies, and reports that tell of
// nothing that went wrong. What has no report is BounceUnknown.
func Parse(raw []byte) (r db.BounceReport, ok bool) {
	p := parser{kind: keyturn.BounceUnknown}
	p.refs.add(raw)
	unknown := db.BounceReport{Kind: keyturn.BounceUnknown, Refs: p.refs.found}
	if _, whole := headerOf(raw); !whole {
		return unknown, true
	}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return unknown, true
	}
	p.part(textproto.MIMEHeader(m.Header), m.Body, 0)
	// Those of the message that came back come first: what stands around it is often rewritten.
	for _, ref := range p.refs.found {
		p.returned.addText(ref)
	}
	r = db.BounceReport{
		Kind: p.kind, Status: p.status, Diagnostic: p.diagnostic, Recipient: p.recipient, Refs: p.returned.found,
	}
	if !p.reported { // servers that send reports may call them automatic replies, too (RFC 3834)
		auto := strings.ToLower(strings.TrimSpace(m.Header.Get("Auto-Submitted")))
		return r, !strings.HasPrefix(auto, "auto-replied")
	}
	return r, p.kind != ""
}

// parser collects what the parts of a message say.
type parser struct {
	parts          int
	refs, returned refs // that the message names, and that the message which came back does

	reported                      bool // a part is a report
	kind                          keyturn.BounceKind
	status, diagnostic, recipient string
}

// part reads one part, and the parts in it.
func (p *parser) part(header textproto.MIMEHeader, body io.Reader, depth int) {
	if p.parts++; p.parts > maxParts {
		return
	}
	kind, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return
	}
	if strings.HasPrefix(kind, "multipart/") {
		if depth < maxDepth {
			p.partsOf(body, params["boundary"], depth)
		}
		return
	}
	switch kind {
	case "message/delivery-status", "message/global-delivery-status":
		p.deliveryStatus(content(header, body))
	case "message/feedback-report":
		p.feedback(content(header, body))
	case "text/rfc822-headers", "message/rfc822", "message/global", "message/global-headers":
		p.returned.add(content(header, body))
	}
}

func (p *parser) partsOf(body io.Reader, boundary string, depth int) {
	if boundary == "" {
		return
	}
	for parts := multipart.NewReader(body, boundary); p.parts <= maxParts; {
		next, err := parts.NextRawPart()
		if err != nil {
			return
		}
		p.part(next.Header, next, depth+1)
	}
}

// content is the beginning of a part, decoded.
func content(header textproto.MIMEHeader, body io.Reader) []byte {
	switch strings.ToLower(strings.TrimSpace(header.Get("Content-Transfer-Encoding"))) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	read, _ := io.ReadAll(io.LimitReader(body, maxPart)) // as much as can be read
	return read
}

// deliveryStatus reads a report of delivery: fields of the message, then a group of fields for each recipient. Ours has
// one recipient; of several, one that failed counts before one that is delayed.
func (p *parser) deliveryStatus(text []byte) {
	p.reported = true
	if p.kind == keyturn.BounceUnknown {
		p.kind = ""
	}
	groups := textproto.NewReader(bufio.NewReader(bytes.NewReader(bytes.TrimLeft(text, "\r\n"))))
	for {
		group, err := groups.ReadMIMEHeader()
		if action := field(group, "Action"); action != "" {
			p.recipientOf(group, strings.ToLower(action))
		}
		if err != nil {
			return
		}
	}
}

func (p *parser) recipientOf(group textproto.MIMEHeader, action string) {
	kind := kindOf(action, statusOf(group))
	if kind == "" || p.kind.Lost() || p.kind != "" && !kind.Lost() {
		return
	}
	p.kind, p.status, p.diagnostic = kind, statusOf(group), afterType(field(group, "Diagnostic-Code"))
	p.recipient = afterType(field(group, "Original-Recipient"))
	if p.recipient == "" {
		p.recipient = afterType(field(group, "Final-Recipient"))
	}
}

// feedback reads a report of abuse.
func (p *parser) feedback(text []byte) {
	p.reported = true
	fields, _ := textproto.NewReader(bufio.NewReader(bytes.NewReader(text))).ReadMIMEHeader() // as far as it goes
	if p.kind = ""; strings.EqualFold(field(fields, "Feedback-Type"), "abuse") {
		p.kind = keyturn.BounceComplaint
	}
}

func field(group textproto.MIMEHeader, name string) string { return strings.TrimSpace(group.Get(name)) }

// afterType is the value of a field such as `rfc822; jean@buyer.test` without its type.
func afterType(value string) string {
	if _, after, ok := strings.Cut(value, ";"); ok {
		value = after
	}
	return strings.TrimSpace(value)
}

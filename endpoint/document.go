package endpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"keyturn.dev/keyturn"
)

// notShown ends what is stored in place of a body that may hold a key. No reply that ends so is read as a text, so that
// a replay of it finds no key either.
const notShown = "they are not shown, because they may hold a key]"

// decode reads a reply's body into the document that the operation's response paths select from. A body of white space
// is nil, in every format. contentType is "" where nobody knows it any more.
func decode(def keyturn.Operation, contentType string, body []byte) (any, error) {
	if !def.ReadsText() {
		return decodeJSON(body)
	}
	text, err := plainText(contentType, body)
	if err != nil {
		return nil, err
	}
	if key, err := keyturn.CleanKey(text); err == nil && key == "" {
		return nil, nil
	}
	if def.ReplyFormat == keyturn.ReplyText {
		return text, nil
	}
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimSpace(text)), "\n")
	if len(lines) > maxNodes {
		return nil, keyturn.Errorf(keyturn.KindBadReply, "the reply has more than %d lines", maxNodes)
	}
	list := make([]any, len(lines))
	for i, line := range lines {
		list[i] = line
	}
	return list, nil
}

// plainText is a body that is a text, and no page or document that a server sends in its place: an error page with
// status 200 would be delivered as a key.
func plainText(contentType string, body []byte) (string, error) {
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil && contentType != "" || mediaType != "" && mediaType != "text/plain" {
		return "", keyturn.Errorf(keyturn.KindBadReply,
			"the reply is not text/plain, which replyFormat says: its Content-Type is another")
	}
	switch strings.ToLower(params["charset"]) {
	case "", "utf-8", "utf8", "us-ascii":
	default:
		if bytes.ContainsFunc(body, func(r rune) bool { return r >= utf8.RuneSelf }) {
			return "", keyturn.Errorf(keyturn.KindBadReply, "the reply is not UTF-8: its Content-Type names another charset")
		}
	}
	body = bytes.TrimPrefix(body, utf8BOM)
	start := strings.ToLower(string(bytes.TrimSpace(body[:min(len(body), 64)])))
	switch {
	case !utf8.Valid(body):
		return "", keyturn.Errorf(keyturn.KindBadReply, "the reply is not UTF-8")
	case strings.HasPrefix(start, "<!doctype html"), strings.HasPrefix(start, "<html"):
		return "", keyturn.Errorf(keyturn.KindBadReply, "the reply is a page of HTML, not a key")
	case looksLikeJSON(body) && json.Valid(body):
		return "", keyturn.Errorf(keyturn.KindBadReply, "the reply is JSON, and replyFormat says that it is a text")
	case bytes.HasSuffix(body, []byte(notShown)):
		return "", keyturn.Errorf(keyturn.KindBadReply, "the reply was not kept")
	}
	return string(body), nil
}

// replyFormat checks how an operation's reply is read.
func (c *checker) replyFormat(at string, def keyturn.Operation) {
	if !def.ReadsText() {
		c.Check(def.ReplyFormat == "" || def.ReplyFormat == keyturn.ReplyJSON, at+".replyFormat",
			"must be json, text or lines")
		return
	}
	c.Check(len(def.ResponsePaths) > 0, at+".responsePaths",
		"must say what the text is, such as activationCode: $ (text) or activationCode: $[*]+ (lines)")
	for name, rp := range def.ResponsePaths {
		whole := strings.TrimSpace(rp.Path) == "$"
		switch def.ReplyFormat {
		case keyturn.ReplyText:
			c.Check(whole, at+".responsePaths."+name, "must be $, the whole text, because replyFormat is text")
		case keyturn.ReplyLines:
			c.Check(!whole, at+".responsePaths."+name,
				"must select lines, such as $[*]+ (each) or $[0] (the first), because replyFormat is lines")
		}
	}
}

// redactText is redact for a text. What is a key in it is the whole of it, or whole lines.
func redactText(in keyturn.Integration, op string, def keyturn.Operation, reply Reply, v Verdict) []byte {
	if len(bytes.TrimSpace(reply.Body)) == 0 {
		return bytes.Clone(reply.Body)
	}
	m := masks{}
	in.Secrets(func(_ string, ref *keyturn.SecretRef) { m.add(ref.Value, mask) })
	root, err := decode(def, reply.Header.Get("Content-Type"), reply.Body)
	succeeded := reply.Status >= 200 && reply.Status <= 299
	gives := succeeded && op != "cancel"
	if succeeded && v.ErrorCode == "" && err == nil {
		m.find(in, op, root)
	}
	for _, s := range v.Deliverable.ActivationCodes {
		m.add(s.Reveal(), mask)
	}
	if succeeded && v.ErrorCode == "" && (v.Outcome != Success || gives && m.found == 0) {
		return fmt.Appendf(nil, "[%d bytes; "+notShown, len(reply.Body))
	}
	within := m.replacer()
	parts := []any{root}
	if lines, is := root.([]any); is {
		parts = lines
	}
	if err != nil {
		parts = []any{string(reply.Body)}
	}
	var out []string
	for _, part := range parts {
		text, _ := part.(string)
		if as, is := m.texts[text]; is {
			out = append(out, as)
		} else {
			out = append(out, within(text))
		}
	}
	return []byte(strings.Join(out, "\n"))
}

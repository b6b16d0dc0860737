package endpoint

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

// RequestExplained is the request that an integration makes of an order, for the person who connects it. It holds the
// order's data, and no secret.
type RequestExplained struct {
	Operation  string      `json:"operation"`
	Definition string      `json:"definition"` // the key it stands under; empty: Nexway's default template
	Method     string      `json:"method"`
	URL        string      `json:"url"`
	Header     http.Header `json:"header"` // secret values as a mark
	Body       string      `json:"body"`
	Signed     *Signed     `json:"signed,omitempty"`
}

// Signed is the signed text and the place of the signature.
type Signed struct {
	Canonical string `json:"canonicalInput"`
	Signature string `json:"signature"`
	Header    string `json:"header,omitempty"`
	InBody    bool   `json:"inBody,omitempty"`
}

// Sample is the order that definitions are tried with when they are saved: it has every value.
func Sample(op string) Data { return samples(op)[0] }

// ExplainRequest is Render, step by step; its errors are Render's.
func ExplainRequest(in keyturn.Integration, op string, d Data) (RequestExplained, Request, error) {
	def, name, err := definitionFor(in, op)
	if err != nil {
		return RequestExplained{}, Request{}, err
	}
	req, err := Render(in, op, d)
	if err != nil {
		return RequestExplained{}, Request{}, err
	}
	out := RequestExplained{
		Operation: op, Method: req.Method, URL: req.URL, Header: req.Header.Clone(),
		Body: string(req.Body),
	}
	if _, own := in.Operations[name]; own {
		out.Definition = name
	}
	for header := range req.SecretHeaders {
		out.Header.Set(header, mask)
	}
	switch in.Auth.Type {
	case authBasic:
		out.Header.Set("Authorization", "Basic "+mask)
	case authBearer, authOAuth2:
		out.Header.Set("Authorization", "Bearer "+mask)
	}
	if sig := def.Signature; sig != nil && sig.Enabled {
		canonical, mac, err := Sign(*sig, d)
		if err != nil {
			return out, req, err
		}
		out.Signed = &Signed{Canonical: canonical, Signature: mac, Header: signatureHeader(sig), InBody: sig.InjectInBody}
	}
	return out, req, nil
}

const (
	shownValues     = 10
	shownValueRunes = 80
)

// ExplainReply is Judge, step by step. A reply that was redacted is explained like the reply itself.
func ExplainReply(in keyturn.Integration, op string, units int, reply Reply) keyturn.ReplyExplained {
	v := Judge(in, op, units, reply)
	shown := RedactReply(in, op, reply, v)
	out := keyturn.ReplyExplained{
		HTTPStatus: reply.Status, Body: cleanedBody(shown), Outcome: string(v.Outcome), Kind: v.Kind, Reason: v.Reason,
		ErrorCode: v.ErrorCode, ErrorMessage: v.ErrorMessage, RetryAfter: keyturn.Duration(v.RetryAfter),
		Codes: len(v.Deliverable.ActivationCodes), Units: units, Link: len(v.Deliverable.ActivationLinks) > 0,
		Values: []keyturn.ValueExplained{}, Additional: v.Additional,
	}
	for _, f := range v.Deliverable.Files {
		out.FileBytes += len(f.Data)
	}
	def, _, err := definitionFor(in, op)
	if err != nil {
		return out
	}
	masked := newReader(in, def)
	if masked.root, err = decode(def, "", shown); err != nil {
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(def.ResponsePaths)) {
		out.Values = append(out.Values, masked.explain(name))
	}
	for name := range out.Additional { // a path of the merchant's may select a code, too
		out.Additional[name] = nil
		if nodes, err := masked.nodes(name); err == nil {
			out.Additional[name] = shownNodes(nodes)
		}
	}
	return out
}

func (r reader) explain(name string) keyturn.ValueExplained {
	rp := r.paths[name]
	v := keyturn.ValueExplained{Name: name, Path: rp.Path, Found: []string{}, Converted: rp.ConversionTemplate != ""}
	nodes, err := r.nodes(name)
	if err != nil {
		v.Problem = err.Error()
		return v
	}
	v.Matches, v.Found = len(nodes), shownNodes(nodes)
	return v
}

func shownNodes(nodes []any) []string {
	texts := []string{}
	for _, node := range nodes[:min(len(nodes), shownValues)] {
		text, ok := scalarText(node)
		if !ok {
			text, _ = literal(node)
		}
		texts = append(texts, cleaned(text, shownValueRunes))
	}
	return texts
}

// cleanedBody is a body for a terminal: no control characters but line ends.
func cleanedBody(body []byte) string {
	const most = 4 << 10
	text := strings.ToValidUTF8(string(body[:min(len(body), most)]), "�")
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = cleaned(lines[i], most)
	}
	text = strings.Join(lines, "\n")
	if len(body) > most {
		text += fmt.Sprintf("… (%d bytes in all)", len(body))
	}
	return text
}

// Meaning returns one sentence about what Keyturn would do with a line after this reply.
func Meaning(r keyturn.ReplyExplained) string {
	switch outcome := Outcome(r.Outcome); {
	case outcome == Permanent:
		return "it would not be tried again: the next source, or the refund"
	case outcome == Retryable && r.RetryAfter > 0:
		return "it would be tried again, by the product's policy and not before " + time.Duration(r.RetryAfter).String()
	case outcome == Retryable:
		return "it would be tried again, by the product's policy"
	}
	var parts []string
	switch {
	case r.Units > 0 && r.Codes > r.Units:
		parts = append(parts, fmt.Sprintf("%d of the %d activation codes (the others go to nobody)", r.Units, r.Codes))
	case r.Codes == 1:
		parts = append(parts, "an activation code")
	case r.Codes > 1:
		parts = append(parts, fmt.Sprintf("%d activation codes", r.Codes))
	}
	if r.Link {
		parts = append(parts, "a link")
	}
	if r.FileBytes > 0 {
		parts = append(parts, fmt.Sprintf("a file of %d bytes", r.FileBytes))
	}
	if len(parts) == 0 {
		return "it is a bare acknowledgement: the customer's e-mail would hold no code, link or file"
	}
	return "the customer would get " + strings.Join(parts, ", ")
}

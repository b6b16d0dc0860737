package db

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
)

// hidden are the personal data of a customer, as they may stand in a request or a reply: operators see what was asked
// and answered without seeing whom it was for.
type hidden struct {
	whole map[string]bool // values too short to be looked for inside others
	parts *strings.Replacer
}

const redactedText = "[redacted]"

// personalNames are the fields whose value is hidden whatever it is, also in a reply that made its own.
var personalNames = map[string]bool{
	"email": true, "firstname": true, "lastname": true, "companyname": true, "companyidentifier": true, "street": true,
	"city":    true,
	"zipcode": true, "phone": true, "authorization": true,
}

// minPart is how long a value must be to be looked for inside other text: a first name "Al" would redact "also".
const minPart = 4

// personalData hides whom the order is for, and the keys that are given besides.
func personalData(c storedCustomer, keys ...string) hidden {
	h := hidden{whole: map[string]bool{}}
	var pairs []string
	for _, v := range append(keys, c.Email, c.FirstName, c.LastName, c.CompanyName, c.CompanyIdentifier, c.Street, c.City,
		c.ZipCode, c.Phone) {
		if v == "" {
			continue
		}
		h.whole[strings.ToLower(v)] = true
		if len(v) >= minPart {
			for _, form := range []string{v, strings.ToLower(v), strings.ToUpper(v), url.QueryEscape(v), url.PathEscape(v)} {
				pairs = append(pairs, form, redactedText)
			}
		}
	}
	h.parts = strings.NewReplacer(pairs...)
	return h
}

func (h hidden) text(s string) string {
	if h.whole[strings.ToLower(s)] {
		return redactedText
	}
	return h.parts.Replace(s)
}

// request shows a stored request (method, url, header, body in base64) with its body as what it is.
func (h hidden) request(stored []byte) string {
	var r struct {
		Method string              `json:"method"`
		URL    string              `json:"url"`
		Header map[string][]string `json:"header,omitempty"`
		Body   []byte              `json:"body,omitempty"`
	}
	if json.Unmarshal(stored, &r) != nil || r.Method == "" {
		return h.body(stored)
	}
	var b strings.Builder
	b.WriteString(h.text(r.Method + " " + r.URL))
	if len(r.Body) > 0 {
		b.WriteString("\n" + h.body(r.Body))
	}
	return b.String()
}

// body shows a body: JSON without the values of personal fields, other text without the values we know.
func (h hidden) body(raw []byte) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil || d.More() {
		return h.text(strings.ToValidUTF8(string(raw), "\uFFFD"))
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if e.Encode(h.tree(tree)) != nil {
		return redactedText
	}
	return strings.TrimSpace(out.String())
}

func (h hidden) tree(v any) any {
	switch v := v.(type) {
	case string:
		return h.text(v)
	case []any:
		for i := range v {
			v[i] = h.tree(v[i])
		}
	case map[string]any:
		for name, inner := range v {
			if _, isText := inner.(string); isText && personalNames[strings.ToLower(name)] {
				v[name] = redactedText
				continue
			}
			v[name] = h.tree(inner)
		}
	}
	return v
}

// cut keeps the beginning of a long text.
func cut(s string) string {
	if len(s) <= shownBytes {
		return s
	}
	return strings.ToValidUTF8(s[:shownBytes], "") + "…"
}

package endpoint

import (
	"bytes"
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"keyturn.dev/keyturn"
)

const mask = "[redacted]"

// shortSecret is the length below which a value is masked only where it stands alone: "1" is in every text.
const shortSecret = 4

var (
	stringToken = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	numberToken = regexp.MustCompile(`-?[0-9]+`)
)

// Redact gives a request's or reply's body as operators may see it: activation codes, links and file contents that the
// operation's response paths find in it, the values in known (for a request: the codes of earlier operations), and the
// integration's own secrets are masked wherever they stand, also where JSON escapes them. What is no JSON is masked as
// plain text.
func Redact(in keyturn.Integration, op string, body []byte, known []keyturn.Secret) []byte {
	var secrets []string
	add := func(text string) {
		if strings.TrimSpace(text) != "" {
			secrets = append(secrets, text)
		}
	}
	for _, s := range known {
		add(s.Reveal())
	}
	for _, ref := range secretRefs(&in) {
		add(ref.Value)
	}
	if def, _, err := definitionFor(in, op); err == nil {
		if root, err := decodeJSON(body); err == nil {
			for _, name := range []string{nameCode, nameLink, nameFile} {
				p, err := parsePath(def.ResponsePaths[name].Path, in.AllowFilters)
				if err != nil {
					continue
				}
				nodes, _ := p.eval(root)
				for _, node := range nodes {
					eachScalar(node, add)
				}
			}
		}
	}
	if len(secrets) == 0 {
		return bytes.Clone(body)
	}
	// The longest first, so that a code within another code does not leave the rest of it.
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return maskAll(body, slices.Compact(secrets))
}

// eachScalar visits the texts and numbers below a node: a path that selects an object may still have found the key.
func eachScalar(node any, visit func(string)) {
	switch node := node.(type) {
	case string:
		visit(node)
	case json.Number:
		visit(string(node))
	default:
		for _, child := range children(node) {
			eachScalar(child, visit)
		}
	}
}

func maskAll(body []byte, secrets []string) []byte {
	plain := func(text string) string {
		for _, s := range secrets {
			switch {
			case text == s:
				return mask
			case len(s) >= shortSecret:
				text = strings.ReplaceAll(text, s, mask)
			}
		}
		return text
	}
	between := func(text []byte) []byte {
		masked := numberToken.ReplaceAllFunc(text, func(n []byte) []byte {
			if slices.Contains(secrets, string(n)) {
				return []byte(`"` + mask + `"`)
			}
			return n
		})
		return []byte(plain(string(masked)))
	}
	var out []byte
	end := 0
	for _, at := range stringToken.FindAllIndex(body, -1) {
		out = append(out, between(body[end:at[0]])...)
		token := body[at[0]:at[1]]
		end = at[1]
		var text string
		if json.Unmarshal(token, &text) == nil {
			if masked := plain(text); masked != text {
				token = []byte(quoted(masked))
			}
		}
		out = append(out, token...)
	}
	out = append(out, between(body[end:])...)
	for _, s := range secrets { // values that hold quotes, in text that is no JSON
		if len(s) >= shortSecret {
			out = bytes.ReplaceAll(out, []byte(s), []byte(mask))
		}
	}
	return out
}

// secretRefs are the places of an integration's secrets.
func secretRefs(in *keyturn.Integration) []*keyturn.SecretRef {
	refs := []*keyturn.SecretRef{in.Auth.Password, in.Auth.Token, in.Auth.ClientSecret, in.TLS.ClientKey}
	for _, op := range in.Operations {
		if op.Signature != nil {
			refs = append(refs, op.Signature.Secret)
		}
	}
	return slices.DeleteFunc(refs, func(r *keyturn.SecretRef) bool { return r == nil })
}

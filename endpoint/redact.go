package endpoint

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"keyturn.dev/keyturn"
)

const (
	mask = "[redacted]"
	// shortSecret is the length below which a value is masked only where it stands alone: "1" is in every text.
	shortSecret = 4
	// maxSearch bounds how many values are looked for within how many bytes; beyond it every value is masked whole.
	maxSearch = 16 << 20
)

// Redact returns a request's or reply's body as operators may see it: activation codes, links and file contents that
// the operation's response paths find in it, the values in known (for a request: the codes of earlier operations), and
// the integration's own secrets are masked wherever they stand, also where JSON escapes them. A body that is not JSON
// is masked as plain text; one that begins like JSON but cannot be read within bounds keeps only its names.
//
// Masks of found values keep what a response path needs to find them again: each value has a number, a link stays an
// https address, a file stays base64. So Judge says of a redacted reply what it says of the reply, but for conversions
// that look into a code.
func Redact(in keyturn.Integration, op string, body []byte, known []keyturn.Secret) []byte {
	return redact(in, op, body, known, false)
}

// RedactReply is Redact for a partner's reply whose verdict is v. If the partner reports success and the response paths
// find no code, link or file, any value may be one, so all are masked except those of the paths of success and failure.
func RedactReply(in keyturn.Integration, op string, reply Reply, v Verdict) []byte {
	if def, _, err := definitionFor(in, op); err == nil && def.ReadsText() {
		return redactText(in, op, def, reply, v)
	}
	gives := reply.Status >= 200 && reply.Status <= 299 && op != "cancel"
	return redact(in, op, reply.Body, v.Deliverable.ActivationCodes, gives)
}

// redact masks a body; gives means that it may hold a key that no path finds.
func redact(in keyturn.Integration, op string, body []byte, known []keyturn.Secret, gives bool) []byte {
	m := masks{}
	in.Secrets(func(_ string, ref *keyturn.SecretRef) { m.add(ref.Value, mask) })
	root, err := decodeJSON(body)
	isJSON := err == nil && root != nil
	if isJSON {
		m.find(in, op, root)
	}
	for _, s := range known {
		m.add(s.Reveal(), mask)
	}
	switch {
	case !gives || m.found > 0 || len(body) == 0:
	case isJSON:
		m.everything(in, op, root)
	case !looksLikeJSON(body):
		return fmt.Appendf(nil, "[%d bytes that are no JSON; "+notShown, len(body))
	}
	m.whole = m.whole || len(m.texts)*len(body) > maxSearch || !isJSON && looksLikeJSON(body)
	return m.apply(body, isJSON || m.whole)
}

func looksLikeJSON(body []byte) bool {
	text := strings.TrimSpace(string(body[:min(len(body), 64)]))
	return strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[")
}

// masks are the values to hide, each with what stands in its place.
type masks struct {
	texts map[string]string
	found int
	whole bool // hide every value
	names bool // every value is among texts: names stay as they are
}

// keysIn masks the codes, links and files of a reply in the partner's words: they are shown where no key is, and a
// partner that refuses a request may quote the key that it is about.
func keysIn(in keyturn.Integration, op string, f facts) func(string) string {
	same := func(text string) string { return text }
	if f.errorCode == "" && f.message == "" || f.reader.root == nil {
		return same
	}
	m := masks{}
	m.find(in, op, f.reader.root)
	for text := range maps.Clone(m.texts) {
		for _, form := range []string{strings.TrimSpace(text), strings.ToUpper(text), strings.ToLower(text)} {
			m.add(form, mask)
		}
	}
	if len(m.texts) == 0 {
		return same
	}
	if m.whole {
		return func(string) string { return mask }
	}
	for text := range m.texts {
		m.texts[text] = mask
	}
	within := m.replacer()
	return func(text string) string {
		if _, is := m.texts[text]; is && text != "" {
			return mask
		}
		return within(text)
	}
}

// everything adds every text and number, each with a mask of its own, so that a corrected path finds as many; but not
// what the paths of success and failure find.
func (m *masks) everything(in keyturn.Integration, op string, root any) {
	m.names = true
	kept := map[string]bool{}
	def, _, _ := definitionFor(in, op)
	left := &work{left: maxWork}
	for _, name := range []string{nameSuccess, nameError, nameMessage} {
		p, err := parsePath(def.ResponsePaths[name].Path, optionsOf(in))
		if err != nil {
			continue
		}
		if nodes, err := p.eval(root, left); err == nil && len(nodes) > 0 {
			text, _ := scalarText(nodes[0])
			kept[text] = true
		}
	}
	eachScalar(root, left, func(text string) {
		if !kept[text] {
			m.addFound(nameCode, text)
		}
	})
	m.whole = m.whole || left.left < 0
}

func (m *masks) add(text, as string) {
	if _, there := m.texts[text]; there || strings.TrimSpace(text) == "" {
		return
	}
	if m.texts == nil {
		m.texts = map[string]string{}
	}
	m.texts[text] = as
}

// find adds what the operation's paths select.
func (m *masks) find(in keyturn.Integration, op string, root any) {
	def, _, err := definitionFor(in, op)
	if err != nil {
		return
	}
	left := &work{left: maxWork}
	for _, name := range []string{nameCode, nameLink, nameFile} {
		p, err := parsePath(def.ResponsePaths[name].Path, optionsOf(in))
		if err != nil {
			continue
		}
		nodes, err := p.eval(root, left)
		m.whole = m.whole || err != nil
		for _, node := range nodes {
			eachScalar(node, left, func(text string) { m.addFound(name, text) })
		}
	}
	m.whole = m.whole || left.left < 0
}

func (m *masks) addFound(name, text string) {
	if _, there := m.texts[text]; there {
		return
	}
	m.found++
	number := strconv.Itoa(m.found)
	switch name {
	case nameLink:
		m.add(text, "https://redacted.invalid/"+number)
	case nameFile:
		m.add(text, base64.StdEncoding.EncodeToString([]byte("[redacted "+number+"]")))
	default:
		m.add(text, "[redacted "+number+"]")
	}
}

// eachScalar visits the texts and numbers below a node: a path that selects an object may still have found the key.
func eachScalar(node any, left *work, visit func(string)) {
	switch node := node.(type) {
	case string:
		visit(node)
	case json.Number:
		visit(string(node))
	default:
		for _, child := range children(node, left) {
			eachScalar(child, left, visit)
		}
	}
}

var jsonToken = regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*"(\s*:)?|"(?:[^"\\]|\\.)*\\?$|-?[0-9][0-9.eE+-]*`)

// apply masks a body. The time it takes is linear in its length.
func (m *masks) apply(body []byte, isJSON bool) []byte {
	if len(m.texts) == 0 && !m.whole {
		return slices.Clone(body)
	}
	within := m.replacer()
	if !isJSON {
		return []byte(within(string(body)))
	}
	var out []byte
	end := 0
	for _, at := range jsonToken.FindAllSubmatchIndex(body, -1) {
		out = append(out, body[end:at[0]]...)
		token := body[at[0]:at[1]]
		colon := []byte(nil)
		if at[2] >= 0 {
			token, colon = body[at[0]:at[2]], body[at[2]:at[3]]
		}
		out = append(append(out, m.token(token, colon != nil, within)...), colon...)
		end = at[1]
	}
	return append(out, body[end:]...)
}

// token masks one string or number of a JSON document.
func (m *masks) token(token []byte, isName bool, within func(string) string) []byte {
	text, isText := string(token), token[0] == '"'
	if isText && json.Unmarshal(token, &text) != nil { // it was cut off
		return []byte(quoted(mask))
	}
	as, there := m.texts[text]
	switch {
	case isName && m.names:
		return token
	case there:
	case m.whole && !isName:
		as = mask
	case isText:
		if as = within(text); as == text {
			return token
		}
	default:
		return token
	}
	return []byte(quoted(as))
}

// replacer finds the values within others. The longest come first, so that a code within another code does not leave
// the rest of it.
func (m *masks) replacer() func(string) string {
	var long []string
	for text := range m.texts {
		if len(text) >= shortSecret && !m.whole {
			long = append(long, text)
		}
	}
	switch len(long) {
	case 0:
		return func(text string) string { return text }
	case 1: // a Replacer of one pair would take the square of its length to prepare
		return func(text string) string { return strings.ReplaceAll(text, long[0], m.texts[long[0]]) }
	}
	slices.SortFunc(long, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	pairs := make([]string, 0, 2*len(long))
	for _, text := range long {
		pairs = append(pairs, text, m.texts[text])
	}
	return strings.NewReplacer(pairs...).Replace
}

package endpoint

import (
	"encoding/base64"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"keyturn.dev/keyturn"
)

// The response paths with a meaning (docs/understand/partner-contract.md, Reading replies); any other name is captured
// as additional data.
const (
	nameCode     = "activationCode"
	nameFile     = "activationFileContent"
	nameFileName = "activationFileName"
	nameLink     = "activationLink"
	nameSuccess  = "successFlag"
	nameError    = "errorCode"
	nameMessage  = "errorMessage"
)

// reader reads one reply through the paths of one operation. Reading costs a bounded amount of work, whatever the
// reply.
type reader struct {
	paths map[string]keyturn.ResponsePath
	allow pathOptions
	root  any
	left  *work
}

func newReader(in keyturn.Integration, def keyturn.Operation) reader {
	return reader{paths: def.ResponsePaths, allow: optionsOf(in), left: &work{left: maxWork}}
}

// nodes are what the path of a name selects: the first match, or with + all of them, arrays among them flattened.
// Without a path, and where nothing matches, there are none.
func (r reader) nodes(name string) ([]any, error) {
	rp, ok := r.paths[name]
	if !ok {
		return nil, nil
	}
	p, err := parsePath(rp.Path, r.allow)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindConfiguration, "the response path %s is not valid: %w", name, err)
	}
	found, err := p.eval(r.root, r.left)
	if err != nil || !p.all {
		return found[:min(len(found), 1)], err
	}
	var all []any
	for _, node := range found {
		if list, ok := node.([]any); ok {
			all = append(all, list...)
		} else {
			all = append(all, node)
		}
	}
	return all, nil
}

// converter returns the conversion of a name, whose template's dot is the value's text. It is compiled once, and its
// budget covers all values together: a reply with thousands of values costs no more than one with a few large ones.
func (r reader) converter(name string, limit int) (func(string) (string, error), error) {
	conversion := r.paths[name].ConversionTemplate
	if conversion == "" {
		return func(text string) (string, error) { return text, nil }, nil
	}
	if !r.left.spend(compileWork * len(conversion)) {
		return nil, errTooMuchWork
	}
	p, err := compile(conversion, inText, reflect.TypeFor[string](), nil)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindConfiguration, "the conversion of %s is not valid: %w", name, err)
	}
	p.allow(budget{text: textFuel, loop: loopFuel, one: max(limit, maxFunctionBytes)})
	return func(text string) (string, error) {
		if text == "" {
			return "", nil
		}
		if !r.left.spend(conversionWork + p.nodes*nodeWork) {
			return "", errTooMuchWork
		}
		out, err := p.execute(text, limit)
		if err != nil {
			return "", keyturn.Errorf(keyturn.KindBadReply, "the conversion of %s fails on this reply: %w", name, err)
		}
		return out, nil
	}, nil
}

// status reads a value that decides about success or failure. present is false where there is nothing or null; a value
// that is no scalar is a reply that cannot be used.
func (r reader) status(name string) (text string, present bool, err error) {
	nodes, err := r.nodes(name)
	if err != nil || len(nodes) == 0 || nodes[0] == nil {
		return "", false, err
	}
	text, ok := scalarText(nodes[0])
	if !ok {
		return "", false, keyturn.Errorf(keyturn.KindBadReply, "the value of %s is not a single value", name)
	}
	convert, err := r.converter(name, maxValueBytes)
	if err == nil {
		text, err = convert(text)
	}
	return text, true, err
}

// keys reads values for the customer. Blank values are absent; a value that cannot be a key, after its conversion,
// spoils the reply.
func (r reader) keys(name string, maxBytes int) ([]string, error) {
	nodes, err := r.nodes(name)
	if err != nil || len(nodes) == 0 {
		return nil, err
	}
	convert, err := r.converter(name, maxBytes)
	if err != nil {
		return nil, err
	}
	var texts []string
	seen := map[string]bool{"": true}
	for _, node := range nodes {
		text, ok := rawText(node)
		if ok && strings.TrimSpace(text) != "" {
			if text, err = convert(text); err != nil {
				return nil, err
			}
		}
		if ok {
			text, ok = keyText(text, maxBytes)
		}
		if !ok {
			return nil, keyturn.Errorf(keyturn.KindBadReply,
				"the value of %s is not usable: it must be clean text or an integer of at most %d bytes", name, maxBytes)
		}
		if !seen[text] {
			seen[text] = true
			texts = append(texts, text)
		}
	}
	return texts, nil
}

// deliverable reads codes, links and files.
func (r reader) deliverable(baseURL string) (Deliverable, error) {
	var d Deliverable
	codes, err := r.keys(nameCode, maxValueBytes)
	if err != nil {
		return d, err
	}
	for _, code := range codes {
		d.ActivationCodes = append(d.ActivationCodes, keyturn.Secret(code))
	}
	links, err := r.keys(nameLink, maxURLBytes)
	if err != nil {
		return d, err
	}
	for _, link := range links {
		if !goodLink(link, baseURL) {
			return d, keyturn.Errorf(keyturn.KindBadReply, "the value of %s is not an https:// address", nameLink)
		}
		d.ActivationLinks = append(d.ActivationLinks, keyturn.Secret(link))
	}
	d.Files, err = r.files()
	return d, err
}

// goodLink allows plain http only where the partner itself is reached so, which Check allows in development only.
func goodLink(link, baseURL string) bool {
	u, err := url.Parse(link)
	return err == nil && u.Host != "" && u.User == nil && u.Opaque == "" && !strings.ContainsAny(link, " \"<>\\^`{|}") &&
		(u.Scheme == "https" || u.Scheme == "http" && strings.HasPrefix(baseURL, "http:"))
}

// files decodes activationFileContent. Each has the name that activationFileName gives it, or ours.
func (r reader) files() ([]File, error) {
	nodes, err := r.nodes(nameFile)
	if err != nil || len(nodes) == 0 {
		return nil, err
	}
	convert, err := r.converter(nameFile, 2*maxFileBytes)
	if err != nil {
		return nil, err
	}
	names := r.fileNames()
	var out []File
	for i, node := range nodes {
		text, ok := node.(string)
		if !ok && node != nil {
			return nil, keyturn.Errorf(keyturn.KindBadReply, "the value of %s is not a string", nameFile)
		}
		if text, err = convert(text); err != nil {
			return nil, err
		}
		data, err := decodeFile(text)
		if err != nil {
			return nil, err
		}
		if data == nil {
			continue
		}
		f := File{Name: defaultFileName, ContentType: "application/octet-stream", Data: data}
		if len(names) == len(nodes) && names[i] != "" { // otherwise nobody knows whose a name is
			f.Name = names[i]
		}
		out = append(out, f)
	}
	return out, nil
}

// fileNames reads the names of files, as far as they can be names. A bad one is no reason to refuse the file.
func (r reader) fileNames() (names []string) {
	nodes, err := r.nodes(nameFileName)
	convert, errConvert := r.converter(nameFileName, maxValueBytes)
	if err != nil || errConvert != nil {
		return nil
	}
	for _, node := range nodes {
		text, _ := node.(string)
		if text, err = convert(text); err != nil {
			text = ""
		}
		names = append(names, cleanFileName(text))
	}
	return names
}

// decodeFile decodes base64, of the standard or the URL alphabet, with or without padding, line breaks ignored.
// Nothing gives nil.
func decodeFile(text string) ([]byte, error) {
	text = strings.TrimRight(strings.Map(func(c rune) rune {
		switch c {
		case ' ', '\t', '\r', '\n':
			return -1
		case '-':
			return '+'
		case '_':
			return '/'
		}
		return c
	}, text), "=")
	if text == "" {
		return nil, nil
	}
	if base64.RawStdEncoding.DecodedLen(len(text)) > maxFileBytes {
		return nil, keyturn.Errorf(keyturn.KindBadReply, "the value of %s is larger than 1 MiB", nameFile)
	}
	data, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindBadReply, "the value of %s is not base64", nameFile)
	}
	return data, nil
}

const maxAdditionalValues = 100

// additional reads every other name. It serves later operations and operators, so a value that cannot be kept is left
// out rather than failing a key that was issued; left names what was.
func (r reader) additional() (found map[string][]string, left []string) {
	found = map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(r.paths)) {
		switch name {
		case nameCode, nameFile, nameFileName, nameLink, nameSuccess, nameError, nameMessage:
			continue
		}
		nodes, err := r.nodes(name)
		convert, errConvert := r.converter(name, maxValueBytes)
		if err != nil || errConvert != nil || len(nodes) > maxAdditionalValues {
			left = append(left, name)
			continue
		}
		for _, node := range nodes {
			text, ok := scalarText(node)
			if ok {
				text, err = convert(text)
			}
			switch {
			case !ok || err != nil || text != "" && !keyturn.CleanText(text, 1, maxValueBytes):
				left = append(left, name)
			case text != "":
				found[name] = append(found[name], text)
			}
		}
	}
	if len(found) == 0 {
		found = nil
	}
	return found, slices.Compact(left)
}

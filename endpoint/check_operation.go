package endpoint

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"keyturn.dev/keyturn"
)

var valueName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

// CheckTemplate checks a body template by itself: its constructs, its field names, and that it renders to JSON for
// orders with every value and with the least. Check does the same with bodyTemplate.
func CheckTemplate(bodyTemplate string) error {
	def := keyturn.Operation{BodyTemplate: bodyTemplate}
	for _, d := range samples("create") {
		if err := tryBody(def, d, nil); err != nil {
			return &keyturn.Error{Kind: keyturn.KindInvalid, Message: err.Error()}
		}
	}
	return nil
}

func (c *checker) operations(in keyturn.Integration) {
	for _, d := range samples("create") {
		if !c.headerTemplates("httpHeaders", in.HTTPHeaders, d) {
			break
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in.Operations)) {
		at := "operations." + name
		ops := []string{name}
		c.lookUp(at, name, in.Operations[name])
		if name == fallbackOperation {
			ops = slices.Sorted(maps.Keys(defaultPaths))
		}
		if current := renamed(name); current != name {
			ops = []string{current}
			_, both := in.Operations[current]
			c.Check(!both, at, "is the legacy name of %s, which is defined too", current)
		} else if _, known := defaultPaths[name]; !known && name != fallbackOperation && name != lookUpOperation {
			c.Addf(at, "is not an operation: use create, renew, upgrade, cancel, pause, resume, fallback or lookup")
			continue
		}
		c.operation(at, in, in.Operations[name], ops)
	}
}

func renamed(name string) string {
	for current, legacy := range legacyNames {
		if name == legacy {
			return current
		}
	}
	return name
}

func (c *checker) operation(at string, in keyturn.Integration, def keyturn.Operation, ops []string) {
	c.headers(at+".httpHeaders", def.HTTPHeaders)
	c.replyFormat(at, def)
	c.responsePaths(at+".responsePaths", def.ResponsePaths, optionsOf(in))
	sig, signable := c.signature(at+".signature", def)
	if !signable {
		return
	}
	def.Signature = sig
	for _, op := range ops {
		for _, d := range samples(op) {
			if !c.sample(at, def, d) {
				return // one example of what is wrong is enough
			}
		}
	}
}

// sample renders one sample order and notes what fails where.
func (c *checker) sample(at string, def keyturn.Operation, d Data) bool {
	ok := true
	note := func(location string, err error) {
		if err != nil {
			ok = false
			c.Addf(location, "%s", err)
		}
	}
	complement, err := try(def.URLComplement, inURL, d, maxURLBytes, nil)
	if err == nil {
		if _, errJoin := joinURL("https://partner.test/base", complement); errJoin != nil {
			err = errors.New("must stay below the base URL: no other host, no .., no fragment, at most 2048 bytes")
		}
	}
	note(at+".urlComplement", err)
	note(at+".bodyTemplate", tryBody(def, d, def.Signature))
	return c.headerTemplates(at+".httpHeaders", def.HTTPHeaders, d) && ok
}

func (c *checker) headerTemplates(at string, headers map[string][]keyturn.HeaderValue, d Data) bool {
	for name, values := range headers {
		for i, v := range values {
			if !strings.Contains(v.Text, "{{") {
				continue
			}
			value, err := try(v.Text, inText, d, maxValueBytes, nil)
			if err == nil && !httpguts.ValidHeaderFieldValue(value) {
				err = errors.New("does not give a valid header value")
			}
			if err != nil {
				c.Addf(index(at+"."+name, i), "%s", err)
				return false
			}
		}
	}
	return true
}

func try(text string, where place, d Data, limit int, signature func() (string, error)) (string, error) {
	p, err := compile(text, where, viewType, signature)
	if err != nil {
		return "", err
	}
	data, err := d.view()
	if err != nil {
		return "", err
	}
	return p.run(data, limit)
}

func tryBody(def keyturn.Operation, d Data, sig *keyturn.Signature) error {
	_, signature, err := signed(sig, d)
	if err != nil {
		return err
	}
	body, err := try(bodyTemplate(def), inJSON, d, maxBodyBytes, signature)
	if err == nil && !json.Valid([]byte(body)) {
		err = errors.New("does not give JSON for a sample order " + sampleName(d))
	}
	return err
}

func (c *checker) responsePaths(at string, paths map[string]keyturn.ResponsePath, allow pathOptions) {
	c.Check(len(paths) <= 50, at, "must have at most 50 entries")
	conversions := 0
	for name, rp := range paths {
		conversions += len(rp.ConversionTemplate)
		where := at + "." + name
		c.Check(valueName.MatchString(name), where, "must be named with letters, digits and '_', at most 64")
		if _, err := parsePath(rp.Path, allow); err != nil {
			c.Addf(where, "%s", err)
		}
		if rp.ConversionTemplate != "" {
			if _, err := compile(rp.ConversionTemplate, inText, reflect.TypeFor[string](), nil); err != nil {
				c.Addf(where+".conversionTemplate", "%s", err)
			}
		}
	}
	c.Check(conversions <= maxTemplateBytes, at, "must have conversionTemplates of at most %d bytes together",
		maxTemplateBytes)
}

// signature checks a definition's signature and returns the one to render samples with; false if it cannot be used.
func (c *checker) signature(at string, def keyturn.Operation) (*keyturn.Signature, bool) {
	if def.Signature == nil || !def.Signature.Enabled {
		return nil, true
	}
	sig, before := *def.Signature, c.Err("")
	name := signatureHeader(&sig)
	c.Check(name != "" || sig.InjectInBody, at, "needs a headerName or injectInBody")
	c.Check(name == "" || httpguts.ValidHeaderFieldName(name) && !slices.Contains(ownHeaders, name), at+".headerName",
		"is not a header that can be set")
	c.secret(at+".secret", sig.Secret, 1<<10, func(rune) bool { return true })
	c.Check(len(sig.SignedFields) > 0, at+".signedFields", "must name at least one field")
	c.Check(len(sig.SignedFields) <= 50, at+".signedFields", "must name at most 50 fields")
	full := samples("create")[0]
	for i, field := range sig.SignedFields {
		if err := signable(field, full); err != nil {
			c.Addf(index(at+".signedFields", i), "%s", err)
		}
	}
	if sig.InjectInBody {
		p, err := compile(bodyTemplate(def), inJSON, viewType, func() (string, error) { return "", nil })
		c.Check(err != nil || p.signs, at+".injectInBody", "needs {{signature}} in the bodyTemplate")
	}
	if sig.Secret == nil || sig.Secret.Value == "" {
		sig.Secret = &keyturn.SecretRef{Value: "sample"} // the real one stays where it is stored
	}
	return &sig, problemCount(c.Err("")) == problemCount(before)
}

func problemCount(err error) int {
	var e *keyturn.Error
	if errors.As(err, &e) {
		return len(e.Fields)
	}
	return 0
}

// signable reports whether a path selects a single value of a request that has every value. Names in the maps are the
// merchant's own.
func signable(field string, full Data) error {
	p, err := signedPath(field)
	if err != nil {
		return err
	}
	for _, free := range []string{"$.additionalData.", "$.product.variables.", "$.product.priceFunctionParameters."} {
		if strings.HasPrefix(field, free) {
			return nil
		}
	}
	document, err := json.Marshal(full)
	if err != nil {
		return err
	}
	root, err := decodeJSON(document)
	if err != nil {
		return err
	}
	nodes, err := p.eval(root, &work{left: maxWork})
	if err != nil || len(nodes) == 0 {
		return errors.New("names nothing in a fulfillment request, such as $.licenseId or $.checkout.orderId do (it is " +
			"the data that is signed, not the body)")
	}
	if _, ok := scalarText(nodes[0]); !ok {
		return errNotDefinite
	}
	return nil
}

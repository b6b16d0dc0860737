package endpoint

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"keyturn.dev/keyturn"
)

// Sign signs the selected fields of a fulfillment request (docs/understand/partner-contract.md, Signing): canonical is
// the compact JSON object of path and value in the order of the paths' bytes, signature its HMAC-SHA256 under the
// secret's own bytes, in lowercase hex. A missing secret, a path that cannot be read and a path to an array or object
// are errors of KindConfiguration, which no retry mends; the missing secret is permanent. The contract does not say
// whether &, < and > are escaped in the canonical text; here they are not.
func Sign(sig keyturn.Signature, d Data) (canonical, signature string, err error) {
	if sig.Secret == nil || sig.Secret.Value == "" {
		return "", "", &keyturn.Error{
			Kind: keyturn.KindConfiguration, Message: "the signing secret is missing",
			Permanent: true,
		}
	}
	document, err := json.Marshal(d)
	if err != nil {
		return "", "", keyturn.Errorf(keyturn.KindInternal, "the request cannot be written as JSON: %w", err)
	}
	root, err := decodeJSON(document)
	if err != nil {
		return "", "", keyturn.Errorf(keyturn.KindConfiguration, "the request has too many values to be signed: %w", err)
	}
	text := []byte{'{'}
	for i, field := range sortedFields(sig.SignedFields) {
		p, err := signedPath(field)
		if err != nil {
			return "", "", keyturn.Errorf(keyturn.KindConfiguration, "a signed field is not valid: %w", err)
		}
		nodes, err := p.eval(root, &work{left: maxWork})
		if err != nil {
			return "", "", err
		}
		var value string
		if len(nodes) > 0 {
			var ok bool
			if value, ok = scalarText(nodes[0]); !ok {
				return "", "", keyturn.Errorf(keyturn.KindConfiguration, "the signed field %s is not a single value", field)
			}
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, quoted(field)+":"+quoted(value)...)
	}
	text = append(text, '}')
	mac := hmac.New(sha256.New, []byte(sig.Secret.Value))
	mac.Write(text)
	return string(text), hex.EncodeToString(mac.Sum(nil)), nil
}

// signedPath reads the path of a signed field: it must name one place.
func signedPath(field string) (path, error) {
	p, err := parsePath(field, pathOptions{})
	if err == nil && (p.all || !p.definite() || len(p.segments) == 0) {
		err = errNotDefinite
	}
	return p, err
}

var errNotDefinite = keyturn.Errorf(keyturn.KindInvalid, "must name a single value, without *, slices and +")

// signatureHeader is the header that carries the signature, "" for none.
func signatureHeader(sig *keyturn.Signature) string {
	switch {
	case sig == nil || !sig.Enabled:
		return ""
	case sig.HeaderName == nil:
		return DefaultSignatureHeader
	}
	return strings.TrimSpace(*sig.HeaderName)
}

package keyturn

import (
	"regexp"
	"strings"
)

// Prefix is what the IDs of one merchant's orders, products, pools and integrations begin with, such as `m42:`. The
// empty prefix stands for every merchant: an installation that needs no prefixes has none.
type Prefix string

var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,30}:$`)

// Check says what is wrong with a prefix. It ends with its only colon, so that no merchant's prefix is the beginning of
// another's, and the merchant of an ID can be looked up in an index.
func (p Prefix) Check() error {
	if p != "" && !prefixPattern.MatchString(string(p)) {
		return Errorf(KindInvalid,
			"the prefix must be 1 to 31 letters, digits, '.', '_' or '-' and a colon at the end, such as m42:")
	}
	return nil
}

// Covers says whether the ID is the merchant's.
func (p Prefix) Covers(id string) bool { return strings.HasPrefix(id, string(p)) }

// Merchant is the prefix without its colon: what stands before the first colon of every ID that it covers.
func (p Prefix) Merchant() string { return strings.TrimSuffix(string(p), ":") }

// CheckNew refuses to make something under an ID that the prefix does not cover. KindForbidden with the field.
func (p Prefix) CheckNew(location, id string) error {
	if p.Covers(id) {
		return nil
	}
	return &Error{
		Kind: KindForbidden, Message: "the token may only make what has an ID that begins with " + string(p),
		Fields: []FieldError{{Location: location, Message: "must begin with " + string(p)}},
	}
}

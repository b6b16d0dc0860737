package keyturn

import (
	"regexp"
	"strings"
)

const maxIdempotencyKey = 255

var (
	// bareKey leaves out what quotes, lists and escapes are made of, so that a key means the same to every proxy.
	bareKey   = regexp.MustCompile(`^[A-Za-z0-9._:/#+=@~-]+$`)
	quotedKey = regexp.MustCompile(`^"(?:[ !#-\[\]-~]|\\["\\])+"$`)
)

// IdempotencyKeyRule says what the header Idempotency-Key may hold.
const IdempotencyKeyRule = `must be sent once, with 1 to 255 letters, digits or characters of ._:/#+=@~-, or any ` +
	`printable ASCII in double quotes`

// IdempotencyKeyPattern is the same rule as a regular expression, without the length.
var IdempotencyKeyPattern = bareKey.String() + "|" + quotedKey.String()

// ParseIdempotencyKey reads the header Idempotency-Key: the key as it is, or in the form of the IETF, a string of
// structured fields (RFC 8941). `"a"` and `a` are one key. ok is false for anything else.
func ParseIdempotencyKey(header string) (key string, ok bool) {
	key = header
	if quotedKey.MatchString(header) {
		key = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(header[1 : len(header)-1])
	} else if !bareKey.MatchString(header) {
		return "", false
	}
	return key, len(key) <= maxIdempotencyKey
}

// FormatIdempotencyKey writes the header for a key: without quotes where it can do without.
func FormatIdempotencyKey(key string) string {
	if bareKey.MatchString(key) {
		return key
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
}

package mail

import (
	"regexp"
	"strings"

	"keyturn.dev/keyturn"
)

// The longest local part and the longest address that SMTP carries (RFC 5321 §4.5.3.1, with the brackets taken off).
const (
	maxLocalPart = 64
	maxAddress   = 254
)

var (
	localPart   = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*$")
	domainLabel = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	digitsOnly  = regexp.MustCompile(`^[0-9]+$`)
)

// CheckAddress reports whether mail can be sent to addr: one bare ASCII address of at most 64 characters before the @
// and 254 in all, whose domain has a dot. It rejects display names, quoted local parts, address literals, IP addresses,
// comments, white space and line breaks, all of which net/mail.ParseAddress accepts in some form. The error is
// KindInvalid, reads as a rule ("must have …") and does not quote the address.
func CheckAddress(addr string) error {
	local, domain, found := strings.Cut(addr, "@")
	switch {
	case addr == "":
		return badAddress("must not be empty")
	case len(addr) > maxAddress:
		return badAddress("must have at most 254 characters")
	case !found:
		return badAddress("must be an e-mail address such as name@example.com")
	case len(local) > maxLocalPart:
		return badAddress("must have at most 64 characters before the @")
	case !localPart.MatchString(local):
		return badAddress("must be a bare address in ASCII, without a display name, quotes or spaces")
	}
	labels := strings.Split(domain, ".")
	if len(labels) < 2 {
		return badAddress("must have a domain with a dot")
	}
	for _, label := range labels {
		if !domainLabel.MatchString(label) {
			return badAddress("must have a domain name in ASCII after the @")
		}
	}
	if digitsOnly.MatchString(labels[len(labels)-1]) {
		return badAddress("must have a domain name, not an IP address")
	}
	return nil
}

func badAddress(rule string) error { return keyturn.Errorf(keyturn.KindInvalid, "%s", rule) }

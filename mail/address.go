package mail

import (
	"regexp"
	"strings"

	"golang.org/x/net/idna"

	"keyturn.dev/keyturn"
)

// The longest local part and the longest address that SMTP carries (RFC 5321 §4.5.3.1, with the brackets taken off).
const (
	maxLocalPart = 64
	maxAddress   = 254
)

var (
	// localPart is what stands before the @ without quotes. Dots may stand anywhere: Japanese carriers gave away addresses
	// such as .a..b.@docomo.ne.jp, which SMTP carries in quotes.
	localPart   = regexp.MustCompile("^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+$")
	dotAtom     = regexp.MustCompile(`^[^.]+(\.[^.]+)*$`)
	domainLabel = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	digitsOnly  = regexp.MustCompile(`^[0-9]+$`)
)

// CheckAddress reports whether mail can be sent to addr: one bare address of at most 64 ASCII characters before the @
// and 254 in all, whose domain has a dot. The domain may be an international one. It rejects display names, quoted
// local parts, address literals, IP addresses, comments, white space and line breaks, all of which
// net/mail.ParseAddress accepts in some form. The error is KindInvalid, reads as a rule ("must have …") and does not
// quote the address.
func CheckAddress(addr string) error {
	_, err := ASCIIAddress(addr)
	return err
}

// ASCIIAddress is the form of an address that e-mail carries: an international domain in Punycode (IDNA 2008), all else
// as it is. Errors are those of CheckAddress.
func ASCIIAddress(addr string) (string, error) {
	local, domain, found := strings.Cut(addr, "@")
	switch {
	case addr == "":
		return "", badAddress("must not be empty")
	case len(addr) > maxAddress:
		return "", badAddress("must have at most 254 characters")
	case !found:
		return "", badAddress("must be an e-mail address such as name@example.com")
	case len(local) > maxLocalPart:
		return "", badAddress("must have at most 64 characters before the @")
	case !localPart.MatchString(local):
		return "", badAddress("must be a bare address in ASCII, without a display name, quotes or spaces")
	}
	if !isPlain(domain) {
		ascii, err := idna.Lookup.ToASCII(domain)
		if err != nil {
			return "", badAddress("must have a domain name after the @")
		}
		domain = ascii
	}
	labels := strings.Split(domain, ".")
	if len(labels) < 2 {
		return "", badAddress("must have a domain with a dot")
	}
	for _, label := range labels {
		if !domainLabel.MatchString(label) {
			return "", badAddress("must have a domain name after the @")
		}
	}
	if digitsOnly.MatchString(labels[len(labels)-1]) {
		return "", badAddress("must have a domain name, not an IP address")
	}
	if addr = local + "@" + domain; len(addr) > maxAddress {
		return "", badAddress("must have at most 254 characters")
	}
	return addr, nil
}

// quoted is an address of ASCIIAddress as SMTP and headers write it: a local part that is no dot-atom stands in quotes.
func quoted(addr string) string {
	local, domain, _ := strings.Cut(addr, "@")
	if dotAtom.MatchString(local) {
		return addr
	}
	return `"` + local + `"@` + domain
}

func badAddress(rule string) error { return keyturn.Errorf(keyturn.KindInvalid, "%s", rule) }

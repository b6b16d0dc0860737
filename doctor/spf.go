package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// maxSPFLookups is how many look-ups in DNS a record may take (RFC 7208, 4.6.4).
const maxSPFLookups = 10

// spfRecord is the one record of a domain.
func spfRecord(ctx context.Context, dns Resolver, domain string) (string, error) {
	texts, err := dns.LookupTXT(ctx, domain)
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		err = nil
	}
	if err != nil {
		return "", fmt.Errorf("%s: %s", domain, dnsError(err))
	}
	var found []string
	for _, text := range texts {
		if fields := strings.Fields(text); len(fields) > 0 && strings.EqualFold(fields[0], "v=spf1") {
			found = append(found, strings.ToLower(strings.Join(fields, " ")))
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%s has no SPF record", domain)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%s has %d SPF records, which recipients count as none", domain, len(found))
}

// spfLookups counts the look-ups that a record takes, with those of the records that it includes.
func spfLookups(ctx context.Context, dns Resolver, record string, depth int) (n int, err error) {
	if depth > maxSPFLookups {
		return n, errors.New("records include one another")
	}
	for _, term := range strings.Fields(record)[1:] {
		term = strings.TrimLeft(term, "+-~?")
		name, value, _ := strings.Cut(term, ":")
		if key, to, ok := strings.Cut(term, "="); ok && !strings.Contains(key, ":") {
			name, value = key, to
		}
		mechanism, _, _ := strings.Cut(name, "/")
		switch mechanism {
		case "all", "ip4", "ip6", "exp":
		case "a", "mx", "ptr", "exists":
			n++
		case "include", "redirect":
			n++
			if n > maxSPFLookups || strings.Contains(value, "%") {
				continue
			}
			inner, err := spfRecord(ctx, dns, value)
			if err != nil {
				return n, err
			}
			more, err := spfLookups(ctx, dns, inner, depth+1)
			if n += more; err != nil {
				return n, err
			}
		default:
			if !strings.Contains(term, "=") { // unknown modifiers are passed over
				return n, fmt.Errorf("%q is nothing that SPF knows", term)
			}
		}
	}
	return n, nil
}

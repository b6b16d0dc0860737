package db

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"keyturn.dev/keyturn"
)

// movedSince says what makes a changed integration reach other servers than before; empty: nothing does. Whoever may
// change an integration may not have its secrets sent to a server of their own.
func movedSince(old, in keyturn.Integration) string {
	if old.ID == "" {
		return ""
	}
	for _, f := range []struct{ at, was, is string }{
		{"baseUrl", originOf(old.BaseURL), originOf(in.BaseURL)},
		{"testBaseUrl", originOf(old.TestBaseURL), originOf(in.TestBaseURL)},
		{"auth.tokenUrl", old.Auth.TokenURL, in.Auth.TokenURL},
	} {
		switch {
		case f.was == f.is || f.is == "":
		case f.was == "":
			return f.at + " is new"
		default:
			return f.at + " changed from " + f.was
		}
	}
	for _, network := range in.AllowedNetworks {
		if !slices.Contains(old.AllowedNetworks, network) {
			return "allowedNetworks has " + network + " now"
		}
	}
	return ""
}

// originOf is the scheme, host and port of an address.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || address == "" {
		return address
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

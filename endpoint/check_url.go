package endpoint

import (
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

var (
	hostLabel   = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)
	numberLabel = regexp.MustCompile(`^([0-9]+|0x[0-9a-f]*)$`)
)

// url checks an address that will be called. What can be told from the address alone is refused here; what its name
// leads to is the guard's business when it is dialled.
func (c *checker) url(at, raw string, query bool) {
	if problem := c.urlProblem(raw, query); problem != "" {
		c.Addf(at, "%s", problem)
	}
}

func (c *checker) urlProblem(raw string, query bool) string {
	if raw == "" {
		return "is required"
	}
	if len(raw) > maxURLBytes {
		return "must be at most 2048 bytes"
	}
	u, err := url.Parse(raw)
	if err != nil || strings.ContainsAny(raw, " \"<>\\^`{|}") {
		return "is not a valid URL"
	}
	switch {
	case strings.ContainsFunc(raw, notASCII):
		return "must be ASCII: write an international name as xn--…"
	case u.Scheme != "https" && u.Scheme != "http":
		return "must start with https://"
	case u.Scheme == "http" && c.production:
		return "must start with https:// in production"
	case u.Opaque != "" || u.Hostname() == "":
		return "must have a host name"
	case u.User != nil:
		return "must not hold a user name or password: use auth"
	case strings.Contains(raw, "#"):
		return "must not have a fragment"
	case strings.Contains(raw, "?") && !query:
		return "must not have a query: put it into urlComplement"
	}
	for part := range strings.SplitSeq(u.Path, "/") {
		if part == "." || part == ".." {
			return "must not have . or .. in its path"
		}
	}
	if strings.HasSuffix(u.Host, ":") {
		return "has a colon without a port"
	}
	if u.Port() != "" {
		// The low ports are those of mail, shells and directories: an HTTP request sent there is an attack.
		port, err := strconv.Atoi(u.Port())
		if err != nil || port > 65535 || port < 1024 && port != 80 && port != 443 {
			return "must use port 80, 443 or one from 1024 to 65535"
		}
	}
	return c.hostProblem(strings.ToLower(u.Hostname()))
}

func (c *checker) hostProblem(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		if !c.guard.permits(addr) {
			return "must not be an address in a reserved network, unless allowedNetworks lists it"
		}
		return ""
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if !hostLabel.MatchString(label) {
			return "has a host name that is not valid"
		}
	}
	switch last := labels[len(labels)-1]; {
	case len(host) > 253:
		return "has a host name that is too long"
	case numberLabel.MatchString(last): // 127.1, 0x7f000001, 2130706433: addresses in forms that some resolvers read
		return "has an IP address in an unusual form"
	case c.production && last == "localhost":
		return "must not be localhost in production"
	case c.production && len(labels) == 1 && len(c.guard.allowed) == 0:
		return "must have a full host name, unless allowedNetworks is set"
	}
	return ""
}

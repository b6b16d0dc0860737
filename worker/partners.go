package worker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/endpoint"
)

// Operations hear of a certificate this long before it expires.
const (
	expiresSoon    = 30 * 24 * time.Hour
	lookAtCertsFor = time.Hour
)

// watchCertificates opens the alert of each integration that has a certificate which expires soon, and closes those of
// integrations that have new ones.
func (h *Housekeeping) watchCertificates(ctx context.Context) error {
	if time.Since(h.lookedAtCA) < lookAtCertsFor {
		return nil
	}
	h.lookedAtCA = time.Now()
	all, err := h.DB.Integrations(ctx, "")
	if err != nil {
		return err
	}
	expiring := map[string]string{}
	for _, in := range all {
		for _, c := range decisive(endpoint.Certificates(in.TLS)) {
			if time.Until(c.NotAfter) < expiresSoon {
				expiring[in.ID] = fmt.Sprintf("the %s %s of integration %s expires on %s; from then on every call "+
					"fails",
					certificateNames[c.Use], c.Fingerprint[:16], in.ID, c.NotAfter.UTC().Format("2006-01-02 15:04 MST"))
				break
			}
		}
	}
	return h.DB.WatchCertificates(ctx, expiring)
}

var certificateNames = map[string]string{
	"ca": "certificate authority", "server": "server certificate, given in tls.ca,", "client": "client certificate",
}

// decisive are the certificates whose end is the end of all calls: of those in tls.ca, any of which a partner may use,
// the one that lasts longest, so that one whose successor is there already may run out; of a client's chain the first.
func decisive(all []keyturn.Certificate) []keyturn.Certificate {
	last := map[bool]keyturn.Certificate{}
	for _, c := range all {
		client := c.Use == "client"
		was, seen := last[client]
		if !seen || !client == c.NotAfter.After(was.NotAfter) {
			last[client] = c
		}
	}
	return slices.SortedFunc(maps.Values(last), func(a,
		b keyturn.Certificate,
	) int {
		return a.NotAfter.Compare(b.NotAfter)
	})
}

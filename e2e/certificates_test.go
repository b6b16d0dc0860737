package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/worker"
)

// An authority that expires soon is told of by e-mail, once, however often somebody looks; when its successor is beside
// it, that is over, although the old one is still there.
func TestAnAuthorityThatExpiresSoonIsToldOf(t *testing.T) {
	s := start(t, options{noWorker: true})
	old, next := authority(t, 20*24*time.Hour), authority(t, 400*24*time.Hour)
	put := func(id, ca string) {
		s.integration(keyturn.Integration{ID: id, BaseURL: "https://" + id + ".partner.test", TLS: keyturn.TLS{CA: ca}})
	}
	put("acme", old)
	put("beta", next)
	put("gamma", old+next)
	look := func() { // a process looks when it starts, and every hour
		ctx, stop := context.WithCancel(context.Background())
		t.Cleanup(stop)
		go (&worker.Housekeeping{
			DB: s.db, Mail: s.sender, From: "keyturn@keyturn.test", To: "ops@keyturn.test", Logger: s.logger,
			HistoryLink: func(string) string { return "" }, RenderKeys: s.acts.Letters.Render,
		}).Run(ctx)
	}
	alerts := func(want ...string) {
		s.eventually(func() (bool, string) {
			got := strings.Join(s.texts(`
				SELECT subject || CASE WHEN closed_at IS NULL THEN ' open' ELSE ' closed' END FROM alerts WHERE cause = 'CertificateExpiring' ORDER BY id`), ", ")
			return got == strings.Join(want, ", "), got
		})
	}
	look()
	alerts("endpoint/acme open")
	s.eventually(func() (bool, string) { return len(s.letters("ops@keyturn.test")) == 1, "no e-mail" })
	letter := s.letters("ops@keyturn.test")[0]
	require.Contains(t, letter.Subject, "CertificateExpiring")
	text := strings.Join(strings.Fields(letter.Text), " ")
	for _, part := range []string{
		"CertificateExpiring (warning)", "the certificate authority", "of integration acme expires on 20", "put both into tls.ca",
		"keyturn apply",
	} {
		require.Contains(t, text, part)
	}
	put("acme", old+next)
	look()
	alerts("endpoint/acme closed")
	put("acme", certificate(t, 20*24*time.Hour, false))
	look()
	alerts("endpoint/acme closed", "endpoint/acme open")
	s.eventually(func() (bool, string) { return len(s.letters("ops@keyturn.test")) == 2, "no e-mail" })
	text = s.letters("ops@keyturn.test")[0].Text + s.letters("ops@keyturn.test")[1].Text
	require.Contains(t, strings.Join(strings.Fields(text), " "), "the server certificate, given in tls.ca,",
		"it is no authority")
}

// authority is a certificate authority that is valid for so long.
func authority(t *testing.T, left time.Duration) string {
	t.Helper()
	return certificate(t, left, true)
}

// certificate is signed by itself, as an authority's or a server's own.
func certificate(t *testing.T, left time.Duration, isCA bool) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a partner's CA"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(left),
		IsCA:     isCA, BasicConstraintsValid: true,
	}
	if isCA {
		template.KeyUsage = x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

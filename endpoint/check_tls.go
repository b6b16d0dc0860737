package endpoint

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

const (
	maxPEMBytes     = 128 << 10
	maxCertificates = 20
)

// Certificates lists the certificates of an integration that passed Check, for display and expiry warnings.
func Certificates(t keyturn.TLS) []keyturn.Certificate {
	var list []keyturn.Certificate
	for _, from := range []struct{ use, pem string }{{"ca", t.CA}, {"client", t.ClientCert}} {
		certs, err := parseCertificates(from.pem)
		if err != nil {
			continue
		}
		for _, cert := range certs {
			use, sum := from.use, sha256.Sum256(cert.Raw)
			if use == "ca" && !isAuthority(cert) {
				use = "server"
			}
			list = append(list, keyturn.Certificate{
				Use: use, Subject: cert.Subject.String(), Fingerprint: hex.EncodeToString(sum[:]), NotAfter: cert.NotAfter,
			})
		}
	}
	return list
}

func (c *checker) tls(t keyturn.TLS, now time.Time) {
	c.Check(t.CAFile == "" || t.CA != "", "tls.caFile", "is read by the command that applies the catalog: give tls.ca")
	c.Check(t.ClientCertFile == "" || t.ClientCert != "", "tls.clientCertFile",
		"is read by the command that applies the catalog: give tls.clientCert")
	if t.CA != "" {
		certs, err := parseCertificates(t.CA)
		if err == nil {
			err = authorityProblem(certs, now)
		}
		if err != nil {
			c.Addf("tls.ca", "%s", err)
		}
	}
	if t.ClientCert == "" {
		c.Check(t.ClientKey == nil, "tls.clientKey", "needs tls.clientCert")
		return
	}
	certs, err := parseCertificates(t.ClientCert)
	if err == nil && expired(certs[0], now) {
		err = errors.New("has expired or is not valid yet")
	}
	if err != nil {
		c.Addf("tls.clientCert", "%s", err)
		return
	}
	c.secret("tls.clientKey", t.ClientKey, maxPEMBytes, func(r rune) bool {
		return printable(r) || r == '\n' || r == '\r'
	})
	if t.ClientKey != nil && t.ClientKey.Value != "" {
		if _, err := tls.X509KeyPair([]byte(t.ClientCert), []byte(t.ClientKey.Value)); err != nil {
			c.Addf("tls.clientKey", "must be the PEM private key of tls.clientCert") // the library's words may quote the key
		}
	}
}

// parseCertificates reads PEM text that holds certificates and nothing else.
func parseCertificates(text string) ([]*x509.Certificate, error) {
	if len(text) > maxPEMBytes {
		return nil, errors.New("must be at most 128 KiB")
	}
	var certs []*x509.Certificate
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return nil, errors.New("holds a private key: remove it here, and replace that key if others may have seen it")
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("must hold certificates only")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("holds a certificate that cannot be read")
		}
		if certs = append(certs, cert); len(certs) > maxCertificates {
			return nil, errors.New("must hold at most 20 certificates")
		}
	}
	if len(certs) == 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("must be PEM text: -----BEGIN CERTIFICATE----- …")
	}
	return certs, nil
}

func authorityProblem(certs []*x509.Certificate, now time.Time) error {
	for _, cert := range certs {
		key, isRSA := cert.PublicKey.(*rsa.PublicKey)
		switch {
		case !isAuthority(cert) && !selfSigned(cert):
			return errors.New("holds a certificate that is neither a certificate authority's nor self-signed: give the " +
				"authority's that signed it")
		case expired(cert, now):
			return errors.New("holds a certificate that has expired or is not valid yet")
		case isRSA && key.N.BitLen() < 2048:
			return errors.New("holds a certificate with an RSA key of less than 2048 bits")
		case cert.SignatureAlgorithm == x509.SHA1WithRSA, cert.SignatureAlgorithm == x509.ECDSAWithSHA1,
			cert.SignatureAlgorithm == x509.MD5WithRSA, cert.SignatureAlgorithm == x509.DSAWithSHA1:
			return errors.New("holds a certificate signed with SHA-1 or MD5")
		}
	}
	return nil
}

func isAuthority(cert *x509.Certificate) bool { return cert.IsCA && cert.BasicConstraintsValid }

// selfSigned says that a certificate is its own authority. One of version 1 cannot say that it is none for others.
func selfSigned(cert *x509.Certificate) bool {
	const version = 3
	return cert.Version == version && bytes.Equal(cert.RawSubject, cert.RawIssuer) &&
		cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}

func expired(cert *x509.Certificate, now time.Time) bool {
	return now.After(cert.NotAfter) || now.Before(cert.NotBefore)
}

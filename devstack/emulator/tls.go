package emulator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority is the emulator's own CA. No machine trusts it by itself: an integration has to name it.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// openAuthority reads the CA from dir, so that an integration that trusts it works after a restart, or makes one.
func openAuthority(dir string) (*authority, error) {
	if dir == "" {
		return newAuthority()
	}
	certFile, keyFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if errors.Is(err, os.ErrNotExist) {
		return saveAuthority(certFile, keyFile)
	}
	if err != nil {
		return nil, fmt.Errorf("emulator: read the CA (remove %s to have a new one): %w", certFile, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("emulator: %s is not one of the emulator's keys", keyFile)
	}
	return &authority{cert: pair.Leaf, key: key, pem: certPEM(pair.Leaf.Raw)}, nil
}

func saveAuthority(certFile, keyFile string) (*authority, error) {
	ca, err := newAuthority()
	if err != nil {
		return nil, err
	}
	key, err := keyPEM(ca.key)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.WriteFile(keyFile, key, 0o600), os.WriteFile(certFile, ca.pem, 0o600)); err != nil {
		return nil, fmt.Errorf("emulator: save the CA: %w", err)
	}
	return ca, nil
}

func newAuthority() (*authority, error) {
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Keyturn partner emulator CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca := &authority{}
	raw, key, err := ca.issue(template)
	if err != nil {
		return nil, err
	}
	ca.key, ca.pem = key, certPEM(raw)
	ca.cert, err = x509.ParseCertificate(raw)
	return ca, err
}

// issue signs a certificate for a new key; an authority without a certificate signs its own.
func (a *authority) issue(template *x509.Certificate) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, nil, err
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	return raw, key, err
}

// serverConfig asks for a client certificate without requiring one: whether a partner does is in its settings. A
// certificate of another CA fails the handshake.
func (a *authority) serverConfig(hosts []string, expired bool) (*tls.Config, error) {
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "Keyturn partner emulator"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if expired {
		template.NotBefore, template.NotAfter = time.Now().AddDate(0, 0, -2), time.Now().AddDate(0, 0, -1)
	}
	for _, host := range append([]string{"localhost", "127.0.0.1", "::1"}, hosts...) {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	raw, key, err := a.issue(template)
	if err != nil {
		return nil, fmt.Errorf("emulator: issue a certificate: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}},
		ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: pool, MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
	}, nil
}

// CAPEM is the certificate that an integration has to trust to reach the HTTPS addresses; nil without HTTPS.
func (s *Server) CAPEM() []byte {
	if s.ca == nil {
		return nil
	}
	return s.ca.pem
}

// IssueClientCert makes a certificate and key with which a caller passes RequireClientCert.
func (s *Server) IssueClientCert(name string) (cert, key []byte, err error) {
	if s.ca == nil {
		return nil, nil, errors.New("emulator: no HTTPS address is configured")
	}
	raw, private, err := s.ca.issue(&x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, nil, err
	}
	key, err = keyPEM(private)
	return certPEM(raw), key, err
}

func certPEM(raw []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), err
}

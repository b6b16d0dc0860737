package endpoint

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"slices"
	"time"

	"keyturn.dev/keyturn"
)

const (
	connectTimeout  = 5 * time.Second
	idleTimeout     = time.Minute
	maxHeaderBytes  = 64 << 10
	maxIdlePerHost  = 32
	tokenReplyBytes = 64 << 10
)

// newTransport makes the transport of one integration. Nothing in it is shared with another one: not the trusted
// authorities, not the client certificate, not the open connections.
func newTransport(in keyturn.Integration, production bool) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if in.TLS.CA != "" {
		pool, err := trusted(in.TLS.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	if in.TLS.ClientCert != "" {
		if in.TLS.ClientKey == nil || in.TLS.ClientKey.Value == "" {
			return nil, keyturn.Errorf(keyturn.KindConfiguration, "the key of the integration's client certificate is missing")
		}
		pair, err := tls.X509KeyPair([]byte(in.TLS.ClientCert), []byte(in.TLS.ClientKey.Value))
		if err != nil {
			return nil, keyturn.Errorf(keyturn.KindConfiguration, "the integration's client certificate and key do not fit: %w",
				err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	dialer := &net.Dialer{Timeout: connectTimeout, Control: newGuard(in.AllowedNetworks, production).control}
	return &http.Transport{
		Proxy:                  nil, // a proxy would hide the real address from the guard
		DialContext:            dialer.DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    connectTimeout,
		ResponseHeaderTimeout:  timeout(in),
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxIdleConnsPerHost:    min(in.Limits.MaxConcurrent, maxIdlePerHost),
		IdleConnTimeout:        idleTimeout,
	}, nil
}

// trusted is who vouches for a partner's server: the authorities given and the system's. Where a server certificate is
// given instead of an authority, it is that one and no other.
func trusted(text string) (*x509.CertPool, error) {
	certs, err := parseCertificates(text)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindConfiguration, "the integration's certificate authority cannot be read: %w",
			err)
	}
	pool := x509.NewCertPool()
	if slices.ContainsFunc(certs, isAuthority) {
		if system, err := x509.SystemCertPool(); err == nil {
			pool = system
		}
	}
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool, nil
}

func timeout(in keyturn.Integration) time.Duration {
	return min(time.Duration(in.Limits.Timeout), maxTimeout)
}

package endpoint_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/endpoint"
)

// listen is a server that is given the bare connections.
func listen(t *testing.T, config *tls.Config, handle func(net.Conn)) keyturn.Integration {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := "http://" + l.Addr().String()
	if config != nil {
		address, l = "https://"+l.Addr().String(), tls.NewListener(l, config)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				handle(conn)
			}()
		}
	}()
	return keyturn.Integration{ID: "acme", BaseURL: address, AllowedNetworks: []string{"127.0.0.0/8"}}
}

// answering reads a request and answers with this text.
func answering(text string) func(net.Conn) {
	return func(conn net.Conn) {
		if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_ = req.Body.Close()
			_, _ = conn.Write([]byte(text))
		}
	}
}

// intermediate is an authority below another.
func (a authority) intermediate(t *testing.T) authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Test intermediate"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return authority{cert: cert, key: key, pem: pemBlock("CERTIFICATE", der)}
}

// selfSigned makes a server certificate of 127.0.0.1 that is no authority, and its server.
func selfSigned(t *testing.T, key *ecdsa.PrivateKey, change func(*x509.Certificate)) (string, *tls.Config) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "partner.test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return pemBlock("CERTIFICATE", der), &tls.Config{Certificates: []tls.Certificate{{
		Certificate: [][]byte{der}, PrivateKey: key,
	}}}
}

// What is wrong with a connection is said in words that tell what to do, and in none of the partner's.
func TestFailedConnectionsInPlainWords(t *testing.T) {
	t.Parallel()
	root := newAuthority(t)
	between := root.intermediate(t)
	trusting := func(config *tls.Config) keyturn.Integration {
		in := serveTLS(t, config)
		in.TLS.CA = root.pem
		return in
	}
	chained := between.serverConfig(t, nil)
	chained.Certificates[0].Certificate = append(chained.Certificates[0].Certificate, between.cert.Raw)
	_, err := send(t, newCaller(t, false), trusting(chained))
	require.NoError(t, err, "the whole chain")

	unknown := serveTLS(t, chained)
	_, self := selfSigned(t, newKey(t), nil)
	old := root.serverConfig(t, nil)
	old.MaxVersion = tls.VersionTLS11
	wants := root.serverConfig(t, nil)
	wants.ClientAuth = tls.RequireAnyClientCert
	silent := listen(t, nil, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1<<10)); <-t.Context().Done() })
	silent.BaseURL = strings.Replace(silent.BaseURL, "http:", "https:", 1)
	silent.Limits.Timeout = keyturn.Duration(2 * time.Second)
	plain := listen(t, nil, func(conn net.Conn) { _, _ = conn.Write([]byte("HTTP/1.0 400 SECRET-TEXT\r\n\r\n")) })
	plain.BaseURL = strings.Replace(plain.BaseURL, "http:", "https:", 1)
	other := listen(t, nil, func(conn net.Conn) { _, _ = conn.Write([]byte("220 SECRET-TEXT ESMTP\r\n")) })
	other.BaseURL = strings.Replace(other.BaseURL, "http:", "https:", 1)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := keyturn.Integration{ID: "acme", BaseURL: "http://" + l.Addr().String()}
	require.NoError(t, l.Close())

	for name, c := range map[string]struct {
		in   keyturn.Integration
		want string
		sent bool
	}{
		"missing intermediate": {in: trusting(between.serverConfig(t, nil)), want: "the partner's certificate is not " +
			"trusted: its authority is unknown, and the server sends no intermediate certificate"},
		"unknown authority": {in: unknown, want: "the partner's certificate is not trusted: its authority is unknown; if it"},
		"self-signed":       {in: serveTLS(t, self), want: "is not trusted: it is self-signed; if it is the partner's, give"},
		"another host": {in: trusting(root.serverConfig(t, func(c *x509.Certificate) {
			c.IPAddresses, c.DNSNames = nil, []string{"secret-text.test"}
		})), want: "is not trusted: it is for another host name than the one in the address"},
		"expired": {in: trusting(root.serverConfig(t, func(c *x509.Certificate) {
			c.NotAfter = time.Now().Add(-time.Minute)
		})), want: "is not trusted: it has expired"},
		"not valid yet": {in: trusting(root.serverConfig(t, func(c *x509.Certificate) {
			c.NotBefore = time.Now().Add(time.Minute)
		})), want: "is not trusted: it is not valid yet; see whether this machine's clock is right"},
		"for clients only": {in: trusting(root.serverConfig(t, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})), want: "is not trusted: it may not be used for a server"},
		"old TLS": {in: trusting(old), want: "the TLS handshake with the partner failed: its server does not speak TLS 1.2"},
		"client certificate": {
			in: trusting(wants), want: "failed: its server wants another client certificate than tls.clientCert", sent: true,
		},
		"slow handshake": {in: silent, want: "the TLS handshake with the partner took too long"},
		"plain HTTP":     {in: plain, want: "its server speaks HTTP without TLS on this port"},
		"no TLS":         {in: other, want: "its server does not speak TLS on this port"},
		"refused":        {in: nobody, want: "the partner does not accept connections: nothing listens on its port"},
		"malformed header": {
			in:   listen(t, nil, answering("HTTP/1.1 200 OK\r\nSECRET-TEXT\r\n\r\n")),
			want: "the partner's reply is not valid HTTP: its first line or a header is malformed", sent: true,
		},
		"malformed line": {
			in:   listen(t, root.serverConfig(t, nil), answering("SECRET-TEXT what is this\r\n\r\n")),
			want: "the partner's reply is not valid HTTP", sent: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.in.Auth = keyturn.Auth{Type: "bearer", Token: secretOf("TOPSECRET")}
			if name == "malformed line" {
				c.in.TLS.CA = root.pem
			}
			_, err := send(t, newCaller(t, false), c.in)
			require.ErrorContains(t, err, c.want)
			require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
			require.Equal(t, c.sent, !endpoint.NotSent(err))
			for _, theirs := range []string{"SECRET", "secret-text", "Test CA", "127.0.0.1"} {
				require.NotContains(t, err.Error(), theirs)
			}
		})
	}
}

// A server certificate that is its own authority is trusted as it is: it, nothing that it signed, and nobody else.
func TestASelfSignedServerCertificateIsTrusted(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	pem, config := selfSigned(t, key, nil)
	in := serveTLS(t, config)
	in.TLS.CA = pem
	require.NoError(t, endpoint.Check(in, false))
	c := newCaller(t, false)
	_, err := send(t, c, in)
	require.NoError(t, err)

	refused := func(name string, config *tls.Config, ca string) {
		in := serveTLS(t, config)
		in.ID, in.TLS.CA = name, ca
		_, err := send(t, c, in)
		require.ErrorContains(t, err, "is not trusted", name)
	}
	_, impostor := selfSigned(t, newKey(t), nil)
	refused("the same name and another key", impostor, pem)
	_, renewed := selfSigned(t, key, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(10) })
	refused("the same key in another certificate", renewed, pem)
	block, err := x509.ParseCertificate(config.Certificates[0].Certificate[0])
	require.NoError(t, err)
	refused("signed by it", authority{cert: block, key: key}.serverConfig(t, nil), pem)
	old, expired := selfSigned(t, key, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	refused("expired", expired, old)
	elsewhere, other := selfSigned(t, key, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 2)} })
	refused("another host", other, elsewhere)
}

package endpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"keyturn.dev/keyturn"
)

// progress is how far a request got. The transport may report it from another goroutine, and late.
type progress struct{ shaking, connected atomic.Bool }

func (p *progress) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		TLSHandshakeStart: func() { p.shaking.Store(true) },
		GotConn:           func(httptrace.GotConnInfo) { p.connected.Store(true) },
	}
}

// late says what took too long; nil waited for something else than a connection.
func (p *progress) late() string {
	switch {
	case p == nil || p.connected.Load():
		return "the partner did not answer in time"
	case p.shaking.Load():
		return "the TLS handshake with the partner took too long: its server accepts connections and does not answer on them"
	}
	return "the partner did not accept a connection in time: a firewall may drop it"
}

// failed puts a transport error into our words: the library's quote what the other side sent.
func failed(err error, p *progress) error {
	kind, words := keyturn.KindUnavailable, "the connection to the partner broke"
	var (
		dns     *net.DNSError
		op      *net.OpError
		tlsErr  *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		timeout net.Error
	)
	switch {
	case errors.Is(err, errBlocked):
		kind, words = keyturn.KindConfiguration, "the partner's address is in a reserved network and not in allowedNetworks"
	case errors.Is(err, context.Canceled):
		words = "the call was canceled"
	case errors.As(err, &dns) && dns.IsNotFound:
		words = "the partner's host name does not exist: no name server knows it"
	case dns != nil:
		words = "the partner's name cannot be looked up: the name server does not answer as it should"
	case errors.As(err, &timeout) && timeout.Timeout():
		words = p.late()
	case errors.As(err, &tlsErr):
		words = "the partner's certificate is not trusted: " + distrust(tlsErr, time.Now())
	case errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/":
		words = "the TLS handshake with the partner failed: its server speaks HTTP without TLS on this port"
	case errors.As(err, &record):
		words = "the TLS handshake with the partner failed: its server does not speak TLS on this port"
	case errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"):
		words = "the TLS handshake with the partner failed" + alerted(op)
	case errors.Is(err, syscall.ECONNREFUSED):
		words = "the partner does not accept connections: nothing listens on its port"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		words = "the partner does not accept connections: there is no way to its address"
	case op != nil && op.Op == "dial":
		words = "the partner does not accept connections"
	case malformed(err):
		words = "the partner's reply is not valid HTTP: its first line or a header is malformed"
	}
	return keyturn.Errorf(kind, words+": %w", err)
}

// distrust says why a certificate is not trusted, and what to do.
func distrust(err *tls.CertificateVerificationError, now time.Time) string {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	sent := err.UnverifiedCertificates
	switch {
	case errors.As(err, &host):
		return "it is for another host name than the one in the address"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		what := "it"
		if invalid.Cert != nil && len(sent) > 0 && !invalid.Cert.Equal(sent[0]) {
			what = "an authority's in its chain"
		}
		if invalid.Cert != nil && now.Before(invalid.Cert.NotBefore) {
			return what + " is not valid yet; see whether this machine's clock is right"
		}
		return what + " has expired"
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return "it may not be used for a server"
	case errors.As(err, &unknown) && len(sent) == 1 && selfSigned(sent[0]):
		return "it is self-signed; if it is the partner's, give it in tls.caFile"
	case errors.As(err, &unknown) && len(sent) == 1:
		return "its authority is unknown, and the server sends no intermediate certificate; the partner has to send the " +
			"whole chain, or if the authority is its own, give that in tls.caFile"
	case errors.As(err, &unknown):
		return "its authority is unknown; if it is the partner's own, give that in tls.caFile"
	}
	return "it is not valid"
}

// alerted is what the other side's alert says; the library knows alerts by their texts alone.
func alerted(op *net.OpError) string {
	const (
		badCertificate, unsupported, revoked, expired, unknown = 42, 43, 44, 45, 46
		unknownAuthority, denied, required                     = 48, 49, 116
		version                                                = 70
	)
	if op.Op != "remote error" || op.Err == nil {
		return ""
	}
	for _, n := range []tls.AlertError{
		badCertificate, unsupported, revoked, expired, unknown, unknownAuthority, denied, required,
	} {
		if op.Err.Error() == n.Error() {
			return ": its server wants another client certificate than tls.clientCert"
		}
	}
	if op.Err.Error() == tls.AlertError(version).Error() {
		return ": its server does not speak TLS 1.2 or newer"
	}
	return ""
}

// malformed knows the errors about what is no HTTP, for most of which the library has no type.
func malformed(err error) bool {
	var header textproto.ProtocolError
	if errors.As(err, &header) {
		return true
	}
	text := err.Error()
	for _, part := range []string{"malformed HTTP", "malformed MIME header", "bad Content-Length"} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

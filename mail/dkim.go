package mail

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"regexp"

	"github.com/emersion/go-msgauth/dkim"

	"keyturn.dev/keyturn"
)

// Signer signs messages for a domain (DKIM, RFC 6376), so that their recipients can tell whose they are.
type Signer struct {
	options dkim.SignOptions
}

// signedFields are those that a reader sees or that say how the rest is read.
var signedFields = []string{
	"From", "To", "Reply-To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type", "Auto-Submitted",
	"X-Keyturn-Ref",
}

var selector = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9-]{1,63})*$`)

// minRSA is the smallest RSA key that recipients accept (RFC 8301).
const minRSA = 1024

// NewSigner makes a signer of a private key in PEM, RSA or Ed25519, whose public key the domain has under the selector.
// KindInvalid, without a byte of the key.
func NewSigner(key keyturn.Secret, domain, underSelector string) (*Signer, error) {
	if !selector.MatchString(underSelector) {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "the selector must be a name such as keyturn")
	}
	block, _ := pem.Decode([]byte(key.Reveal()))
	if block == nil {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "the key must be in PEM: -----BEGIN PRIVATE KEY-----")
	}
	signer, err := privateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	return &Signer{dkim.SignOptions{
		Domain: domain, Selector: underSelector, Signer: signer, Hash: crypto.SHA256, HeaderKeys: signedFields,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	}}, nil
}

func privateKey(der []byte) (crypto.Signer, error) {
	if parsed, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return checkedRSA(parsed)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "the key must be a private key, RSA or Ed25519, without a password")
	}
	switch k := parsed.(type) {
	case *rsa.PrivateKey:
		return checkedRSA(k)
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, keyturn.Errorf(keyturn.KindInvalid, "the key must be RSA or Ed25519")
}

func checkedRSA(k *rsa.PrivateKey) (crypto.Signer, error) {
	if k.N.BitLen() < minRSA {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "the key must have at least %d bits", minRSA)
	}
	return k, nil
}

// Sign puts a signature before a message. A nil Signer signs nothing. The signature has the time in it: a message is
// signed once, and then stored.
func (s *Signer) Sign(m Message) (Message, error) {
	if s == nil {
		return m, nil
	}
	var signed bytes.Buffer
	if err := dkim.Sign(&signed, bytes.NewReader(m.Data), &s.options); err != nil {
		return Message{}, keyturn.Errorf(keyturn.KindInternal, "the mail cannot be signed: %w", err)
	}
	m.Data = signed.Bytes()
	return m, nil
}

// Record is the name under which the domain has the public key, and that key.
func (s *Signer) Record() (name string, public crypto.PublicKey) {
	return s.options.Selector + "._domainkey." + s.options.Domain, s.options.Signer.Public()
}

// ownSignature is the signature that stands before a message.
var ownSignature = regexp.MustCompile(`^DKIM-Signature: [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*`)

// Unsigned is the message's bytes without the signature that Sign has put before them.
func (m Message) Unsigned() []byte { return m.Data[len(ownSignature.Find(m.Data)):] }

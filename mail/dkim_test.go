package mail_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/mail"
)

func pemOf(t *testing.T, kind string, der []byte) keyturn.Secret {
	t.Helper()
	return keyturn.Secret(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestSignedMessagesVerify(t *testing.T) {
	t.Parallel()
	large, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	rsaRecord, err := x509.MarshalPKIXPublicKey(&large.PublicKey)
	require.NoError(t, err)
	for name, key := range map[string]struct {
		private keyturn.Secret
		record  string
	}{
		"rsa": {
			pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(large)),
			"v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(rsaRecord),
		},
		"ed25519": {pemOf(t, "PRIVATE KEY", pkcs8), "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)},
	} {
		s, err := mail.NewSigner(key.private, "shop.test", "keyturn")
		require.NoError(t, err, name)
		m, err := mail.RenderKeys(mail.Template{}, content())
		require.NoError(t, err)
		signed, err := s.Sign(m)
		require.NoError(t, err)
		require.Equal(t, m.Data, signed.Unsigned())
		require.True(t, bytes.HasSuffix(signed.Data, m.Data), "the message itself stays byte for byte")
		verify := func(data []byte) error {
			found, err := dkim.VerifyWithOptions(bytes.NewReader(data), &dkim.VerifyOptions{
				LookupTXT: func(name string) ([]string, error) {
					require.Equal(t, "keyturn._domainkey.shop.test", name)
					return []string{key.record}, nil
				},
			})
			require.NoError(t, err)
			require.Len(t, found, 1)
			return found[0].Err
		}
		require.NoError(t, verify(signed.Data), name)
		require.Error(t, verify(bytes.Replace(signed.Data, []byte("Subject: "), []byte("Subject: x"), 1)), name)
		require.Error(t, verify(slices.Concat(bytes.TrimSuffix(signed.Data, []byte("\r\n")), []byte("x\r\n"))), name)
		srv := serve(t, mail.TLSNone, nil)
		require.NoError(t, sender(t, mail.Config{Addr: srv.addr, TLS: mail.TLSNone}).Send(t.Context(), signed))
		require.NoError(t, verify(srv.all()[0].data), "as it arrives")
	}
	var none *mail.Signer
	m, err := mail.RenderKeys(mail.Template{}, content())
	require.NoError(t, err)
	same, err := none.Sign(m)
	require.NoError(t, err)
	require.Equal(t, m, same)
	require.Equal(t, m.Data, m.Unsigned())
}

func TestNewSignerRefuses(t *testing.T) {
	t.Parallel()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	other, err := x509.MarshalPKCS8PrivateKey(curve)
	require.NoError(t, err)
	good := pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small))
	_, err = mail.NewSigner(good, "shop.test", "keyturn")
	require.NoError(t, err)
	for _, bad := range []struct {
		key      keyturn.Secret
		selector string
	}{
		{"", "keyturn"},
		{"not PEM", "keyturn"},
		{good, ""},
		{good, "-x"},
		{good, "a b"},
		{pemOf(t, "PRIVATE KEY", []byte("nothing")), "keyturn"},
		{pemOf(t, "PRIVATE KEY", other), "keyturn"},
	} {
		_, err := mail.NewSigner(bad.key, "shop.test", bad.selector)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), bad.selector)
	}
}

package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// pemKey is a private key that signs e-mails.
func pemKey(t *testing.T) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

// publicKey is a key with which a service's signatures are checked.
func publicKey(t *testing.T) string {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	require.NoError(t, err)
	return base64.StdEncoding.EncodeToString(der)
}

// Each setting with a secret in it may be a file's.
func TestSecretsMayStandInFiles(t *testing.T) {
	values := map[string]string{
		databaseURLEnv: "postgres://keyturn:secret@db.test:5432/keyturn", smtpURLEnv: "smtp://user:secret@mail.test:587",
		paymentsEnv: "till=https://:secret@pay.test", tokenEnv: "secret-token",
		stripeKeyEnv: "rk_test_secret", stripeSecretsEnv: "whsec_secret",
		dkimKeyEnv: pemKey(t), bounceIMAPEnv: "imaps://user:secret@mail.test/INBOX",
		hookEnvs[keyturn.InletSES]: "secret-of-the-hook", hookEnvs[keyturn.InletPostmark]: "secret-of-the-hook",
		hookEnvs[keyturn.InletMailgun]:  "secret-of-the-hook secret",
		hookEnvs[keyturn.InletSendGrid]: "secret-of-the-hook " + publicKey(t),
	}
	require.Len(t, values, len(secretSettings))
	set(t, nil)
	t.Setenv(installationEnv, "shop-1")
	t.Setenv("KEYTURN_DKIM_SELECTOR", "keyturn")
	dir := t.TempDir()
	for name, value := range values {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(value+"\n"), 0o600))
		t.Setenv(name, "")
		t.Setenv(name+fileSuffix, file)
	}
	c, err := configFromEnv()
	require.NoError(t, err)
	require.Equal(t, values[databaseURLEnv], c.DatabaseURL)
	require.Equal(t, values[databaseURLEnv], databaseFromEnv().url)
	require.Equal(t, "user", c.Mail.Username)
	require.Len(t, c.Payments, 1)
	require.Equal(t, values[stripeKeyEnv], c.Stripe.Key.Reveal())
	require.Len(t, c.Stripe.WebhookSecrets, 1)
	require.NotNil(t, c.Signer)
	require.Equal(t, "secret", c.Bounces.Mailbox.Password.Reveal())
	require.Len(t, c.Bounces.Hooks, 4)
	token, err := secretFromEnv(tokenEnv)
	require.NoError(t, err)
	require.Equal(t, values[tokenEnv], token)

	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, []byte("\n"), 0o600))
	for name := range values {
		for file, want := range map[string]string{
			filepath.Join(dir, "none"): "the file that " + name + "_FILE names cannot be read",
			empty:                      "the file " + empty + " that " + name + "_FILE names is empty",
		} {
			t.Setenv(name+fileSuffix, file)
			_, err = secretFromEnv(name)
			require.ErrorContains(t, err, want)
			if name != tokenEnv {
				_, err = configFromEnv()
				require.ErrorContains(t, err, want)
				require.NotContains(t, err.Error(), name+" is not set")
			}
		}
		t.Setenv(name, values[name])
		_, err = secretFromEnv(name)
		require.ErrorContains(t, err, name+" and "+name+"_FILE are both set: set one of them")
		require.NotContains(t, err.Error(), "secret")
		t.Setenv(name+fileSuffix, "")
	}
}

func TestLogFormatIsJSONOrText(t *testing.T) {
	set(t, nil)
	for _, command := range []string{"api", "worker"} {
		_, err := execute(t, command, "--log-format", "xml")
		require.ErrorContains(t, err, "--log-format is json or text, not xml")
	}
}

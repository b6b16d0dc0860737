package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each setting with a secret in it may be a file's.
func TestSecretsMayStandInFiles(t *testing.T) {
	values := map[string]string{
		databaseURLEnv: "postgres://keyturn:secret@db.test:5432/keyturn", smtpURLEnv: "smtp://user:secret@mail.test:587",
		paymentsEnv: "till=https://:secret@pay.test", tokenEnv: "secret-token",
		stripeKeyEnv: "rk_test_secret", stripeSecretsEnv: "whsec_secret",
	}
	require.Len(t, values, len(secretSettings))
	set(t, nil)
	t.Setenv(installationEnv, "shop-1")
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

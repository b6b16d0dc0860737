package main

import (
	"os"
	"slices"
	"strings"

	"keyturn.dev/keyturn"
)

// secretSettings are the settings with a secret in them. Each may stand in a file instead, whose name the setting of
// the same name with _FILE gives, so that the secret is in no environment.
var secretSettings = []string{
	databaseURLEnv, smtpURLEnv, paymentsEnv, stripeKeyEnv, stripeSecretsEnv, tokenEnv, dkimKeyEnv,
	bounceIMAPEnv, "KEYTURN_BOUNCE_SES", "KEYTURN_BOUNCE_POSTMARK", "KEYTURN_BOUNCE_MAILGUN", "KEYTURN_BOUNCE_SENDGRID",
}

const (
	databaseURLEnv = "KEYTURN_DATABASE_URL"
	smtpURLEnv     = "KEYTURN_SMTP_URL"
	paymentsEnv    = "KEYTURN_PAYMENTS"
	tokenEnv       = "KEYTURN_TOKEN"
	dkimKeyEnv     = "KEYTURN_DKIM_KEY"
)

const fileSuffix = "_FILE"

// secretFromEnv reads a setting that has a secret in it, from the environment or from its file, without the line end
// that editors add. It is empty if neither is set. KindInvalid.
func secretFromEnv(name string) (string, error) {
	if !slices.Contains(secretSettings, name) {
		panic(name + " is not in secretSettings")
	}
	value, file := os.Getenv(name), os.Getenv(name+fileSuffix)
	if file == "" {
		return value, nil
	}
	if value != "" {
		return "", keyturn.Errorf(keyturn.KindInvalid, "%s and %s are both set: set one of them", name, name+fileSuffix)
	}
	text, err := os.ReadFile(file) //nolint:gosec // whoever runs us names it
	if err != nil {
		return "", keyturn.Errorf(keyturn.KindInvalid, "the file that %s names cannot be read: %w", name+fileSuffix, err)
	}
	value = strings.TrimRight(string(text), "\r\n")
	if value == "" {
		return "", keyturn.Errorf(keyturn.KindInvalid, "the file %s that %s names is empty", file, name+fileSuffix)
	}
	return value, nil
}

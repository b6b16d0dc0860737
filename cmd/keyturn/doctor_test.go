package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/devstack/inbox"
	"keyturn.dev/keyturn/doctor"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/vault"
)

// examined runs the command and gives what it found, by area and check.
func examined(t *testing.T, args ...string) (map[string]doctor.Finding, error) {
	t.Helper()
	out, err := execute(t, append([]string{"doctor", "--output", "json"}, args...)...)
	var r doctor.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r), out)
	require.Equal(t, r.OK, err == nil)
	found := map[string]doctor.Finding{}
	for _, f := range r.Findings {
		found[f.Area+" "+f.Check] = f
	}
	return found, err
}

func TestDoctor(t *testing.T) {
	set(t, map[string]string{"KEYTURN_PUBLIC_URL": ""})
	found, err := examined(t)
	require.ErrorIs(t, err, errFound)
	require.Len(t, found, 1)
	require.Equal(t, doctor.Wrong, found["settings environment"].Status)
	require.Contains(t, found["settings environment"].Found, "KEYTURN_PUBLIC_URL")

	dsn := testkit.Postgres(t, "keyturn", func(dsn string) error {
		_, err := db.Migrate(context.Background(), dsn)
		return err
	})
	keyFile := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, vault.CreateKeys(keyFile))
	box := inbox.New(inbox.Config{SMTPAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0"})
	require.NoError(t, box.Start())
	t.Cleanup(func() { _ = box.Close() })
	set(t, map[string]string{
		databaseURLEnv: dsn, "KEYTURN_KEYS": filepath.Join(t.TempDir(), "none.json"), "KEYTURN_DEVELOPMENT": "1",
		smtpURLEnv: "smtp+plain://" + box.SMTPAddr(), "TEMPORAL_ADDRESS": testkit.Temporal(t),
		"KEYTURN_MAIL_FROM": "keys@shop.invalid", bounceAddressEnv: "bounce@mail.shop.invalid",
	})
	found, err = examined(t)
	require.ErrorIs(t, err, errFound)
	require.Equal(t, doctor.Wrong, found["database key file and schema"].Status)

	t.Setenv("KEYTURN_KEYS", keyFile)
	found, err = examined(t, "--no-round-trip")
	require.ErrorIs(t, err, errFound, "shop.invalid is in no DNS")
	for check, want := range map[string]doctor.Status{
		"settings environment": doctor.OK, "database key file and schema": doctor.OK, "database clock": doctor.OK,
		"database pooler": doctor.OK, "Temporal server": doctor.OK, "Temporal namespace default": doctor.OK,
		"webhooks receivers": doctor.Skipped,
		"mail mail server":   doctor.OK, "mail SPF of mail.shop.invalid": doctor.Wrong, "mail DKIM": doctor.Skipped,
		"mail MX of mail.shop.invalid": doctor.Wrong, "mail round trip": doctor.Skipped,
	} {
		require.Equal(t, want, found[check].Status, "%s: %+v", check, found[check])
	}
	found, err = examined(t, "--no-round-trip", "--backup-age", "10000h")
	require.ErrorIs(t, err, errFound)
	require.Equal(t, doctor.Wrong, found["Temporal namespace default"].Status)
	text, err := execute(t, "doctor", "--no-round-trip")
	require.ErrorIs(t, err, errFound)
	require.Contains(t, text, "wrong    SPF of mail.shop.invalid: mail.shop.invalid")
}

// What the doctor sends comes back by an inlet, and is found to.
func TestDoctorsRoundTrip(t *testing.T) {
	dsn := testkit.Postgres(t, "keyturn", func(dsn string) error {
		_, err := db.Migrate(context.Background(), dsn)
		return err
	})
	keyFile := filepath.Join(t.TempDir(), "keys.json")
	require.NoError(t, vault.CreateKeys(keyFile))
	keys, err := vault.LoadKeys(keyFile)
	require.NoError(t, err)
	d, err := db.Open(t.Context(), dsn, keys)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	box := inbox.New(inbox.Config{SMTPAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0"})
	require.NoError(t, box.Start())
	t.Cleanup(func() { _ = box.Close() })
	set(t, map[string]string{
		databaseURLEnv: dsn, "KEYTURN_KEYS": keyFile, "KEYTURN_DEVELOPMENT": "1",
		smtpURLEnv: "smtp+plain://" + box.SMTPAddr(), "TEMPORAL_ADDRESS": testkit.Temporal(t),
		"KEYTURN_MAIL_FROM": "keys@shop.invalid", bounceAddressEnv: "bounce@mail.shop.invalid",
	})
	done := make(chan error, 1)
	go func() { // a mail server that sends it back
		for {
			for _, m := range box.Messages() {
				ref, _, _ := strings.Cut(strings.TrimPrefix(m.From, "bounce+"), "@")
				_, err := d.Bounced(context.Background(), db.BounceReport{
					Refs: []string{ref}, Kind: "bad_address", Status: "5.1.1", Via: "smtp",
				})
				done <- err
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	found, err := examined(t, "--to", "nobody@shop.invalid")
	require.ErrorIs(t, err, errFound)
	require.NoError(t, <-done)
	require.Equal(t, doctor.OK, found["mail round trip"].Status, "%+v", found["mail round trip"])
	require.Contains(t, found["mail round trip"].Found, "by smtp after")
}

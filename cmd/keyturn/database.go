package main

import (
	"context"
	"os"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/vault"
)

// databaseConfig is what a command needs that works on the database itself.
type databaseConfig struct{ url, keysFile string }

// databaseFromEnv reads KEYTURN_DATABASE_URL and KEYTURN_KEYS.
func databaseFromEnv() databaseConfig {
	return databaseConfig{url: os.Getenv("KEYTURN_DATABASE_URL"), keysFile: os.Getenv("KEYTURN_KEYS")}
}

// open connects to the database. The caller closes it.
func (c databaseConfig) open(ctx context.Context) (*db.DB, error) {
	if c.url == "" || c.keysFile == "" {
		return nil, keyturn.Errorf(keyturn.KindInvalid,
			"this command works on the database itself: set KEYTURN_DATABASE_URL and KEYTURN_KEYS")
	}
	keys, err := vault.LoadKeys(c.keysFile)
	if err != nil {
		return nil, err
	}
	return db.Open(ctx, c.url, keys)
}

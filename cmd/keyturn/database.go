package main

import (
	"context"
	"os"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/vault"
)

// databaseConfig is what a command needs that works on the database itself.
type databaseConfig struct {
	url, keysFile string
	wrong         error // with the settings
}

// databaseFromEnv reads KEYTURN_DATABASE_URL and KEYTURN_KEYS.
func databaseFromEnv() databaseConfig {
	url, err := secretFromEnv(databaseURLEnv)
	return databaseConfig{url: url, keysFile: os.Getenv("KEYTURN_KEYS"), wrong: err}
}

// open connects to the database, which must have this build's schema and go with the key file. The caller closes it.
func (c databaseConfig) open(ctx context.Context) (*db.DB, error) {
	if c.wrong != nil {
		return nil, c.wrong
	}
	if c.url == "" || c.keysFile == "" {
		return nil, keyturn.Errorf(keyturn.KindInvalid,
			"this command works on the database itself: set KEYTURN_DATABASE_URL and KEYTURN_KEYS")
	}
	keys, err := vault.LoadKeys(c.keysFile)
	if err != nil {
		return nil, err
	}
	d, err := db.Open(ctx, c.url, keys)
	if err != nil {
		return nil, err
	}
	if err = d.CheckSchema(ctx); err == nil {
		err = d.CheckKeyFile(ctx)
	}
	if err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

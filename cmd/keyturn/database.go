package main

import (
	"context"
	"os"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/vault"
)

// openDatabase connects to the database alone, for commands that need nothing else.
func openDatabase(ctx context.Context) (*db.DB, error) {
	dsn, file := os.Getenv("KEYTURN_DATABASE_URL"), os.Getenv("KEYTURN_KEYS")
	if dsn == "" || file == "" {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "set KEYTURN_DATABASE_URL and KEYTURN_KEYS: this command works on the database itself")
	}
	keys, err := vault.LoadKeys(file)
	if err != nil {
		return nil, err
	}
	return db.Open(ctx, dsn, keys)
}

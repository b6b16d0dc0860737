// Package pg has the shape of the real one that the check looks at.
package pg

import "github.com/jmoiron/sqlx"

type DB struct{ *sqlx.DB }

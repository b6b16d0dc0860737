package main

import (
	"os"
	"slices"
	"strings"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalogfile"
)

// placeholder takes the place of a secret whose environment variable is not set, where no partner is called.
const placeholder = "placeholder"

// readToTry reads a catalog for a command that calls no partner, and the names of the environment variables that a
// placeholder was taken for.
func readToTry(file string) (c *catalogfile.Catalog, placeholders []string, err error) {
	c, err = catalogfile.Read(file, func(name string) (string, bool) {
		if v, ok := os.LookupEnv(name); ok {
			return v, true
		}
		if !slices.Contains(placeholders, name) {
			placeholders = append(placeholders, name)
		}
		return placeholder, true
	})
	return c, placeholders, err
}

// pick finds an integration of a catalog; without an ID, the only one.
func pick(c *catalogfile.Catalog, id string) (keyturn.Integration, error) {
	var ids []string
	for _, in := range c.Integrations {
		if in.ID == id || id == "" && len(c.Integrations) == 1 {
			return in, nil
		}
		ids = append(ids, in.ID)
	}
	if len(ids) == 0 {
		return keyturn.Integration{}, keyturn.Errorf(keyturn.KindInvalid, "the file declares no integration")
	}
	return keyturn.Integration{}, keyturn.Errorf(keyturn.KindInvalid,
		"the file has several integrations; choose one with --integration: %s",
		strings.Join(ids, ", "))
}

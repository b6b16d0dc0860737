package main

import (
	"os"
	"slices"
	"strings"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalogfile"
)

// standIn takes the place of a secret whose environment variable is not set, where no partner is called.
const standIn = "stand-in"

// readToTry reads a catalog for a command that calls no partner, and the names of the environment variables that a
// stand-in was taken for.
func readToTry(file string) (c *catalogfile.Catalog, standIns []string, err error) {
	c, err = catalogfile.Read(file, func(name string) (string, bool) {
		if v, ok := os.LookupEnv(name); ok {
			return v, true
		}
		if !slices.Contains(standIns, name) {
			standIns = append(standIns, name)
		}
		return standIn, true
	})
	return c, standIns, err
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
	return keyturn.Integration{}, keyturn.Errorf(keyturn.KindInvalid, "say with --integration which one is meant: %s", strings.Join(ids, ", "))
}

package db

import (
	"encoding/json"

	"keyturn.dev/keyturn"
)

// cachedProducts is shared by all DBs of the process: every step of every line needs a product.
var cachedProducts cache[readProduct]

type readProduct struct {
	spec    string
	product keyturn.Product
}

// readStored reads a product's stored spec.
func readStored(id, spec string) (keyturn.Product, error) {
	if r, ok := cachedProducts.get(id); ok && r.spec == spec {
		return r.product, nil
	}
	var fresh keyturn.Product
	if err := json.Unmarshal([]byte(spec), &fresh); err != nil {
		return keyturn.Product{}, keyturn.Errorf(keyturn.KindInternal, "the stored product %s cannot be read: %w", id, err)
	}
	fresh = fresh.WithDefaults()
	cachedProducts.put(id, readProduct{spec, fresh})
	return fresh, nil
}

// Package catalogfile reads a catalog that merchants keep as YAML, with the line of every mistake, and applies it over
// the HTTP API.
package catalogfile

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalog"
	"keyturn.dev/keyturn/endpoint"
	"keyturn.dev/keyturn/internal/strictjson"
)

// Catalog is what a catalog file declares, with its secrets read, and where in the file each entry stands.
type Catalog struct {
	Shop         *keyturn.Shop // nil: the file does not name it
	Integrations []keyturn.Integration
	Pools        []keyturn.Pool
	Products     []keyturn.Product
	Webhooks     []keyturn.Webhook

	shop                                    place
	integrations, pools, products, webhooks []place
}

// place is where an entry stands.
type place struct {
	doc  yamlDocument
	path string
}

// at writes the place of a field of the entry.
func (p place) at(field string) string {
	path := p.path
	switch {
	case strings.HasPrefix(field, "["):
		path += field
	case field != "":
		path += "." + field
	}
	return atLine(p.doc.line(path), path)
}

// locate moves the fields of an error from an entry to its lines; an error without fields is the entry's own.
func (p place) locate(bad *keyturn.Problems, err error) {
	if err == nil {
		return
	}
	e, ok := errors.AsType[*keyturn.Error](err)
	if !ok || len(e.Fields) == 0 {
		bad.Addf(p.at(""), "%s", err.Error())
		return
	}
	for _, f := range e.Fields {
		bad.Addf(p.at(f.Location), "%s", f.Message)
	}
}

// catalogFile is one document of a catalog file.
type catalogFile struct {
	Shop         *keyturn.Shop         `json:"shop"`
	Integrations []keyturn.Integration `json:"integrations"`
	Pools        []keyturn.Pool        `json:"pools"`
	Products     []keyturn.Product     `json:"products"`
	Webhooks     []keyturn.Webhook     `json:"webhooks"`
}

// Read reads a catalog file, which may hold several documents, and the environment variables (with lookup, such as
// os.LookupEnv) and files that its secrets and certificates name; paths are relative to the catalog's folder. An error
// of KindInvalid has a field for every mistake, located as `line 12, products[0].sources[1].pool`.
func Read(path string, lookup func(string) (string, bool)) (*Catalog, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxCatalogFile {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "the catalog %s must be at most %s", path,
			keyturn.Bytes(maxCatalogFile))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "the catalog %s cannot be read: check its path and permissions: %w",
			path, err)
	}
	return Parse(text, filepath.Dir(path), lookup)
}

// Parse is Read for a text; folder is where relative paths begin.
func Parse(text []byte, folder string, lookup func(string) (string, bool)) (*Catalog, error) {
	docs, err := readYAML(text)
	if err != nil {
		return nil, err
	}
	var c Catalog
	var bad keyturn.Problems
	for _, doc := range docs {
		c.add(&bad, doc)
	}
	s := secretReader{folder: folder, lookup: lookup, bad: &bad}
	for i := range c.Integrations {
		if s.read(&c.Integrations[i], c.integrations[i]) {
			c.integrations[i].locate(&bad, endpoint.Check(c.Integrations[i], false))
		}
	}
	if c.Shop != nil {
		s.image(&c.Shop.Logo, c.shop, "logo")
		var err error
		*c.Shop, err = catalog.CheckShop(*c.Shop)
		c.shop.locate(&bad, err)
	}
	for i, p := range c.Pools {
		c.pools[i].locate(&bad, p.Check())
	}
	for i := range c.Products {
		p, here := &c.Products[i], c.products[i]
		s.image(&p.Image, here, "image")
		var err error
		*p, err = catalog.CheckProduct(*p, false)
		here.locate(&bad, err)
	}
	for i := range c.Webhooks {
		c.Webhooks[i] = c.Webhooks[i].WithDefaults()
		if s.readWebhook(&c.Webhooks[i], c.webhooks[i]) {
			c.webhooks[i].locate(&bad, catalog.CheckWebhook(c.Webhooks[i], false))
		}
	}
	c.checkTwice(&bad)
	if err := bad.Err("the catalog is not valid"); err != nil {
		return nil, sortedByLine(err)
	}
	return &c, nil
}

// add takes over one document.
func (c *Catalog) add(bad *keyturn.Problems, doc yamlDocument) {
	if string(doc.json) == "null" { // nothing between two separators
		return
	}
	var file catalogFile
	if err := strictjson.Decode(doc.json, &file); err != nil {
		e, _ := errors.AsType[*keyturn.Error](err)
		for _, f := range e.Fields {
			path := f.Location
			if path == "body" {
				path = ""
			}
			bad.Addf(atLine(doc.line(path), path), "%s", f.Message)
		}
		return
	}
	if file.Shop != nil {
		here := place{doc, "shop"}
		bad.Check(c.Shop == nil, here.at(""), "is there twice: an installation has one shop")
		c.Shop, c.shop = file.Shop, here
	}
	c.Integrations = append(c.Integrations, file.Integrations...)
	c.integrations = append(c.integrations, places(doc, "integrations", len(file.Integrations))...)
	c.Pools = append(c.Pools, file.Pools...)
	c.pools = append(c.pools, places(doc, "pools", len(file.Pools))...)
	c.Products = append(c.Products, file.Products...)
	c.products = append(c.products, places(doc, "products", len(file.Products))...)
	c.Webhooks = append(c.Webhooks, file.Webhooks...)
	c.webhooks = append(c.webhooks, places(doc, "webhooks", len(file.Webhooks))...)
}

func places(doc yamlDocument, list string, n int) []place {
	out := make([]place, n)
	for i := range out {
		out[i] = place{doc, list + "[" + strconv.Itoa(i) + "]"}
	}
	return out
}

// checkTwice refuses an entry that the file has twice: the second would silently win.
func (c *Catalog) checkTwice(bad *keyturn.Problems) {
	seen := map[string]bool{}
	check := func(kind, id string, p place) {
		bad.Check(!seen[kind+id], p.at("id"), "is a duplicate ID: %s", id)
		seen[kind+id] = id != ""
	}
	for i, in := range c.Integrations {
		check("integration/", in.ID, c.integrations[i])
	}
	for i, p := range c.Pools {
		check("pool/", p.ID, c.pools[i])
	}
	for i, p := range c.Products {
		check("product/", p.ID, c.products[i])
	}
	for i, w := range c.Webhooks {
		check("webhook/", w.ID, c.webhooks[i])
	}
}

// sortedByLine puts the mistakes in the order in which they stand in the file.
func sortedByLine(err error) error {
	e, ok := errors.AsType[*keyturn.Error](err)
	if !ok {
		return err
	}
	slices.SortStableFunc(e.Fields, func(a, b keyturn.FieldError) int {
		return cmp.Compare(lineIn(a.Location),
			lineIn(b.Location))
	})
	return e
}

func lineIn(location string) int {
	n := 0
	for _, r := range strings.TrimPrefix(location, "line ") {
		if r < '0' || r > '9' {
			break
		}
		n = 10*n + int(r-'0')
	}
	return n
}

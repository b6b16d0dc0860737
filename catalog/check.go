// Package catalog says what is wrong with an entry of the catalog and how two entries differ, for the API that stores
// them and for the files that declare them.
package catalog

import (
	"errors"
	"maps"
	"slices"
	"strconv"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/endpoint"
	"keyturn.dev/keyturn/mail"
)

// CheckProduct says everything that is wrong with a product by itself, its e-mail, its image and its dynamic URLs
// included, and gives it with its image described.
func CheckProduct(p keyturn.Product, production bool) (keyturn.Product, error) {
	var bad keyturn.Problems
	bad.Merge("", p.Check())
	p.Image = DescribeImage(&bad, "image", p.Image)
	bad.Merge("email", mail.Template{Subject: p.Email.Subject, Text: p.Email.Text, HTML: p.Email.HTML}.Check())
	for _, name := range slices.Sorted(maps.Keys(p.Email.Languages)) {
		bad.Merge("email.languages."+name, mail.Template(p.Email.Languages[name]).Check())
	}
	for i, s := range p.Sources {
		if s.URL != "" {
			mergeURL(&bad, "sources["+strconv.Itoa(i)+"].url", endpoint.Check(endpoint.DynamicURL(s.Name(), s.URL), production))
		}
	}
	return p, bad.Err("the product is not valid")
}

// mergeURL notes what is wrong with a dynamic URL at the one place where the merchant wrote it.
func mergeURL(bad *keyturn.Problems, at string, err error) {
	if e, ok := errors.AsType[*keyturn.Error](err); ok {
		for _, f := range e.Fields {
			bad.Addf(at, "%s", f.Message)
		}
	}
}

// CheckIntegration says everything that is wrong with an integration as the API takes it: with values of secrets and
// PEM text instead of the names of files.
func CheckIntegration(in keyturn.Integration, production bool) error {
	var bad keyturn.Problems
	bad.Merge("", endpoint.Check(in, production))
	in.Secrets(func(at string, ref *keyturn.SecretRef) {
		bad.Check(ref.Env == "" && ref.File == "", at, "must be sent as value: env and file are resolved by `keyturn apply`")
	})
	return bad.Err("the integration is not valid")
}

// CheckShop says everything that is wrong with the shop's settings, its logo included, and gives them with the logo
// described.
func CheckShop(s keyturn.Shop) (keyturn.Shop, error) {
	var bad keyturn.Problems
	bad.Merge("", s.Check(mail.CheckAddress))
	s.Logo = DescribeImage(&bad, "logo", s.Logo)
	return s, bad.Err("the shop's settings are not valid")
}

// CheckWebhook says everything that is wrong with a webhook as the API takes it: with values of secrets and PEM text
// instead of the names of files.
func CheckWebhook(w keyturn.Webhook, production bool) error {
	var bad keyturn.Problems
	bad.Merge("", w.Check())
	if w.URL != "" {
		bad.Merge("", endpoint.CheckWebhook(w, production))
	}
	w.Secrets(func(at string, ref *keyturn.SecretRef) {
		bad.Check(ref.Env == "" && ref.File == "", at, "must be sent as value: env and file are resolved by `keyturn apply`")
	})
	return bad.Err("the webhook is not valid")
}

package catalogfile_test

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalogfile"
	"keyturn.dev/keyturn/devstack/emulator"
)

const catalogYAML = `integrations:
  - id: acme
    baseUrl: https://partner.test/licensing
    auth: {type: basic, username: shop, password: {env: ACME_PASSWORD}}
    limits: {maxConcurrent: 20, perSecond: 50, timeout: 15s, maxReplyBytes: 1MiB}
    operations:
      create:
        urlComplement: /licenses/new
        bodyTemplate: '{"ref":"{{.LicenseID}}"}'
        httpHeaders: {X-Shop: [acme]}
        responsePaths:
          activationCode: $.licenses[*].key+
          errorCode: {path: $.error.code}
        signature: {enabled: true, signedFields: [$.checkout.orderId], secret: {file: ./hmac.txt}}
pools:
  - id: keys
    threshold: 100
---
products:
  - id: acme-pro
    name: Acme Pro
    variables: {region: EU}
    sources:
      - {type: endpoint, integration: acme, giveUpAfter: 6h}
      - {type: pool, pool: keys}
    retry: {schedule: [5s, 5m], giveUpAfter: 72h}
    email:
      subject: "Your {PROGRAM_NAME} key"
      text: |
        Thank you, {FNAME}. Your key: {KEY}
`

func environment(name string) (string, bool) {
	return "s3cr3t", name == "ACME_PASSWORD"
}

// catalogFolder has the file that the catalog's secret is in.
func catalogFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "hmac.txt"), []byte("h-m-a-c-of-sufficient-length-0123456789\n"),
		0o600))
	return dir
}

func TestACatalogIsAppliedAgainAndAgain(t *testing.T) {
	t.Parallel()
	api := newClient(t)
	c, err := catalogfile.Parse([]byte(catalogYAML), catalogFolder(t), environment)
	require.NoError(t, err)
	require.Equal(t, "s3cr3t", c.Integrations[0].Auth.Password.Value)
	require.Equal(t, "h-m-a-c-of-sufficient-length-0123456789",
		c.Integrations[0].Operations["create"].Signature.Secret.Value)

	changes := func(dryRun bool) (out []string) {
		applied, err := c.Apply(t.Context(), api, dryRun)
		require.NoError(t, err)
		for _, a := range applied {
			out = append(out, a.Kind+" "+a.ID+" "+a.Change.Change)
			require.Equal(t, a.Change.Change != keyturn.Unchanged, len(a.Differences) > 0, a)
		}
		return out
	}
	created := []string{"integration acme created", "pool keys created", "product acme-pro created"}
	require.Equal(t, created, changes(true))
	require.Equal(t, created, changes(true), "a dry run stores nothing")
	require.Equal(t, created, changes(false))
	require.Equal(t, []string{"integration acme unchanged", "pool keys unchanged", "product acme-pro unchanged"},
		changes(false))
	c.Products[0].Name = "Acme Professional"
	c.Integrations[0].Auth.Password.Value = "another"
	want := []string{"integration acme changed", "pool keys unchanged", "product acme-pro changed"}
	require.Equal(t, want, changes(true))
	require.Equal(t, want, changes(false))
}

// picture is a PNG of so many pixels' width.
func picture(t *testing.T, width int) []byte {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, png.Encode(&out, image.NewGray(image.Rect(0, 0, width, 7))))
	return out.Bytes()
}

// The command reads images from files; the server keeps their bytes and tells what they are.
func TestImagesOfACatalogAreReadAndSent(t *testing.T) {
	t.Parallel()
	api := newClient(t)
	folder := t.TempDir()
	put := func(width int, image string) (changes []string, err error) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, "a.png"), picture(t, width), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "a.svg"), []byte("<svg/>"), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "empty.png"), nil, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "large.png"), make([]byte, keyturn.MaxImage+1), 0o600))
		c, err := catalogfile.Parse([]byte("shop: {logo: {file: a.png}}\nproducts:\n  - {id: a, name: A, sources: "+
			"[{type: manual}], image: "+image+"}\n"), folder, nil)
		if err != nil {
			return nil, err
		}
		for _, dryRun := range []bool{true, false} {
			applied, err := c.Apply(t.Context(), api, dryRun)
			require.NoError(t, err)
			for _, a := range applied {
				changes = append(changes, a.Change.Change)
				for _, d := range a.Differences {
					require.NotContains(t, d.Location, "data")
				}
			}
		}
		return changes, nil
	}
	changes, err := put(5, "{file: a.png}")
	require.NoError(t, err)
	require.Equal(t, []string{"changed", "created", "changed", "created"}, changes)
	changes, err = put(5, "{file: a.png}")
	require.NoError(t, err)
	require.Equal(t, []string{"unchanged", "unchanged", "unchanged", "unchanged"}, changes)
	changes, err = put(6, "{file: a.png}")
	require.NoError(t, err)
	require.Equal(t, []string{"changed", "changed", "changed", "changed"}, changes)
	stored, err := api.Product(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, keyturn.Image{
		SHA256: stored.Image.SHA256, Type: "image/png", Width: 6, Height: 7,
	}, stored.Image)
	require.Len(t, stored.Image.SHA256, 64)

	again, err := api.PutProduct(t.Context(), stored, false)
	require.NoError(t, err)
	require.Equal(t, keyturn.Unchanged, again.Change, "what was shown can be sent back, and keeps the image")
	other := stored
	other.ID = "b"
	_, err = api.PutProduct(t.Context(), other, false)
	require.ErrorContains(t, err, "image names an image that is not stored here")

	for image, want := range map[string]string{
		"{file: a.svg}": "PNG, JPEG or WebP", "{file: large.png}": "at most 200KiB", "{file: gone.png}": "cannot be read",
		"{file: empty.png}": "empty", "{sha256: aa}": "must be {file: PATH}",
	} {
		_, err := put(5, image)
		require.ErrorContains(t, err, "line 3, products[0].image ", image)
		require.ErrorContains(t, err, want)
	}
}

func TestTheShopsSettingsAreApplied(t *testing.T) {
	t.Parallel()
	api := newClient(t)
	c, err := catalogfile.Parse([]byte("shop: {name: Kiosk, checkout: {withdrawal: offered}}\n"), "", nil)
	require.NoError(t, err)
	for _, want := range []struct {
		dryRun bool
		change string
	}{{true, "changed"}, {false, "changed"}, {true, "unchanged"}, {false, "unchanged"}} {
		applied, err := c.Apply(t.Context(), api, want.dryRun)
		require.NoError(t, err)
		require.Equal(t, "shop", applied[0].Kind)
		require.Equal(t, want.change, applied[0].Change.Change)
	}
	stored, err := api.Shop(t.Context())
	require.NoError(t, err)
	require.Equal(t, *c.Shop, stored)
}

func TestEveryMistakeOfACatalogHasItsLine(t *testing.T) {
	t.Parallel()
	folder := catalogFolder(t)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "empty.txt"), []byte("\n"), 0o600))
	edit := func(pairs ...string) string {
		text := catalogYAML
		for i := 0; i < len(pairs); i += 2 {
			require.Contains(t, text, pairs[i])
			text = strings.Replace(text, pairs[i], pairs[i+1], 1)
		}
		return text
	}
	for _, c := range []struct {
		name, text string
		want       []string // places, each followed by a part of its message
	}{
		{"not YAML", edit("auth: {", "auth: {{"), []string{"line 4", ""}},
		{"tab", "pools:\n\t- id: x\n", []string{"line 2", ""}},
		{"not a mapping", "- 1\n", []string{"line 1", "must be an object"}},
		{"unknown list", "pool: []\n", []string{"line 1, pool", "unknown field"}},
		{
			"unknown field", edit("    threshold: 100", "    treshold: 100"),
			[]string{"line 17, pools[0].treshold", "unknown field"},
		},
		{
			"unknown field by case", edit("    threshold: 100", "    Threshold: 100"),
			[]string{"line 17, pools[0].Threshold", "did you mean threshold"},
		},
		{
			"duplicate field", edit("    threshold: 100", "    threshold: 100\n    threshold: 5"),
			[]string{"line 18, pools[0].threshold", "first defined in line 17"},
		},
		{
			"wrong type", edit("threshold: 100", "threshold: many"),
			[]string{"line 17, pools[0].threshold", "must be a number"},
		},
		{
			"number for text", edit("region: EU", "region: 5"),
			[]string{"line 22, products[0].variables.region", "must be a string"},
		},
		{
			"bad duration", edit("timeout: 15s", "timeout: soon"),
			[]string{"line 5, integrations[0].limits.timeout", "such as 5s"},
		},
		{"bad size", edit("1MiB", "lots"), []string{"line 5, integrations[0].limits.maxReplyBytes", "such as 64KiB"}},
		{
			"merge key", edit("  - id: keys", "  - <<: {threshold: 5}\n    id: keys"),
			[]string{"line 16, pools[0]", "plain names"},
		},
		{
			"same entry twice", edit("pools:\n  - id: keys\n", "pools:\n  - id: keys\n  - id: keys\n"),
			[]string{"line 17, pools[1].id", "duplicate ID"},
		},
		{
			"environment variable that is not set", edit("ACME_PASSWORD", "NOT_SET"),
			[]string{"line 4, integrations[0].auth.password", "NOT_SET"},
		},
		{
			"file that is not there", edit("./hmac.txt", "./gone.txt"),
			[]string{"line 14, integrations[0].operations.create.signature.secret", "gone.txt"},
		},
		{
			"file that is empty", edit("./hmac.txt", "empty.txt"),
			[]string{"line 14, integrations[0].operations.create.signature.secret", "empty"},
		},
		{
			"secret in the file", edit("{env: ACME_PASSWORD}", "{value: s3cr3t}"),
			[]string{"line 4, integrations[0].auth.password", "must not be written in the file"},
		},
		{
			"two places of a secret", edit("{env: ACME_PASSWORD}", "{env: ACME_PASSWORD, file: hmac.txt}"),
			[]string{"line 4, integrations[0].auth.password", "not both"},
		},
		{
			"certificate that is not there", edit("    limits:", "    tls: {caFile: ./ca.pem}\n    limits:"),
			[]string{"line 5, integrations[0].tls.caFile", "ca.pem"},
		},
		{
			"template", edit("{{.LicenseID}}", "{{.LicenseID"),
			[]string{"line 9, integrations[0].operations.create.bodyTemplate", ""},
		},
		{
			"response path", edit("$.licenses[*].key+", "$..key"),
			[]string{"line 12, integrations[0].operations.create.responsePaths.activationCode", ""},
		},
		{
			"source", edit("type: pool, pool: keys", "type: pool"),
			[]string{"line 25, products[0].sources[1].pool", "required"},
		},
		{"schedule", edit("[5s, 5m]", "[5s, 1ms]"), []string{"line 26, products[0].retry.schedule[1]", "between"}},
		{
			"pool below zero", edit("threshold: 100", "threshold: -1"),
			[]string{"line 17, pools[0].threshold", "between 0 and"},
		},
		{"pool in no currency", edit("threshold: 100", "currency: EURO"), []string{"line 17, pools[0].currency", "ISO 4217"}},
		{
			"pool with a pattern that is none", edit("threshold: 100", "pattern: '('"),
			[]string{"line 17, pools[0].pattern", "RE2"},
		},
		{
			"pool with a pattern that no key matches", edit("threshold: 100", "pattern: 'a$b'"),
			[]string{"line 17, pools[0].pattern", "can match no key"},
		},
		{
			"refusing orders without a pool", edit("    name: Acme Pro\n", "    name: Acme Pro\n    sell: {whenEmpty: refuse}\n",
				"      - {type: pool, pool: keys}\n", ""),
			[]string{"line 22, products[0].sell.whenEmpty", "source of type pool"},
		},
		{
			"shop", edit("integrations:\n", "shop:\n  checkout: {fields: {phone: maybe}}\nintegrations:\n"),
			[]string{"line 2, shop.checkout.fields.phone", "hidden, optional or required"},
		},
		{"shop twice", edit("---\n", "shop: {}\n---\nshop: {}\n"), []string{"line 20, shop", "twice"}},
		{"e-mail tag", edit("{KEY}", "{KEYY}"), []string{"line 29, products[0].email.text", ""}},
		{
			"several, in the order of the file", edit("threshold: 100", "threshold: -1", "name: Acme Pro\n", "name: ''\n",
				"https://partner.test", "ftp://partner.test"),
			[]string{"line 3, integrations[0].baseUrl", "", "line 17, pools[0].threshold", "", "line 21, products[0].name", ""},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := catalogfile.Parse([]byte(c.text), folder, environment)
			e, ok := errors.AsType[*keyturn.Error](err)
			require.True(t, ok, err)
			require.Equal(t, keyturn.KindInvalid, e.Kind)
			var places []string
			for _, f := range e.Fields {
				places = append(places, f.Location)
			}
			for i := 0; i < len(c.want); i += 2 {
				require.Contains(t, places, c.want[i], e.Error())
				require.Contains(t, e.Error(), c.want[i+1])
			}
			require.NotContains(t, e.Error(), "s3cr3t")
		})
	}
}

func TestAliasesOfACatalogAreFollowedButNotForEver(t *testing.T) {
	t.Parallel()
	c, err := catalogfile.Parse([]byte("products:\n  - {id: a, name: A, sources: &s [{type: manual}]}\n  - {id: b, "+
		"name: B, sources: *s}\n"), "", nil)
	require.NoError(t, err)
	require.Equal(t, c.Products[0].Sources, c.Products[1].Sources)
	bomb := "a: &a [1,1,1,1,1,1,1,1,1]\n"
	for name := 'b'; name < 'm'; name++ {
		was := string(name - 1)
		bomb += string(name) + ": &" + string(name) + " [" + strings.Repeat("*"+was+",", 8) + "*" + was + "]\n"
	}
	_, err = catalogfile.Parse([]byte(bomb), "", nil)
	require.ErrorContains(t, err, "too large")
}

func TestMistakesThatOnlyTheServerSeesHaveTheirLineToo(t *testing.T) {
	t.Parallel()
	api := newClient(t)
	text := strings.Replace(catalogYAML, "pool: keys}", "pool: others}", 1)
	c, err := catalogfile.Parse([]byte(text), catalogFolder(t), environment)
	require.NoError(t, err)
	_, err = c.Apply(t.Context(), api, false)
	require.ErrorContains(t, err, "line 25, products[0].sources[1].pool")
	require.ErrorContains(t, err, "others")
	pools, err := api.Pools(t.Context())
	require.NoError(t, err)
	require.Empty(t, pools, "a mistake anywhere changes nothing")
}

func TestACatalogFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	_, err := catalogfile.Read(filepath.Join(t.TempDir(), "gone.yaml"), os.LookupEnv)
	require.ErrorContains(t, err, "gone.yaml")
	path := filepath.Join(t.TempDir(), "catalog.yaml")
	require.NoError(t, os.WriteFile(path, []byte("pools:\n  - {id: p}\n"), 0o600))
	c, err := catalogfile.Read(path, os.LookupEnv)
	require.NoError(t, err)
	require.Equal(t, "p", c.Pools[0].ID)
}

// docs/use/catalog.md shows merchants every field that there is, in one file that is valid.
func TestTheCatalogsPageIsWhole(t *testing.T) {
	page, err := os.ReadFile("../docs/use/catalog.md")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(page), "<!-- every field -->\n```yaml\n")
	require.True(t, found)
	file, _, found := strings.Cut(after, "\n```\n")
	require.True(t, found)

	var fields func(of reflect.Type)
	fields = func(of reflect.Type) {
		switch of.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			fields(of.Elem())
		case reflect.Struct:
			if of == reflect.TypeFor[keyturn.SecretRef]() || of == reflect.TypeFor[keyturn.Image]() {
				return // has a paragraph of its own
			}
			for field := range of.Fields() {
				name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				// these two are the API's, for text instead of files
				if name != "" && name != "-" && name != "ca" && name != "clientCert" {
					require.Regexp(t, `\b`+name+`:`, file)
				}
				fields(field.Type)
			}
		default:
		}
	}
	for _, kind := range []reflect.Type{
		reflect.TypeFor[keyturn.Integration](), reflect.TypeFor[keyturn.Pool](),
		reflect.TypeFor[keyturn.Product](), reflect.TypeFor[keyturn.Shop](), reflect.TypeFor[keyturn.Webhook](),
	} {
		fields(kind)
	}

	partner := emulator.New(emulator.Config{TLSAddr: "127.0.0.1:0"})
	require.NoError(t, partner.Start())
	t.Cleanup(func() { _ = partner.Close() })
	cert, key, err := partner.IssueClientCert("shop")
	require.NoError(t, err)
	folder := t.TempDir()
	for name, text := range map[string][]byte{
		"acme-ca.pem": partner.CAPEM(), "shop.pem": cert, "shop.key": key,
		"logo.png": picture(t, 1), "acme-pro.png": picture(t, 2),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), text, 0o600))
	}
	_, err = catalogfile.Parse([]byte(file), folder, func(name string) (string, bool) {
		if name == "SHOP_HOOK" {
			return keyturn.NewWebhookSecret(), true
		}
		return "s3cr3t", true
	})
	require.NoError(t, err)
}

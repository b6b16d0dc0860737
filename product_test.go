package keyturn_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func goodProduct() keyturn.Product {
	return keyturn.Product{
		ID: "game", Name: "A Game",
		Sources: []keyturn.Source{{Type: keyturn.SourcePool, Pool: "games"}},
	}
}

func TestProductCheck(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for i := range 51 {
		many[fmt.Sprint("v", i)] = "x"
	}
	for _, c := range []struct {
		name   string
		change func(p *keyturn.Product)
		field  string
	}{
		{"a good one", func(*keyturn.Product) {}, ""},
		{"no ID", func(p *keyturn.Product) { p.ID = "" }, "id"},
		{"an ID with a slash", func(p *keyturn.Product) { p.ID = "a/b" }, "id"},
		{"a long ID", func(p *keyturn.Product) { p.ID = strings.Repeat("x", 65) }, "id"},
		{"no name", func(p *keyturn.Product) { p.Name = "" }, "name"},
		{"a name that reverses what follows", func(p *keyturn.Product) { p.Name = "gpj.\u202Eexe" }, "name"},
		{"a megabyte of name", func(p *keyturn.Product) { p.Name = strings.Repeat("x", 1<<20) }, "name"},
		{"markup in the name", func(p *keyturn.Product) { p.Name = "<b>{{.}}</b>" }, ""},
		{"publisher's ID with NUL", func(p *keyturn.Product) { p.PublisherProductID = "\x00" }, "publisherProductId"},
		{
			"publisher's other ID too long", func(p *keyturn.Product) { p.PublisherFulfillmentID = strings.Repeat("x", 201) },
			"publisherFulfillmentId",
		},
		{"external context not UTF-8", func(p *keyturn.Product) { p.ExternalContext = "\xff" }, "externalContext"},
		{"too many variables", func(p *keyturn.Product) { p.Variables = many }, "variables"},
		{
			"a variable with a control character", func(p *keyturn.Product) { p.Variables = map[string]string{"a": "\x07"} },
			"variables.a",
		},
		{"a variable without a name", func(p *keyturn.Product) { p.Variables = map[string]string{"": "x"} }, "variables."},
		{"a price parameter too long", func(p *keyturn.Product) {
			p.PriceFunctionParameters = map[string]string{"a": strings.Repeat("x", 1001)}
		}, "priceFunctionParameters.a"},
		{"instructions over http", func(p *keyturn.Product) { p.URLToInstructions = "http://x.test/" }, "urlToInstructions"},
		{
			"a download that is a script", func(p *keyturn.Product) { p.URLToDownload = "javascript:alert(1)" },
			"urlToDownload",
		},
		{
			"a download with a line feed", func(p *keyturn.Product) { p.URLToDownload = "https://x.test/\nBcc:" },
			"urlToDownload",
		},
		{"an unknown quantity mode", func(p *keyturn.Product) { p.QuantityMode = "some" }, "quantityMode"},
		{"an unknown give-up", func(p *keyturn.Product) { p.OnGiveUp = "cry" }, "onGiveUp"},
		{"no sources", func(p *keyturn.Product) { p.Sources = nil }, "sources"},
		{"nine sources", func(p *keyturn.Product) { p.Sources = sources(9) }, "sources"},
		{"eight sources", func(p *keyturn.Product) { p.Sources = sources(8) }, ""},
		{"a source of no type", func(p *keyturn.Product) { p.Sources[0].Type = "" }, "sources[0].type"},
		{"a source of an unknown type", func(p *keyturn.Product) { p.Sources[0].Type = "ftp" }, "sources[0].type"},
		{"a pool without a pool", func(p *keyturn.Product) { p.Sources[0].Pool = "" }, "sources[0].pool"},
		{"a pool with a URL", func(p *keyturn.Product) { p.Sources[0].URL = "https://x.test" }, "sources[0].url"},
		{
			"an endpoint without an integration",
			func(p *keyturn.Product) { p.Sources[0] = keyturn.Source{Type: keyturn.SourceEndpoint} }, "sources[0].integration",
		},
		{
			"a dynamic URL without a URL",
			func(p *keyturn.Product) { p.Sources[0] = keyturn.Source{Type: keyturn.SourceDynamicURL} }, "sources[0].url",
		},
		{"by hand, with a pool", func(p *keyturn.Product) {
			p.Sources[0] = keyturn.Source{
				Type: keyturn.SourceManual,
				Pool: "x",
			}
		}, "sources[0].pool"},
		{"by hand", func(p *keyturn.Product) { p.Sources[0] = keyturn.Source{Type: keyturn.SourceManual} }, ""},
		{
			"a source that gives up before it starts", func(p *keyturn.Product) { p.Sources[0].GiveUpAfter = -1 },
			"sources[0].giveUpAfter",
		},
		{
			"a source that never gives up",
			func(p *keyturn.Product) { p.Sources[0].GiveUpAfter = keyturn.Duration(91 * 24 * time.Hour) },
			"sources[0].giveUpAfter",
		},
		{"orders refused while a pool is empty that there is not", func(p *keyturn.Product) {
			p.Sell.WhenEmpty, p.Sources = keyturn.SellRefuse, sources(2)
		}, "sell.whenEmpty"},
		{"orders refused while the second source is empty", func(p *keyturn.Product) {
			p.Sell.WhenEmpty, p.Sources = keyturn.SellRefuse, append(sources(1), p.Sources...)
		}, ""},
		{
			"orders allowed while a pool is empty", func(p *keyturn.Product) { p.Sell.WhenEmpty = keyturn.SellAllow },
			"sell.whenEmpty",
		},
		{"a rule that there is not", func(p *keyturn.Product) { p.Sell.WhenPartnerDown = "wait" }, "sell.whenPartnerDown"},
		{"orders refused while a partner is down that there is not", func(p *keyturn.Product) {
			p.Sell.WhenPartnerDown, p.Sources = keyturn.SellRefuse, []keyturn.Source{{Type: keyturn.SourceManual}}
		}, "sell.whenPartnerDown"},
		{"stock that is always shown", func(p *keyturn.Product) { p.Sell.ShowStock = "always" }, "sell.showStock"},
		{"a bad retry policy", func(p *keyturn.Product) { p.Retry.GiveUpAfter = -1 }, "retry.giveUpAfter"},
		{"a bad delay", func(p *keyturn.Product) { p.Retry.Schedule = seconds(0) }, "retry.schedule[0]"},
	} {
		p := goodProduct()
		c.change(&p)
		wantFields(t, p.Check(), c.name, c.field)
	}
}

func sources(n int) []keyturn.Source {
	out := make([]keyturn.Source, n)
	for i := range out {
		out[i] = keyturn.Source{Type: keyturn.SourceManual}
	}
	return out
}

func TestProductDefaults(t *testing.T) {
	t.Parallel()
	p := goodProduct().WithDefaults()
	require.Equal(t, keyturn.OnePerUnit, p.QuantityMode)
	require.Equal(t, keyturn.CancelLine, p.OnGiveUp)
	require.Equal(t, keyturn.DefaultGiveUp, time.Duration(p.Retry.GiveUpAfter))
	require.Equal(t, p, p.WithDefaults())
}

func TestUnits(t *testing.T) {
	t.Parallel()
	for mode, want := range map[keyturn.QuantityMode]int{
		"": 5, keyturn.OnePerUnit: 5, keyturn.OneCall: 5,
		keyturn.OnePerLine: 1,
	} {
		require.Equal(t, want, keyturn.Product{QuantityMode: mode}.Units(5), mode)
	}
}

func TestPoolCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pool  keyturn.Pool
		field string
	}{
		{keyturn.Pool{ID: "games"}, ""},
		{keyturn.Pool{ID: "games", Name: "山", Threshold: 10, Currency: "EUR"}, ""},
		{keyturn.Pool{}, "id"},
		{keyturn.Pool{ID: "../x"}, "id"},
		{keyturn.Pool{ID: "games", Name: "a\x00"}, "name"},
		{keyturn.Pool{ID: "games", Threshold: -1}, "threshold"},
		{keyturn.Pool{ID: "games", Threshold: 1_000_000_001}, "threshold"},
		{keyturn.Pool{ID: "games", Currency: "eur"}, "currency"},
	} {
		wantFields(t, c.pool.Check(), fmt.Sprint(c.pool), c.field)
	}
}

package api

import (
	"encoding/json"
	"log/slog"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalog"
	"keyturn.dev/keyturn/mail"
)

// Every body of a request and every answer of a success has an example, and the example is what its schema allows.
func TestEveryRouteHasExamplesThatAreValid(t *testing.T) {
	t.Parallel()
	o := New(Config{Logger: slog.New(slog.DiscardHandler)}).huma.OpenAPI()
	known := map[string]bool{}
	for _, op := range operationsOf(o) {
		require.Contains(t, examples, op.OperationID)
		known[op.OperationID] = true
		if op.RequestBody != nil {
			requireValidExamples(t, o, op.OperationID+" request", huma.ModeWriteToServer, op.RequestBody.Content)
		}
		succeeds := false
		for status, answer := range op.Responses {
			if strings.HasPrefix(status, "2") {
				succeeds = true
				requireValidExamples(t, o, op.OperationID+" "+status, huma.ModeReadFromServer, answer.Content)
			}
		}
		require.True(t, succeeds, "%s describes no success", op.OperationID)
	}
	for _, id := range slices.Sorted(maps.Keys(examples)) {
		require.True(t, known[id], "%s is an example of no route", id)
	}
}

func requireValidExamples(t *testing.T, o *huma.OpenAPI, of string, mode huma.ValidateMode,
	content map[string]*huma.MediaType,
) {
	t.Helper()
	for name, media := range content {
		if name == "application/octet-stream" {
			continue
		}
		require.NotNil(t, media.Example, "%s has no example of %s", of, name)
		text, err := json.Marshal(media.Example)
		require.NoError(t, err, of)
		var value any
		require.NoError(t, json.Unmarshal(text, &value), of)
		result := &huma.ValidateResult{}
		huma.Validate(o.Components.Schemas, media.Schema, huma.NewPathBuffer(nil, 0), mode, value, result)
		require.Empty(t, result.Errors, "%s: %s", of, text)
	}
}

// What the examples send passes the checks of the handlers too.
func TestExamplesOfRequestsAreAccepted(t *testing.T) {
	t.Parallel()
	order, ok := examples["createOrder"].request.(keyturn.Order)
	require.True(t, ok)
	require.NoError(t, order.Check(mail.CheckAddress))
	link, ok := examples["createCheckoutLink"].request.(keyturn.CheckoutLink)
	require.True(t, ok)
	require.NoError(t, link.WithDefaults(exampleTime(0), "").Check(exampleTime(0), mail.CheckAddress, nil))
	_, err := catalog.CheckProduct(exampleProductEntry, true)
	require.NoError(t, err)
	_, err = catalog.CheckShop(exampleShop)
	require.NoError(t, err)
	require.NoError(t, examplePoolEntry.Check())
	require.NoError(t, catalog.CheckIntegration(examplePartnerEntry, true))
	pattern := examplePoolEntry.MustMatch()
	for _, key := range []string{exampleKey, exampleNewKey} {
		require.True(t, pattern.MatchString(key), key)
	}
}

// Text on the page has a contrast of at least 4.5 to 1 with what is behind it, in the light and in the dark scheme.
func TestColoursOfThePageAreReadable(t *testing.T) {
	t.Parallel()
	pairs := regexp.MustCompile(`--([a-z]+): light-dark\((#[0-9a-f]{3,6}), (#[0-9a-f]{3,6})\)`).FindAllStringSubmatch(docsHTML, -1)
	colours := map[string][2]string{}
	for _, p := range pairs {
		colours[p[1]] = [2]string{p[2], p[3]}
	}
	for scheme, name := range []string{"light", "dark"} {
		for _, behind := range []string{"page", "box"} {
			for _, text := range []string{"text", "dim", "accent", "link"} {
				require.Contains(t, colours, text)
				require.Contains(t, colours, behind)
				got := contrast(t, colours[text][scheme], colours[behind][scheme])
				require.GreaterOrEqual(t, got, 4.5, "%s on %s, %s", text, behind, name)
				t.Logf("%-5s %-6s on %-4s %.1f", name, text, behind, got)
			}
		}
	}
}

// contrast is that of WCAG 2: (lighter + 0.05) / (darker + 0.05) of the relative luminances.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	digits := strings.TrimPrefix(colour, "#")
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(digits[2*i:2*i+2], 16, 8)
		require.NoError(t, err)
		c := float64(n) / 255
		if c <= 0.03928 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

package db

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// A header's secret is kept like a password: apart, encrypted, and never given back but for a call.
func TestHeaderSecretsAreKeptApart(t *testing.T) {
	s := newShop(t)
	in := keyturn.Integration{
		ID: "acme", BaseURL: "https://partner.test",
		HTTPHeaders: map[string][]keyturn.HeaderValue{
			"X-Shop":    keyturn.Texts("plain"),
			"X-Api-Key": {{SecretRef: keyturn.SecretRef{Value: "canary-one"}}},
		},
		Operations: map[string]keyturn.Operation{"create": {HTTPHeaders: map[string][]keyturn.HeaderValue{
			"X-Two": {
				{SecretRef: keyturn.SecretRef{Value: "canary-two"}},
				{SecretRef: keyturn.SecretRef{Value: "canary-three"}},
			},
		}}},
	}
	_, _, err := s.PutIntegration(s.ctx, in)
	require.NoError(t, err)
	require.Equal(t, "canary-one", in.HTTPHeaders["X-Api-Key"][0].Value, "the caller's own is left alone")

	shown, err := s.Integration(s.ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, "plain", shown.HTTPHeaders["X-Shop"][0].Text)
	require.Equal(t, keyturn.SecretRef{Set: true}, shown.HTTPHeaders["X-Api-Key"][0].SecretRef)
	var spec string
	require.NoError(t, s.pg.GetContext(s.ctx, &spec, `SELECT spec FROM integrations WHERE id = 'acme'`))
	require.NotContains(t, spec, "canary")

	_, changed, err := s.PutIntegration(s.ctx, shown)
	require.NoError(t, err)
	require.False(t, changed, "what is only marked as set keeps its value")
	used, _, err := s.integration(s.ctx, s.pg, "acme")
	require.NoError(t, err)
	require.Equal(t, "canary-one", used.HTTPHeaders["X-Api-Key"][0].Value)
	require.Equal(t, "canary-three", used.Operations["create"].HTTPHeaders["X-Two"][1].Value)

	shown.HTTPHeaders["X-New"] = []keyturn.HeaderValue{{SecretRef: keyturn.SecretRef{Set: true}}}
	_, _, err = s.PutIntegration(s.ctx, shown)
	wantKind(t, err, keyturn.KindInvalid, "httpHeaders.X-New[0]")
}

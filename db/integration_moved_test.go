package db

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// A stored secret stays with the servers that it was given for: whoever may change an integration sees none of them go
// to a server of their own.
func TestSecretsDoNotFollowToAnotherServer(t *testing.T) {
	s := newShop(t)
	set := &keyturn.SecretRef{Set: true}
	given := func() keyturn.Integration {
		return keyturn.Integration{
			ID: "acme", BaseURL: "https://partner.test/licensing", AllowedNetworks: []string{"10.1.0.0/16"},
			Auth: keyturn.Auth{
				Type: "oauth2ClientCredentials", ClientID: "shop", TokenURL: "https://login.partner.test/token",
				ClientSecret: &keyturn.SecretRef{Value: "canary-secret"},
			},
			HTTPHeaders: map[string][]keyturn.HeaderValue{"X-Api-Key": {{SecretRef: keyturn.SecretRef{Value: "canary-key"}}}},
		}
	}
	_, _, err := s.PutIntegration(s.ctx, given())
	require.NoError(t, err)
	kept := func() keyturn.Integration {
		in := given()
		in.Auth.ClientSecret, in.HTTPHeaders["X-Api-Key"][0].SecretRef = set, *set
		return in
	}
	for name, change := range map[string]func(in *keyturn.Integration){
		"baseUrl changed":          func(in *keyturn.Integration) { in.BaseURL = "https://evil.test/licensing" },
		"baseUrl changed from":     func(in *keyturn.Integration) { in.BaseURL = "https://partner.test:8443/licensing" },
		"baseUrl changed from htt": func(in *keyturn.Integration) { in.BaseURL = "http://partner.test/licensing" },
		"testBaseUrl is new":       func(in *keyturn.Integration) { in.TestBaseURL = "https://evil.test" },
		"auth.tokenUrl changed":    func(in *keyturn.Integration) { in.Auth.TokenURL = "https://login.partner.test/other" },
		"allowedNetworks has": func(in *keyturn.Integration) {
			in.AllowedNetworks = append(in.AllowedNetworks, "10.2.0.0/16")
		},
	} {
		in := kept()
		change(&in)
		_, _, err := s.PutIntegration(s.ctx, in)
		wantKind(t, err, keyturn.KindInvalid, "auth.clientSecret", "httpHeaders.X-Api-Key[0]")
		require.ErrorContains(t, err, "must be given again, because "+name)
		_, err = s.CheckSecrets(s.ctx, in)
		require.ErrorContains(t, err, "must be given again", "a dry run says so too")
	}
	used, _, err := s.integration(s.ctx, s.pg, "acme")
	require.NoError(t, err)
	require.Equal(t, "https://partner.test/licensing", used.BaseURL, "what was stays in force")

	for _, change := range []func(in *keyturn.Integration){
		func(in *keyturn.Integration) { in.BaseURL = "https://PARTNER.test:443/other" },
		func(in *keyturn.Integration) { in.Limits.PerSecond = 3 },
		func(in *keyturn.Integration) { in.AllowedNetworks = nil },
	} {
		in := kept()
		change(&in)
		_, _, err := s.PutIntegration(s.ctx, in)
		require.NoError(t, err, "the servers are the same")
	}
	moved := given()
	moved.BaseURL = "https://new.partner.test"
	_, _, err = s.PutIntegration(s.ctx, moved)
	require.NoError(t, err, "`keyturn apply` sends the secrets")
}

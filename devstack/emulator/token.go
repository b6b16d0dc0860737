package emulator

import (
	"net/http"
	"net/url"
	"time"

	"keyturn.dev/keyturn"
)

const defaultTokenTTL = time.Hour

// token answers an OAuth2 client credentials request (RFC 6749 §4.4). Credentials come by Basic or in the form.
func (c *call) token() reply {
	form, err := url.ParseQuery(string(c.body))
	if err != nil {
		return oauthError(http.StatusBadRequest, "invalid_request")
	}
	client, secret, ok := c.r.BasicAuth()
	if !ok {
		client, secret = form.Get("client_id"), form.Get("client_secret")
	}
	c.entry.AuthUser = client
	s := c.settings
	switch {
	case s.ClientID == "" || !same(client, keyturn.Secret(s.ClientID)) || !same(secret, s.ClientSecret):
		return oauthError(http.StatusUnauthorized, "invalid_client")
	case form.Get("grant_type") != "client_credentials":
		return oauthError(http.StatusBadRequest, "unsupported_grant_type")
	}
	ttl := time.Duration(s.TokenTTL)
	if ttl <= 0 {
		ttl = defaultTokenTTL
	}
	answer := map[string]any{
		"access_token": c.p.newToken(client, ttl), "token_type": "Bearer", "expires_in": int(ttl / time.Second),
	}
	if scope := form.Get("scope"); scope != "" {
		answer["scope"] = scope
	}
	rep := jsonReply(http.StatusOK, answer)
	rep.header = http.Header{"Cache-Control": {"no-store"}}
	return rep
}

func oauthError(status int, code string) reply {
	rep := jsonReply(status, map[string]any{"error": code})
	if status == http.StatusUnauthorized {
		rep.header = http.Header{"Www-Authenticate": {`Basic realm="emulator"`}}
	}
	return rep
}

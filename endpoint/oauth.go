package endpoint

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

const (
	tokenSlack    = 30 * time.Second
	tokenLifetime = 5 * time.Minute // where the server does not say
)

// tokenCache holds the access token of one integration. One fetch runs at a time; the others wait for it.
type tokenCache struct {
	busy    chan struct{}
	token   string
	expires time.Time
}

// get returns a token: the cached one until 30 s before it expires, unless the partner has refused it.
func (c *tokenCache) get(ctx context.Context, transport *http.Transport, in keyturn.Integration,
	refused string,
) (string, error) {
	select {
	case c.busy <- struct{}{}:
		defer func() { <-c.busy }()
	case <-ctx.Done():
		return "", failed(ctx.Err(), nil)
	}
	if c.token != "" && c.token != refused && time.Now().Before(c.expires) {
		return c.token, nil
	}
	token, lifetime, err := fetchToken(ctx, transport, in.Auth)
	if err != nil {
		return "", err
	}
	c.token, c.expires = token, time.Now().Add(lifetime-tokenSlack)
	return token, nil
}

// fetchToken asks the authorisation server for a token (RFC 6749 §4.4): the client's credentials in a Basic header, and
// in the form if the server refuses that.
func fetchToken(ctx context.Context, transport *http.Transport, auth keyturn.Auth) (string, time.Duration, error) {
	form := url.Values{}
	maps.Copy(form, auth.Values)
	form.Set("grant_type", "client_credentials")
	if len(auth.Scopes) > 0 {
		form.Set("scope", strings.Join(auth.Scopes, " "))
	}
	if auth.ClientSecret == nil || auth.ClientSecret.Value == "" {
		return "", 0, keyturn.Errorf(keyturn.KindConfiguration, "the client secret is missing")
	}
	secret := auth.ClientSecret.Value
	header := http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}, "User-Agent": {"Keyturn"},
		"Authorization": {"Basic " +
			base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(auth.ClientID)+":"+url.QueryEscape(secret)))},
	}
	reply, err := send(ctx, transport, http.MethodPost, auth.TokenURL, header, []byte(form.Encode()), tokenReplyBytes)
	if err == nil && (reply.Status == http.StatusUnauthorized || reply.Status == http.StatusBadRequest) {
		header.Del("Authorization")
		form.Set("client_id", auth.ClientID)
		form.Set("client_secret", secret)
		reply, err = send(ctx, transport, http.MethodPost, auth.TokenURL, header, []byte(form.Encode()), tokenReplyBytes)
	}
	if err != nil {
		return "", 0, tokenFailure(err)
	}
	var answer struct {
		AccessToken string      `json:"access_token"`
		TokenType   string      `json:"token_type"`
		ExpiresIn   json.Number `json:"expires_in"`
	}
	switch {
	case reply.Status >= 400 && reply.Status <= 499:
		return "", 0, keyturn.Errorf(keyturn.KindRejected, "the authorisation server answered HTTP %d", reply.Status)
	case reply.Status != http.StatusOK:
		return "", 0, keyturn.Errorf(keyturn.KindUnavailable, "the authorisation server answered HTTP %d", reply.Status)
	case json.Unmarshal(reply.Body, &answer) != nil || !usableToken(answer.AccessToken) ||
		answer.TokenType != "" && !strings.EqualFold(answer.TokenType, "bearer"):
		return "", 0, keyturn.Errorf(keyturn.KindBadReply, "the authorisation server's answer holds no usable bearer token")
	}
	lifetime := tokenLifetime
	if seconds, err := answer.ExpiresIn.Float64(); err == nil && seconds > 0 {
		lifetime = time.Duration(min(seconds, 86400) * float64(time.Second))
	}
	return answer.AccessToken, lifetime, nil
}

// tokenFailure keeps the kind and says which server it was.
func tokenFailure(err error) error {
	var e *keyturn.Error
	if errors.As(err, &e) {
		return &keyturn.Error{Kind: e.Kind, Message: "no access token: " +
			strings.ReplaceAll(e.Message, "the partner", "the authorisation server"), Cause: e.Cause}
	}
	return err
}

func usableToken(text string) bool {
	return text != "" && len(text) <= 16<<10 && !strings.ContainsFunc(text, func(r rune) bool {
		return r <= ' ' || r > '~'
	})
}

package db

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestTokens(t *testing.T) {
	s := newShop(t)
	client := Client{Name: "shop", Scopes: []string{"orders:write", "orders:read"}}
	text, err := s.CreateToken(s.ctx, client)
	require.NoError(t, err)
	require.Regexp(t, `^kt_[A-Za-z0-9_-]{32}$`, text)
	found, err := s.ClientOf(s.ctx, text)
	require.NoError(t, err)
	require.Equal(t, client, found)
	_, err = s.CreateToken(s.ctx, Client{Name: "shop", Scopes: []string{"admin"}})
	wantKind(t, err, keyturn.KindConflict)
	for _, wrong := range []string{"", "kt_", text + "x", text[:len(text)-1], "\x00", "' OR 1=1"} {
		_, err := s.ClientOf(s.ctx, wrong)
		wantKind(t, err, keyturn.KindUnauthorized)
	}
	other, err := s.CreateToken(s.ctx, Client{Name: "other", Scopes: []string{"admin"}})
	require.NoError(t, err)
	require.NotEqual(t, text, other)
}

func TestTokensKeepTheirPrefixAndLeniency(t *testing.T) {
	s := newShop(t)
	client := Client{Name: "m42", Scopes: []string{"ops"}, Prefix: "m42:", IgnoreUnknownFields: true}
	text, err := s.CreateToken(s.ctx, client)
	require.NoError(t, err)
	found, err := s.ClientOf(s.ctx, text)
	require.NoError(t, err)
	require.Equal(t, client, found)
	for _, wrong := range []keyturn.Prefix{"m42", ":", "m4:2:", "m42::", "m 42:", "-m42:", "m42/:", "m42:'"} {
		_, err := s.CreateToken(s.ctx, Client{Name: "wrong", Scopes: []string{"ops"}, Prefix: wrong})
		wantKind(t, err, keyturn.KindInvalid)
		require.ErrorContains(t, err, "such as m42:", wrong)
	}
}

// listed is the token of this name as the list has it.
func (s *shop) listed(name string) Token {
	s.t.Helper()
	all, err := s.Tokens(s.ctx)
	require.NoError(s.t, err)
	for _, token := range all {
		if token.Name == name {
			return token
		}
	}
	require.Fail(s.t, "the list lacks "+name)
	return Token{}
}

func TestTheUseOfATokenIsNotedOnceAMinute(t *testing.T) {
	s := newShop(t)
	text, err := s.CreateToken(s.ctx, Client{Name: "shop", Scopes: []string{"ops"}})
	require.NoError(t, err)
	require.Nil(t, s.listed("shop").LastUsedAt)
	use := func() *time.Time {
		_, err := s.ClientOf(s.ctx, text)
		require.NoError(t, err)
		return s.listed("shop").LastUsedAt
	}
	first := use()
	require.NotNil(t, first)
	require.Equal(t, first, use(), "not again within a minute")
	s.exec(`UPDATE api_tokens SET last_used_at = last_used_at - interval '61 seconds'`)
	require.False(t, use().Before(*first), "after a minute it is noted anew")
}

func TestAWithdrawnTokenIsUnknownForEver(t *testing.T) {
	s := newShop(t)
	text, err := s.CreateToken(s.ctx, Client{Name: "shop", Scopes: []string{"ops"}})
	require.NoError(t, err)
	require.NoError(t, s.WithdrawToken(s.ctx, "shop"))
	_, err = s.ClientOf(s.ctx, text)
	wantKind(t, err, keyturn.KindUnauthorized)
	at := s.listed("shop").WithdrawnAt
	require.NotNil(t, at)
	require.NoError(t, s.WithdrawToken(s.ctx, "shop"), "again changes nothing")
	require.Equal(t, at, s.listed("shop").WithdrawnAt)
	_, err = s.CreateToken(s.ctx, Client{Name: "shop", Scopes: []string{"ops"}})
	wantKind(t, err, keyturn.KindConflict)
	wantKind(t, s.WithdrawToken(s.ctx, "nobody"), keyturn.KindNotFound)
}

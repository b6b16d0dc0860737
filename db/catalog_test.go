package db

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestPutProduct(t *testing.T) {
	s := newShop(t)
	p := keyturn.Product{ID: "game", Name: "Game", Sources: []keyturn.Source{fromPool("p"), fromEndpoint("acme")}}
	_, _, err := s.PutProduct(s.ctx, p)
	wantKind(t, err, keyturn.KindInvalid, "sources[0].pool", "sources[1].integration")
	s.emptyPool("p")
	_, _, err = s.PutProduct(s.ctx, p)
	wantKind(t, err, keyturn.KindInvalid, "sources[1].integration")
	_, _, err = s.PutIntegration(s.ctx, keyturn.Integration{ID: "acme", BaseURL: "https://partner.test"})
	require.NoError(t, err)

	for _, step := range []struct{ created, changed bool }{{true, true}, {false, false}} {
		created, changed, err := s.PutProduct(s.ctx, p)
		require.NoError(t, err)
		require.Equal(t, step.created, created)
		require.Equal(t, step.changed, changed)
	}
	p.Name = "Game 2"
	created, changed, err := s.PutProduct(s.ctx, p)
	require.NoError(t, err)
	require.False(t, created)
	require.True(t, changed)
	got, err := s.Product(s.ctx, "game")
	require.NoError(t, err)
	require.Equal(t, p, got, "as it was sent, without defaults")
	all, err := s.Products(s.ctx, "")
	require.NoError(t, err)
	require.Equal(t, []keyturn.Product{p}, all)
	_, err = s.Product(s.ctx, "nope")
	wantKind(t, err, keyturn.KindNotFound)
}

func TestConcurrentFirstPuts(t *testing.T) {
	s := newShop(t)
	s.emptyPool("p")
	for _, put := range []func() (bool, bool, error){
		func() (bool, bool, error) {
			return s.PutProduct(s.ctx, keyturn.Product{ID: "game", Name: "Game", Sources: []keyturn.Source{fromPool("p")}})
		},
		func() (bool, bool, error) { return s.PutPool(s.ctx, keyturn.Pool{ID: "q"}) },
		func() (bool, bool, error) {
			return s.PutIntegration(s.ctx, keyturn.Integration{ID: "acme", BaseURL: "https://partner.test"})
		},
	} {
		made := make([]bool, 8)
		for _, err := range atOnce(8, func(i int) (err error) { made[i], _, err = put(); return err }) {
			require.NoError(t, err)
		}
		n := 0
		for _, created := range made {
			if created {
				n++
			}
		}
		require.Equal(t, 1, n)
	}
}

func TestWhatIsInUseIsNotDeleted(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"), fromEndpoint("acme"))
	wantKind(t, s.DeletePool(s.ctx, "p"), keyturn.KindConflict)
	wantKind(t, s.DeleteIntegration(s.ctx, "acme"), keyturn.KindConflict)
	require.NoError(t, s.DeleteProduct(s.ctx, "game"))
	require.NoError(t, s.DeletePool(s.ctx, "p"))
	require.NoError(t, s.DeleteIntegration(s.ctx, "acme"))
	for _, err := range []error{
		s.DeleteProduct(s.ctx, "game"), s.DeletePool(s.ctx, "p"),
		s.DeleteIntegration(s.ctx, "acme"),
	} {
		wantKind(t, err, keyturn.KindNotFound)
	}

	s.product("sold", fromPool("p"))
	s.stock("p", "K-1")
	f := s.sell("sold")
	s.claimed(f)
	s.delivered(f)
	wantKind(t, s.DeleteProduct(s.ctx, "sold"), keyturn.KindConflict)
	s.emptyPool("with keys")
	s.stock("with keys", "K-2")
	wantKind(t, s.DeletePool(s.ctx, "with keys"), keyturn.KindConflict)
}

// A pool or an integration that is being deleted is not put into a product at the same moment.
func TestDeletingWhatBecomesUsed(t *testing.T) {
	s := newShop(t)
	for i := range 10 {
		id := fmt.Sprint("p", i)
		s.emptyPool(id)
		var put, deleted error
		atOnce(2, func(who int) error {
			if who == 0 {
				_, _, put = s.PutProduct(s.ctx, keyturn.Product{ID: id, Name: "x", Sources: []keyturn.Source{fromPool(id)}})
			} else {
				deleted = s.DeletePool(s.ctx, id)
			}
			return nil
		})
		require.NotEqual(t, put == nil, deleted == nil, "put: %v, deleted: %v", put, deleted)
	}
}

func secret(value string) *keyturn.SecretRef { return &keyturn.SecretRef{Value: value} }

func withSecrets(password, token, signing *keyturn.SecretRef) keyturn.Integration {
	return keyturn.Integration{
		ID: "acme", BaseURL: "https://partner.test", Auth: keyturn.Auth{
			Type: "basic", Username: "keyturn",
			Password: password, Token: token,
		},
		Operations: map[string]keyturn.Operation{
			"create": {Signature: &keyturn.Signature{Enabled: true, Secret: signing}},
			"cancel": {Signature: &keyturn.Signature{Enabled: true, Secret: signing}},
			"renew":  {BodyTemplate: "{}"},
		},
	}
}

func TestSecretsOfAnIntegration(t *testing.T) {
	s := newShop(t)
	put := func(in keyturn.Integration) (bool, bool) {
		created, changed, err := s.PutIntegration(s.ctx, in)
		require.NoError(t, err)
		return created, changed
	}
	used := func() keyturn.Integration {
		in, _, err := s.integration(s.ctx, s.pg, "acme")
		require.NoError(t, err)
		return in
	}
	created, changed := put(withSecrets(secret("p1"), nil, secret("s1")))
	require.True(t, created && changed)
	require.Equal(t, "p1", used().Auth.Password.Value)
	require.Equal(t, "s1", used().Operations["create"].Signature.Secret.Value)
	require.Equal(t, "s1", used().Operations["cancel"].Signature.Secret.Value)

	shown, err := s.Integration(s.ctx, "acme")
	require.NoError(t, err)
	text, err := json.Marshal(shown)
	require.NoError(t, err)
	require.NotContains(t, string(text), "p1")
	require.NotContains(t, string(text), "s1")
	require.True(t, shown.Auth.Password.Set)

	_, changed = put(withSecrets(secret("p1"), nil, secret("s1")))
	require.False(t, changed, "the same again")
	_, changed = put(shown)
	require.False(t, changed, "what was shown, sent back")
	require.Equal(t, "p1", used().Auth.Password.Value)
	_, changed = put(withSecrets(&keyturn.SecretRef{Env: "PASSWORD"}, nil, secret("s2")))
	require.True(t, changed)
	require.Equal(t, "p1", used().Auth.Password.Value, "one without a value keeps what it had")
	require.Equal(t, "s2", used().Operations["cancel"].Signature.Secret.Value)

	put(withSecrets(nil, secret("t1"), nil))
	require.Nil(t, used().Auth.Password, "one that is left out is gone")
	require.Equal(t, "t1", used().Auth.Token.Value)
	_, _, err = s.PutIntegration(s.ctx, withSecrets(&keyturn.SecretRef{Set: true}, nil, nil))
	wantKind(t, err, keyturn.KindInvalid, "auth.password")
	require.Equal(t, "t1", used().Auth.Token.Value, "a refused change changes nothing")
}

// All signatures of an integration share one secret, wherever it is given, and always the same one.
func TestOneSigningSecretPerIntegration(t *testing.T) {
	s := newShop(t)
	for i := range 30 { // operations are in a map: what depends on its order shows up
		in := withSecrets(nil, nil, nil)
		in.ID = fmt.Sprint("acme", i)
		in.Operations["create"] = keyturn.Operation{Signature: &keyturn.Signature{Enabled: true, Secret: secret("s1")}}
		_, _, err := s.PutIntegration(s.ctx, in)
		require.NoError(t, err)
		for range 2 {
			got, _, err := s.integration(s.ctx, s.pg, in.ID)
			require.NoError(t, err)
			for _, op := range []string{"create", "cancel"} {
				require.NotNil(t, got.Operations[op].Signature.Secret, "%s of %s", op, in.ID)
				require.Equal(t, "s1", got.Operations[op].Signature.Secret.Value)
			}
			shown, err := s.Integration(s.ctx, in.ID)
			require.NoError(t, err)
			_, changed, err := s.PutIntegration(s.ctx, shown)
			require.NoError(t, err)
			require.False(t, changed)
		}
	}
}

func TestTwoSigningSecretsAreRefused(t *testing.T) {
	s := newShop(t)
	in := withSecrets(nil, nil, secret("s1"))
	in.Operations["cancel"] = keyturn.Operation{Signature: &keyturn.Signature{Enabled: true, Secret: secret("s2")}}
	_, _, err := s.PutIntegration(s.ctx, in)
	wantKind(t, err, keyturn.KindInvalid, "operations.create.signature.secret")
}

func TestPoolFigures(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", keysNamed("K", 10)...)
	f := s.order("o1", repeatLine(lineOf("game", 2), 4)...)
	for _, id := range f[:3] {
		s.claimed(id)
	}
	s.delivered(f[0])
	s.failDelivery(f[1], s.beginDelivery(f[1]), true)
	s.resolve(f[1], keyturn.ActionRefund)
	big := s.order("o2", lineOf("game", 100))[0]
	s.claimed(big)
	v := s.pool("p")
	require.Equal(t, keyturn.Stock{Available: 4, Claimed: 2, Delivered: 2, Quarantined: 2, Waiting: 1}, v.Stock)
	require.Len(t, v.Batches, 1)
	require.Equal(t, 10, v.Batches[0].Accepted)
	require.Equal(t, "test", v.Batches[0].CreatedBy)
	_, err := s.Stock().Pool(s.ctx, "nope")
	wantKind(t, err, keyturn.KindNotFound)
}

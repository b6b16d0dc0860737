package db

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/vault"
)

// canaries are what must be nowhere in the database as it is, nor in base64 or hex.
var canaries = map[string]string{
	"first name": "Canaryfirst", "last name": "Canarylast", "company": "Canarycompany", "street": "1 Canarystreet",
	"phone":  "+33canary",
	"e-mail": "canary@buyer.test", "pool key": "CANARY-POOL-KEY", "partner's key": "CANARY-PARTNER-KEY",
	"supplied key": "CANARY-SUPPLIED-KEY",
	"request":      "CANARY-REQUEST", "reply": "CANARY-REPLY", "password": "CANARY-PASSWORD",
	"signing secret": "CANARY-SIGNING", "context": "CANARY-CONTEXT",
	"link": "https://canary.test/link", "file": "CANARY-FILE", "address of a resend": "other-canary@buyer.test",
	"api token": "CANARY-TOKEN",
}

func TestNothingSecretIsReadableInTheDatabase(t *testing.T) {
	s := newShop(t)
	c := canaries
	_, _, err := s.PutIntegration(s.ctx, keyturn.Integration{
		ID: "acme", BaseURL: "https://partner.test", Auth: keyturn.Auth{
			Type: "basic", Username: "keyturn",
			Password: &keyturn.SecretRef{Value: c["password"]},
		},
		Operations: map[string]keyturn.Operation{"create": {Signature: &keyturn.Signature{
			Enabled: true,
			Secret:  &keyturn.SecretRef{Value: c["signing secret"]},
		}}},
	})
	require.NoError(t, err)
	s.emptyPool("p")
	s.put(keyturn.Product{ID: "game", Sources: []keyturn.Source{fromPool("p")}})
	_, _, err = s.PutProduct(s.ctx, keyturn.Product{
		ID: "app", Name: "App",
		Sources: []keyturn.Source{fromEndpoint("acme")},
	})
	require.NoError(t, err)
	s.product("gift", byHand)
	s.stock("p", c["pool key"])

	in := orderOf("o1", lineOf("game", 1), lineOf("app", 1), lineOf("gift", 1), lineOf("app", 1))
	in.Order.CartExternalContext = c["context"]
	who := &in.Order.Customer
	who.FirstName, who.LastName, who.CompanyName, who.Street, who.Phone, who.Email = c["first name"], c["last name"],
		c["company"], c["street"], c["phone"], c["e-mail"]
	in.Respond = func(a Accepted) ([]byte, error) { return []byte(a.PageToken + c["e-mail"]), nil }
	a, _, err := s.Accept(s.ctx, in)
	require.NoError(t, err)
	pooled, called, gift, failed := a.Starts[0].FulfillmentID, a.Starts[1].FulfillmentID, a.Starts[2].FulfillmentID,
		a.Starts[3].FulfillmentID

	s.claimed(pooled)
	render := func(CallFacts) ([]byte, error) { return []byte(c["request"] + c["e-mail"]), nil }
	for _, f := range []string{called, failed} {
		call, _, _, err := s.BeginCall(s.ctx, f, callTimeout, render)
		require.NoError(t, err)
		r := answered(call, c["partner's key"])
		if f == failed { // a partner that quotes whom it was asked for
			r = refused(call, keyturn.KindRejected)
			r.PartnerSays = "no customer " + c["e-mail"] + " named " + c["last name"]
		}
		r.Reply, r.Links, r.Files = []byte(c["reply"]), []string{c["link"]}, []File{{Name: "f", Data: []byte(c["file"])}}
		s.finishCall(f, r)
	}
	require.NoError(t, s.StageSupply(s.ctx, gift, "", []string{c["supplied key"]}))
	s.absent() // the key waits for its decision
	s.resolve(gift, keyturn.ActionSupply)
	for _, f := range []string{pooled, called, gift} {
		s.delivered(f)
	}
	_, err = s.Resend(s.ctx, pooled, c["address of a resend"], "ops", renderMail)
	require.NoError(t, err)
	s.resolve(failed, keyturn.ActionRefund)
	s.refunded(failed)
	token, err := s.CreateToken(s.ctx, Client{Name: "shop", Scopes: []string{"orders"}})
	require.NoError(t, err)
	link := linkIn(s.asked(c["e-mail"])[0])
	session, err := s.OpenLibrary(s.ctx, link)
	require.NoError(t, err)
	s.absent(token, s.PageToken("o1"), link, session)

	require.Equal(t, []string{c["pool key"]}, s.keysOf(pooled))
	require.Equal(t, []string{c["partner's key"]}, s.keysOf(called))
	require.Equal(t, []string{c["supplied key"]}, s.keysOf(gift))
}

// absent requires that no row of any table shows a canary, or one of the others.
func (s *shop) absent(others ...string) {
	s.t.Helper()
	words := others
	for _, w := range canaries {
		words = append(words, w)
	}
	for _, table := range reads[string](s, `SELECT tablename FROM pg_tables WHERE schemaname = 'public'`) {
		for _, row := range reads[string](s, `SELECT CAST(t AS text) FROM `+table+` t`) {
			for _, w := range words {
				for _, form := range []string{
					w, hex.EncodeToString([]byte(w)),
					strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(w)), "="),
				} {
					require.NotContains(s.t, strings.ToLower(row), strings.ToLower(form), "table %s", table)
				}
			}
		}
	}
}

// A ciphertext opens only where it was put: whoever can write to the database cannot give one customer another's key.
func TestSwappedCiphertextsDoNotOpen(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.product("other", fromPool("q"))
	s.product("app", fromEndpoint("acme"))
	s.stock("p", "K-1", "K-2")
	s.stock("q", "Q-1")
	one := orderOf("o1", lineOf("game", 1), lineOf("app", 1), lineOf("app", 1))
	two := orderOf("o2", lineOf("game", 1))
	two.Order.Customer.ID = one.Order.Customer.ID // the same customer: even so
	f := map[string][]string{}
	for id, in := range map[string]AcceptInput{"o1": one, "o2": two} {
		a, _, err := s.Accept(s.ctx, in)
		require.NoError(t, err)
		for _, start := range a.Starts {
			f[id] = append(f[id], start.FulfillmentID)
		}
	}
	s.claimed(f["o1"][0])
	s.claimed(f["o2"][0])
	for i, code := range []string{"A", "B"} {
		s.finishCall(f["o1"][1+i], answered(s.beginCall(f["o1"][1+i]), code))
	}
	for _, id := range []string{f["o1"][0], f["o2"][0], f["o1"][1], f["o1"][2]} {
		s.delivered(id)
	}

	opens := func(id string) error { _, err := s.Deliverables(s.ctx, id, "ops"); return err }
	swap := func(table, column, where1, where2 string) func() {
		query := `UPDATE ` + table + ` SET ` + column + ` = (SELECT ` + column + ` FROM ` + table + ` b WHERE b.ctid <> ` +
			table + `.ctid AND (` + where1 + ` OR ` + where2 + `) LIMIT 1)
			WHERE ` + where1 + ` OR ` + where2
		s.exec(query)
		return func() { s.exec(query) }
	}
	line := func(id string) string { return "line_id = '" + s.lineID(id) + "'" }

	back := swap("pool_keys", "content", line(f["o1"][0]), line(f["o2"][0]))
	wantKind(t, opens(f["o1"][0]), keyturn.KindInternal)
	back()
	require.NoError(t, opens(f["o1"][0]))

	back = swap("deliverables", "content", line(f["o1"][1]), line(f["o1"][2]))
	wantKind(t, opens(f["o1"][1]), keyturn.KindInternal)
	back()

	back = swap("orders", "customer", "id = 'o1'", "id = 'o2'")
	_, _, _, err := s.BeginDelivery(s.ctx, s.order("o3", lineOf("game", 1))[0], renderMail)
	require.NoError(t, err, "an order of somebody else is not affected")
	_, err = s.Resend(s.ctx, f["o1"][0], "", "ops", renderMail)
	wantKind(t, err, keyturn.KindInternal)
	back()

	back = swap("idempotency_keys", "response", "order_id = 'o1'", "order_id = 'o2'")
	_, _, err = s.Accept(s.ctx, one)
	wantKind(t, err, keyturn.KindInternal)
	back()

	back = swap("pools", "data_key", "id = 'p'", "id = 'q'")
	require.Error(t, opens(f["o1"][0]))
	back()
	require.NoError(t, opens(f["o1"][0]))
}

func TestWrongKeyFileSaysSo(t *testing.T) {
	s := newShop(t)
	s.product("game", fromPool("p"))
	s.stock("p", "K-1")
	f := s.sell("game")
	s.claimed(f)
	other := *s
	other.keyFile = filepath.Join(t.TempDir(), "other.json")
	require.NoError(t, vault.CreateKeys(other.keyFile))
	wrong := other.open(t, s.dsn)
	defer wrong.Close()
	_, err := wrong.Deliverables(s.ctx, f, "ops")
	wantKind(t, err, keyturn.KindConfiguration)
	require.ErrorContains(t, err, "key file")
	out, next, _, err := wrong.BeginDelivery(s.ctx, f, renderMail)
	require.NoError(t, err, "the line says what is wrong and is tried again")
	require.Nil(t, out)
	require.Equal(t, keyturn.KindConfiguration, next.Failure.Kind)
	require.Contains(t, next.Failure.Message, "key file")
	_, err = wrong.Import(s.ctx, "p", strings.NewReader("K-2"), "ops", false)
	wantKind(t, err, keyturn.KindConfiguration)
}

func TestAnotherKeyFileIsNoticedAtTheStart(t *testing.T) {
	s := newShop(t)
	require.NoError(t, s.CheckKeys(s.ctx), "a new database")
	s.put(keyturn.Product{ID: "editor", Name: "Editor", Sources: []keyturn.Source{{Type: keyturn.SourceManual}}})
	s.sell("editor")
	require.NoError(t, s.CheckKeys(s.ctx))

	file := filepath.Join(t.TempDir(), "other.json")
	require.NoError(t, vault.CreateKeys(file))
	other, err := vault.LoadKeys(file)
	require.NoError(t, err)
	d, err := Open(s.ctx, s.dsn, other)
	require.NoError(t, err)
	defer func() { _ = d.Close() }()
	err = d.CheckKeys(s.ctx)
	require.Equal(t, keyturn.KindConfiguration, keyturn.KindOf(err))
	require.ErrorContains(t, err, "not the one that this database was written with")
}

// On an empty database nothing tells which file is the right one, so the first process to start decides, and all of
// several that start at once agree.
func TestProcessesWithDifferentKeyFilesNeverBothStart(t *testing.T) {
	s := newShop(t)
	var shops []*DB
	for i := range 8 {
		other := *s
		other.keyFile = filepath.Join(t.TempDir(), fmt.Sprint(i, ".json"))
		require.NoError(t, vault.CreateKeys(other.keyFile))
		d := other.open(t, s.dsn)
		defer d.Close()
		require.NoError(t, d.CheckKeyFile(s.ctx), "no process started yet")
		shops = append(shops, d)
	}
	started := -1
	for i, err := range atOnce(len(shops), func(i int) error { return shops[i].CheckKeys(s.ctx) }) {
		if err == nil {
			require.Equal(t, -1, started, "two processes started with different key files")
			started = i
			continue
		}
		wantKind(t, err, keyturn.KindConfiguration)
		require.ErrorContains(t, err, "not the one that this database was written with")
	}
	require.NotEqual(t, -1, started)
	for i, d := range shops {
		require.Equal(t, i == started, d.CheckKeys(s.ctx) == nil)
		require.Equal(t, i == started, d.CheckKeyFile(s.ctx) == nil)
	}
	used, err := HoldsSecrets(s.ctx, s.dsn)
	require.NoError(t, err)
	require.True(t, used, "no other key file is made for it")
}

func TestRotatedKeyFileIsTheSame(t *testing.T) {
	s := newShop(t)
	require.NoError(t, s.CheckKeys(s.ctx))
	require.NoError(t, vault.RotateKeys(s.keyFile))
	_, err := vault.DropOldKeys(s.keyFile)
	require.NoError(t, err)
	again := s.open(t, s.dsn)
	defer again.Close()
	require.NoError(t, again.CheckKeys(s.ctx))
}

// After a rotation nothing is wrapped by the old key, whatever it is: what still is would be lost when that key is
// retired.
func TestARotationReachesWhateverIsWrapped(t *testing.T) {
	s := newShop(t)
	s.product("game", keyturn.Source{Type: keyturn.SourcePool, Pool: "keys"})
	s.stock("keys", "K-1")
	s.sell("game")
	_, _, err := s.PutWebhook(s.ctx, keyturn.Webhook{
		ID: "shop", URL: "https://shop.test/hook", Events: []string{"*"},
		Secret: &keyturn.SecretRef{Value: "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32))},
	}.WithDefaults())
	require.NoError(t, err)
	require.NoError(t, vault.RotateKeys(s.keyFile))
	again := s.open(t, s.dsn)
	defer again.Close()
	_, err = again.RewrapAll(s.ctx, func(int) {})
	require.NoError(t, err)
	_, err = again.RetireKeys(s.ctx, s.keyFile)
	require.NoError(t, err)
	last := s.open(t, s.dsn)
	defer last.Close()
	require.NoError(t, last.CheckKeys(s.ctx))
	_, _, err = last.webhookSecrets(s.ctx, last.pg, "shop")
	require.NoError(t, err)
}

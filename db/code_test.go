package db

import (
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/testkit"
)

// causes are the open alerts of a line.
func (s *shop) causes(f string) []string {
	s.t.Helper()
	return reads[string](s, `SELECT cause FROM alerts WHERE line_id = $1 AND closed_at IS NULL ORDER BY cause`,
		s.lineID(f))
}

// sellTo accepts an order of a customer and gives its line's fulfillment.
func (s *shop) sellTo(customer, product string, quantity int) string {
	s.t.Helper()
	in := orderOf(uuid.NewString(), lineOf(product, quantity))
	in.Order.Customer.ID = customer
	a, _, err := s.Accept(s.ctx, in)
	require.NoError(s.t, err)
	return a.Starts[0].FulfillmentID
}

// given has the partner answer a line with codes.
func (s *shop) given(f string, codes ...string) keyturn.Next {
	s.t.Helper()
	next, err := s.FinishCall(s.ctx, f, answered(s.beginCall(f), codes...), renderMail)
	require.NoError(s.t, err)
	return next
}

// requireRefused requires that a line waits for a person because its partner gave another's code.
func (s *shop) requireRefused(f string, next keyturn.Next, why string) {
	s.t.Helper()
	require.Equal(s.t, keyturn.DoAwait, next.Do)
	require.Equal(s.t, keyturn.LineHeld, next.Status)
	require.Equal(s.t, keyturn.KindDuplicateKey, next.Failure.Kind)
	require.Empty(s.t, s.keysOf(f))
	require.Equal(s.t, []string{"DuplicateKey"}, s.causes(f))
	require.Equal(s.t, keyturn.OrderPartialCompleted, s.orderStatus(f))
	detail := read[string](s, `SELECT detail FROM alerts WHERE line_id = $1`, s.lineID(f))
	require.Contains(s.t, detail, "volumeCodes")
	require.Contains(s.t, detail, why)
}

// Only a call that brings a code waits for an import that looks at codes.
func TestCallsWithoutACodeWaitForNoImport(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	bare, failed := s.sell("app"), s.sell("app")
	one, two := s.beginCall(bare), s.beginCall(failed)
	require.NoError(t, s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(s.ctx, `SELECT pg_advisory_xact_lock(hashtextextended('codes', 0))`)
		require.NoError(t, err)
		s.finishCall(bare, answered(one))
		s.finishCall(failed, refused(two, keyturn.KindUnavailable))
		return nil
	}))
	require.Equal(t, keyturn.LineObtained, s.status(bare))
}

func TestACodeOfAnotherLineIsRefused(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	first := s.order("first", lineOf("app", 1))[0]
	s.given(first, "K-1")
	f := s.sell("app")
	s.requireRefused(f, s.given(f, "K-1"), "a line of order first has it")
	require.Equal(t, []string{"unknown"}, s.outcomes(f))
	require.NotContains(t, read[string](s, `SELECT message FROM attempts WHERE line_id = $1`, s.lineID(f)), "K-1")

	// The partner gives it once more, and there is no other alert; then it gives another one.
	alerts := `SELECT count(*) FROM alerts WHERE line_id = $1`
	s.resolve(f, keyturn.ActionRetry)
	s.requireRefused(f, s.given(f, "K-1"), "first")
	require.Equal(t, 1, read[int](s, alerts, s.lineID(f)))
	s.resolve(f, keyturn.ActionRetry)
	require.Equal(t, keyturn.DoDeliver, s.given(f, "K-2").Do)
	s.delivered(f)
	require.Empty(t, s.causes(f))
	s.delivered(first)
}

func TestALineWithARefusedCodeIsSuppliedOrRefunded(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	s.given(s.sell("app"), "K-1")
	byPerson, back := s.sell("app"), s.sell("app")
	for _, f := range []string{byPerson, back} {
		s.given(f, "K-1")
	}
	err := s.StageSupply(s.ctx, byPerson, "d-1", []string{"K-1"})
	wantKind(t, err, keyturn.KindInvalid, "keys[0]")
	require.ErrorContains(t, err, "has it")
	require.NoError(t, s.StageSupply(s.ctx, byPerson, "d-1", []string{"MINE"}))
	_, err = s.Resolve(s.ctx, byPerson, keyturn.Resolution{ID: "d-1", Action: keyturn.ActionSupply, By: "ops"})
	require.NoError(t, err)
	s.delivered(byPerson)
	require.Equal(t, []string{"MINE"}, s.keysOf(byPerson))

	s.resolve(back, keyturn.ActionRefund)
	s.refunded(back)
	require.NotContains(t, s.causes(back), "DuplicateKey")
}

// Nobody decides: at its deadline the partner is asked once more, and then the customer gets the money.
func TestALineWithARefusedCodeEnds(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	s.given(s.sell("app"), "K-1")
	f := s.sell("app")
	s.given(f, "K-1")
	s.later(80 * time.Hour)
	next, err := s.Review(s.ctx, f)
	require.NoError(t, err)
	require.Equal(t, keyturn.DoCall, next.Do)
	require.Equal(t, keyturn.DoRefund, s.given(f, "K-1").Do)
	s.refunded(f)
}

// A code of a pool is not a partner's to give, nor a person's, whether it is for sale or sold.
func TestACodeThatAPoolSellsIsRefused(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	s.product("game", fromPool("games"))
	s.stock("games", "SOLD", "FOR-SALE", "ASIDE")
	s.claimed(s.sell("game"))
	require.NoError(t, s.Stock().QuarantineKey(s.ctx, "games", "ASIDE", "it leaked", "ops"))
	for _, code := range []string{"SOLD", "FOR-SALE"} {
		f := s.sell("app")
		s.requireRefused(f, s.given(f, code), "a pool sells it")
		wantKind(t, s.StageSupply(s.ctx, f, "", []string{code}), keyturn.KindInvalid, "keys[0]")
	}
	require.Equal(t, keyturn.DoDeliver, s.given(s.sell("app"), "ASIDE").Do, "no pool sells it any more")

	// And a code that a line has is not for a pool to sell.
	s.given(s.sell("app"), "GIVEN")
	out, err := s.Import(s.ctx, "games", strings.NewReader("GIVEN\nASIDE\nNEW"), "ops", false)
	require.NoError(t, err)
	require.Equal(t, 1, out.Accepted)
	require.Equal(t, 2, out.Counts[keyturn.RowAlreadySold])
}

// Codes that nobody else has, and links, files and acknowledgements, are nobody's in particular.
func TestWhatMayBeTheSame(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	s.product("addon", fromEndpoint("acme"))
	shared := func(f string) string {
		return read[string](s, `SELECT coalesce(shared, '') FROM deliverables WHERE line_id = $1 AND unit_no = 0`,
			s.lineID(f))
	}
	first := s.sellTo("ada", "app", 1)
	s.given(first, "K-1")
	s.delivered(first)
	require.Empty(t, shared(first))

	again := s.sellTo("ada", "app", 1)
	require.Equal(t, keyturn.DoDeliver, s.given(again, "K-1").Do, "the same customer's, of the same product")
	require.Equal(t, "again", shared(again))
	other := s.sellTo("ada", "addon", 1)
	s.requireRefused(other, s.given(other, "K-1"), "has it")
	stranger := s.sellTo("bob", "app", 1)
	s.requireRefused(stranger, s.given(stranger, "K-1"), "has it")

	for range 2 { // a link is the same for all
		f := s.sell("app")
		r := answered(s.beginCall(f))
		r.Links = []string{"https://partner.test/download"}
		require.Equal(t, keyturn.DoDeliver, s.finishCall(f, r).Do)
	}
	for range 2 {
		f := s.sell("app")
		require.Equal(t, keyturn.DoDeliver, s.finishCall(f, answered(s.beginCall(f))).Do)
	}
}

// A renewal brings back a code that its licence had before: it is the licence's own.
func TestALicenceHasItsOwnCodesAgain(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.sell("app")
	s.given(f, "K-1")
	s.delivered(f)
	for _, code := range []string{"K-2", "K-1"} {
		renewal := s.operates(keyturn.OpRenew, f)
		require.Equal(t, keyturn.DoDeliver, s.given(renewal, code).Do, code)
		s.delivered(renewal)
	}
	stranger := s.sell("app")
	s.requireRefused(stranger, s.given(stranger, "K-2"), "has it")
}

// Once the partner has acknowledged the cancel, the code is its own again.
func TestACodeThatWasGivenBackMayComeAgain(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	first, second := s.sell("app"), s.sell("app")
	s.given(first, "K-1")
	s.resolve(first, keyturn.ActionRefund)
	s.refunded(first)
	s.requireRefused(second, s.given(second, "K-1"), "has it")
	s.later(callTime)
	s.revoked(first, "endpoint/acme")
	s.resolve(second, keyturn.ActionRetry)
	require.Equal(t, keyturn.DoDeliver, s.given(second, "K-1").Do)
	third := s.sell("app")
	s.requireRefused(third, s.given(third, "K-1"), "has it")
}

func TestVolumeCodesAreForSeveral(t *testing.T) {
	s := newShop(t)
	s.put(keyturn.Product{ID: "app", Sources: []keyturn.Source{fromEndpoint("acme")}})
	s.product("game", fromPool("games"), byHand)
	s.stock("games", "OF-A-POOL")
	s.given(s.sell("app"), "SITE")
	waits := s.sell("app")
	s.requireRefused(waits, s.given(waits, "SITE"), "has it")
	s.put(keyturn.Product{ID: "app", VolumeCodes: true, Sources: []keyturn.Source{fromEndpoint("acme")}})
	s.resolve(waits, keyturn.ActionRetry)
	require.Equal(t, keyturn.DoDeliver, s.given(waits, "SITE").Do)
	three := s.order(uuid.NewString(), lineOf("app", 3))[0]
	for range 3 {
		s.given(three, "SITE")
	}
	require.Equal(t, []string{"SITE", "SITE", "SITE"}, s.keysOf(three))
	hand := s.order(uuid.NewString(), lineOf("app", 2))[0]
	require.NoError(t, s.StageSupply(s.ctx, hand, "", []string{"SITE", "SITE"}))
	s.resolve(hand, keyturn.ActionSupply)
	require.Equal(t, []string{"SITE", "SITE"}, s.keysOf(hand))

	f := s.sell("app")
	s.requireRefused(f, s.given(f, "OF-A-POOL"), "a pool sells it")
	s.product("other", fromEndpoint("acme"))
	f = s.sell("other")
	s.requireRefused(f, s.given(f, "SITE"), "has it")
}

// Many partners answer at the same moment with the same code: one line has it, whichever form of the step it was.
func TestOneOfManyLinesGetsACode(t *testing.T) {
	s := newShop(t)
	for i := range 4 {
		s.product("app-"+itoa(i), fromEndpoint("acme-"+itoa(i)))
	}
	for round := range 5 {
		code := "K-" + itoa(round)
		var lines []string
		var calls []*Call
		for i := range 8 {
			f := s.sell("app-" + itoa(i%4))
			lines, calls = append(lines, f), append(calls, s.beginCall(f))
			if i%2 == 1 { // an edited line takes the general form
				calls[i].line = nil
			}
		}
		for _, err := range atOnce(8, func(i int) error {
			_, err := s.FinishCall(s.ctx, lines[i], answered(calls[i], code), renderMail)
			return err
		}) {
			require.NoError(t, err)
		}
		have, held := 0, 0
		for _, f := range lines {
			have += len(s.keysOf(f))
			if s.status(f) == keyturn.LineHeld {
				held++
				require.Equal(t, []string{"DuplicateKey"}, s.causes(f))
			}
		}
		require.Equal(t, 1, have)
		require.Equal(t, 7, held)
	}
}

// An import that is under way does not see a code that comes meanwhile, and is not seen by it: it looks once more
// before it ends. Codes do not wait for it until then.
func TestACodeComesWhileItIsImported(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	s.product("game", fromPool("games"))
	done := make(chan error, 1)
	require.NoError(t, s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
		// the import waits for this lock when it has stored its keys
		if _, err := tx.ExecContext(s.ctx, `SELECT FROM pools WHERE id = 'games' FOR NO KEY UPDATE`); err != nil {
			return err
		}
		go func() {
			_, err := s.Import(s.ctx, "games", strings.NewReader("K-1\nK-2"), "ops", false)
			done <- err
		}()
		s.waitFor(func() bool {
			return read[int](s, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
				AND wait_event_type = 'Lock' AND query LIKE '%FROM pools%FOR SHARE'`) > 0
		})
		require.Equal(t, keyturn.DoDeliver, s.given(s.sell("app"), "K-2").Do)
		return nil
	}))
	err := <-done
	wantKind(t, err, keyturn.KindUnavailable)
	require.ErrorContains(t, err, "nothing was stored")
	require.Zero(t, read[int](s, `SELECT count(*) FROM pool_keys`))
	out, err := s.Import(s.ctx, "games", strings.NewReader("K-1\nK-2"), "ops", false)
	require.NoError(t, err)
	require.Equal(t, 1, out.Accepted)
	require.Equal(t, 1, out.Counts[keyturn.RowAlreadySold])
}

// A code that comes while an import ends waits for it, and sees its keys then.
func TestACodeWaitsForAnImportThatEnds(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	s.product("game", fromPool("games"))
	f := s.sell("app")
	call := s.beginCall(f)
	answer := make(chan keyturn.Next, 1)
	require.NoError(t, s.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(s.ctx, `SELECT pg_advisory_xact_lock(hashtextextended('codes', 0))`); err != nil {
			return err
		}
		if _, err := tx.ExecContext(s.ctx, `
			WITH b AS (INSERT INTO batches (id, pool_id, accepted, rejected, created_by) VALUES ($1, 'games', 1, 0, 'test'))
			INSERT INTO pool_keys (pool_id, batch_id, fingerprint, content) VALUES ('games', $1, $2, '')`,
			newID(), s.Fingerprint("K-1")); err != nil {
			return err
		}
		if _, err := tx.ExecContext(s.ctx,
			`INSERT INTO pool_stock (pool_id, slot, available) VALUES ('games', $1, 1)`, 0); err != nil {
			return err
		}
		go func() {
			next, _ := s.FinishCall(s.ctx, f, answered(call, "K-1"), renderMail)
			answer <- next
		}()
		s.waitFor(func() bool {
			return read[int](s, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`) > 0
		})
		return nil
	}))
	s.requireRefused(f, <-answer, "a pool sells it")
}

// Of several people who supply a line at the same time, one is taken at their word; nothing of the others is used or
// kept.
func TestSeveralPeopleSupplyALine(t *testing.T) {
	s := newShop(t)
	s.product("gift", byHand)
	for range 5 {
		f := s.order(uuid.NewString(), lineOf("gift", 2))[0]
		errs := atOnce(6, func(i int) error {
			id := "by-" + itoa(i)
			if err := s.StageSupply(s.ctx, f, id, []string{f + id + "-1", f + id + "-2"}); err != nil {
				return err
			}
			_, err := s.Resolve(s.ctx, f, keyturn.Resolution{ID: id, Action: keyturn.ActionSupply, By: id})
			if err != nil {
				require.NoError(t, s.DropSupply(s.ctx, f, id))
			}
			return err
		})
		won := -1
		for i, err := range errs {
			if err == nil {
				require.Equal(t, -1, won, "two were taken at their word")
				won = i
			} else {
				wantKind(t, err, keyturn.KindConflict)
			}
		}
		id := "by-" + itoa(won)
		require.Equal(t, []string{f + id + "-1", f + id + "-2"}, s.keysOf(f))
		require.Zero(t, read[int](s, `SELECT count(*) FROM supplies`))
	}
}

// A key that was free when a person stored it may be another's when it is used.
func TestASuppliedKeyIsLookedAtAgain(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	s.product("gift", byHand)
	f := s.sell("gift")
	require.NoError(t, s.StageSupply(s.ctx, f, "d-1", []string{"K-1"}))
	s.given(s.sell("app"), "K-1")
	_, err := s.Resolve(s.ctx, f, keyturn.Resolution{ID: "d-1", Action: keyturn.ActionSupply})
	wantKind(t, err, keyturn.KindConflict)
	require.Empty(t, s.keysOf(f))
	s.resolve(f, keyturn.ActionRefund)
	require.Zero(t, read[int](s, `SELECT count(*) FROM supplies`))
	s.refunded(f)
}

// With a key, a link or a file per unit, each unit has its own.
func TestLinksAndFilesPerUnit(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.order("three", lineOf("app", 3))[0]
	var licenses []string
	for i := range 3 {
		call := s.beginCall(f)
		require.Equal(t, i, call.UnitNo)
		licenses = append(licenses, call.LicenseID)
		r := answered(call)
		r.Links = []string{"https://partner.test/" + itoa(i)}
		r.Files = []File{{Name: "customer.lic", ContentType: "application/octet-stream", Data: []byte{byte(i)}}}
		next := s.finishCall(f, r)
		require.Equal(t, i == 2, next.Do == keyturn.DoDeliver)
	}
	require.Len(t, licenses, 3)
	out, err := s.Deliverables(s.ctx, f, "ops")
	require.NoError(t, err)
	require.Equal(t, []string{"https://partner.test/0", "https://partner.test/1", "https://partner.test/2"}, out.Links)
	names := []string{}
	for i, file := range out.Files {
		names = append(names, file.Name)
		require.Equal(t, []byte{byte(i)}, file.Data)
	}
	require.Equal(t, []string{"customer.lic", "customer-2.lic", "customer-3.lic"}, names)
	s.delivered(f)

	s.put(keyturn.Product{ID: "suite", QuantityMode: keyturn.OneCall, Sources: []keyturn.Source{fromEndpoint("acme")}})
	f = s.order("two", lineOf("suite", 2))[0]
	r := answered(s.beginCall(f))
	r.Links = []string{"https://partner.test/a", "https://partner.test/b"}
	next, err := s.FinishCall(s.ctx, f, r, renderMail)
	require.NoError(t, err)
	require.Equal(t, keyturn.DoDeliver, next.Do)
	out, err = s.Deliverables(s.ctx, f, "ops")
	require.NoError(t, err)
	require.Equal(t, r.Links, out.Links)
}

// What a partner says of a failure may quote a key that the line has.
func TestKeysInAPartnersWordsAreNotKept(t *testing.T) {
	s := newShop(t)
	s.product("app", fromEndpoint("acme"))
	f := s.order("two", lineOf("app", 2))[0]
	s.finishCall(f, answered(s.beginCall(f), "AAAA-1111"))
	r := refused(s.beginCall(f), keyturn.KindRejected)
	r.PartnerSays, r.Failed.Failure.Code = "AAAA-1111 is this order's already", "AAAA-1111"
	next := s.finishCall(f, r)
	require.Empty(t, next.Failure.Code)
	require.Equal(t, []string{"[redacted] is this order's already"},
		reads[string](s, `SELECT message FROM attempts WHERE line_id = $1 AND no = 2`, s.lineID(f)))
	s.absent("AAAA-1111")
}

// An installation whose lines share codes already can be migrated. They keep them, and nobody else gets them.
func TestCodesThatLinesShareFromBefore(t *testing.T) {
	t.Parallel()
	dsn := testkit.Postgres(t, "", nil)
	x := connectSQL(t, dsn)
	upTo := func(last string) {
		t.Helper()
		files, err := fs.Glob(migrations, "migrations/*.sql")
		require.NoError(t, err)
		for _, file := range files {
			if file >= last {
				break
			}
			text, err := fs.ReadFile(migrations, file)
			require.NoError(t, err)
			up, _, _ := strings.Cut(string(text), "-- +goose Down")
			_, err = x.ExecContext(t.Context(), up)
			require.NoError(t, err, file)
		}
	}
	upTo(ruleFile(t))
	_, err := x.ExecContext(t.Context(), `
		INSERT INTO customers (id) VALUES ('c');
		INSERT INTO orders (id, client, customer_id, customer, currency, gross_minor, payment_provider, payment_reference,
			page_hash, lines_total, created_at) VALUES ('o', 'shop', 'c', '', 'EUR', 100, 'sandbox', 'p', '', 3, now());
		INSERT INTO line_items (id, fulfillment_id, order_id, position, product_id, quantity, gross_minor, operation,
			source_started_at, give_up_at, created_at)
		SELECT id, id, 'o', n, 'app', 1, 1, 'create', now(), now(), now() FROM (
			SELECT n, CAST('00000000-0000-0000-0000-00000000000' || n AS uuid) AS id FROM generate_series(1, 4) AS n) l;
		INSERT INTO deliverables (line_id, unit_no, kind, content, fingerprint, source, created_at)
		SELECT id, 0, 'code', '', 'K', 'endpoint/acme', now() + position * interval '1 s' FROM line_items;
		INSERT INTO revocations (line_id, source, status, not_before) SELECT id, 'endpoint/acme', 'DONE', now()
			FROM line_items WHERE position = 1`)
	require.NoError(t, err)
	text, err := fs.ReadFile(migrations, ruleFile(t))
	require.NoError(t, err)
	up, _, _ := strings.Cut(string(text), "-- +goose Down")
	_, err = x.ExecContext(t.Context(), up)
	require.NoError(t, err)
	var shared []string
	require.NoError(t, x.SelectContext(t.Context(), &shared,
		`SELECT coalesce(shared, '') FROM deliverables ORDER BY line_id`))
	require.Equal(t, []string{"returned", "", "found", "found"}, shared)
}

// ruleFile is the migration that brings the rule.
func ruleFile(t *testing.T) string {
	t.Helper()
	files, err := fs.Glob(migrations, "migrations/*_whose_a_code_is.sql")
	require.NoError(t, err)
	require.Len(t, files, 1)
	return files[0]
}

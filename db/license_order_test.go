package db

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestOperationsWaitForTheOnesBefore(t *testing.T) {
	s := newShop(t)
	s.product("cad", fromEndpoint("acme"))
	id := s.sell("cad")
	var ops []string
	for _, op := range []keyturn.OperationName{keyturn.OpPause, keyturn.OpResume, keyturn.OpRenew} {
		ops = append(ops, s.operates(op, id))
	}
	for i, op := range ops {
		call, next, _, err := s.BeginCall(s.ctx, op, callTimeout, renderCall)
		require.NoError(t, err)
		require.Nil(t, call, "it is not its turn")
		require.Equal(t, []any{keyturn.DoQueue, keyturn.LinePending, "endpoint/acme"},
			[]any{next.Do, next.Status, next.Source})
		require.Equal(t, next.Left, next.Wait, "it waits until it is woken, or its own deadline")
		require.Equal(t, i+1, read[int](s, `SELECT operation_no FROM line_items WHERE fulfillment_id = $1`, op))
	}
	require.NoError(t, s.AdvanceLicense(s.ctx, id), "a relay may look at any time")
	require.Empty(t, s.relayed(), "nobody is woken while the create is under way")

	s.carriedOut(id, nil, "K-1")
	for i, op := range ops {
		require.Equal(t, []string{op}, s.relayed(), "the end of the one before wakes the next, and it alone")
		require.Empty(t, s.relayed())
		call := s.carriedOut(op, nil)
		require.Equal(t, []keyturn.OperationName{keyturn.OpPause, keyturn.OpResume, keyturn.OpRenew}[i], call.Operation)
	}
	require.Equal(t, []string{"Running>pause>Paused", "Paused>resume>Running", "Running>renew>Running"},
		reads[string](s, `SELECT from_status || '>' || operation || '>' || to_status FROM license_steps ORDER BY no`))
}

// A crash of the relay, or of the process that ends an operation, loses no wake-up: it is in the database until the
// next one has begun.
func TestWakeOfTheNextOperationSurvivesACrash(t *testing.T) {
	s := newShop(t)
	s.product("cad", fromEndpoint("acme"))
	id := s.sell("cad")
	pause := s.operates(keyturn.OpPause, id)
	s.carriedOut(id, nil, "K-1")
	_, err := s.TakeDue(s.ctx, 10) // and dies before it does anything
	require.NoError(t, err)
	s.later(relayLease + time.Second)
	due, err := s.TakeDue(s.ctx, 10)
	require.NoError(t, err)
	var subjects []string
	for _, d := range due {
		if d.Workflow == WorkflowLicense {
			subjects = append(subjects, d.Subject)
		}
	}
	require.Equal(t, []string{id}, subjects)
	require.NoError(t, s.AdvanceLicense(s.ctx, id)) // and dies before it says so
	require.NoError(t, s.AdvanceLicense(s.ctx, id))
	s.later(relayLease + time.Second)
	require.Contains(t, s.relayed(), pause)
	s.carriedOut(pause, nil)
}

func TestOperationsThatComeTogetherApplyInOneOrder(t *testing.T) {
	s := newShop(t)
	s.product("cad", fromEndpoint("acme"))
	id := s.sell("cad")
	s.carriedOut(id, nil, "K-1")
	var wg sync.WaitGroup
	var mu sync.Mutex
	accepted := 0
	for i := range 12 {
		in := s.operation(keyturn.OpRenew, id, func(l *keyturn.LineItem) {
			l.ExpiresAt = ptr(time.Date(2040+i, 1, 1, 0, 0, 0, 0, time.UTC))
		})
		wg.Go(func() {
			_, _, err := s.Accept(s.ctx, in)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				accepted++
			} else {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 12, accepted)
	require.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
		reads[int](s, `SELECT operation_no FROM line_items WHERE license_id = $1 ORDER BY operation_no`, id))
	require.Equal(t, 1, read[int](s, `SELECT count(*) FROM line_items WHERE license_id = $1 AND NOT blocked`, id))
	s.relayed()
	for no := 1; no <= 12; no++ {
		s.carriedOut(read[string](s, `SELECT fulfillment_id FROM line_items WHERE license_id = $1 AND operation_no = $2`, id,
			no), nil)
		s.relayed()
	}
	require.Len(t, s.license(id).Operations, 12)
	last := read[time.Time](s, `SELECT expires_at FROM line_items WHERE license_id = $1 AND operation_no = 12`, id)
	require.WithinDuration(t, last, *s.license(id).ExpiresAt, 0)
}

func TestCancelWinsOverACreateThatIsRetried(t *testing.T) {
	s := newShop(t)
	s.product("cad", fromEndpoint("acme"))
	id := s.sell("cad")
	s.finishCall(id, refused(s.beginCall(id), keyturn.KindUnavailable))
	pause := s.operates(keyturn.OpPause, id)
	cancel := s.operates(keyturn.OpCancel, id)
	_, _, err := s.Accept(s.ctx, s.operation(keyturn.OpRenew, id))
	wantKind(t, err, keyturn.KindInvalid, "lineItems[0].operation")
	_, _, err = s.Accept(s.ctx, s.operation(keyturn.OpCancel, id))
	wantKind(t, err, keyturn.KindInvalid, "lineItems[0].operation")

	require.ElementsMatch(t, []string{id, pause}, s.relayed(), "what is under way is woken to be given up")
	for _, f := range []string{id, pause} {
		next, err := s.Review(s.ctx, f)
		require.NoError(t, err)
		require.Equal(t, []any{keyturn.LineCanceling, keyturn.DoRefund}, []any{next.Status, next.Do})
	}
	require.Equal(t, []string{"OWED"}, reads[string](s, `SELECT status FROM revocations`),
		"the partner is told to cancel: the create may have reached it")
	require.Equal(t, []string{cancel}, s.relayed())
	s.applied(cancel)
	s.refunded(id)
	s.refunded(pause)
	require.Equal(t, keyturn.LineDelivered, s.status(cancel))
	_, err = s.License(s.ctx, id, false, "test")
	wantKind(t, err, keyturn.KindNotFound)
	require.Empty(t, reads[string](s, `SELECT status FROM revocations WHERE line_id <> $1`, s.lineID(id)))
}

// The create's answer comes while its cancel is on the way: there is one outcome, and the partner is told.
func TestCancelAndTheAnswerOfTheCreateMeet(t *testing.T) {
	s := newShop(t)
	s.product("cad", fromEndpoint("acme"))
	id := s.sell("cad")
	call := s.beginCall(id)
	cancel := s.operates(keyturn.OpCancel, id)
	next := s.finishCall(id, answered(call, "K-1"))
	require.Equal(t, keyturn.LineCanceling, next.Status)
	require.Contains(t, s.relayed(), cancel)
	s.applied(cancel)
	s.refunded(id)
	require.Equal(t, []string{"OWED"}, reads[string](s, `SELECT status FROM revocations`))

	late := s.sell("cad") // here the e-mail is on its way already
	_, err := s.FinishCall(s.ctx, late, answered(s.beginCall(late), "K-2"), renderMail)
	require.NoError(t, err)
	d := s.beginDelivery(late)
	cancel = s.operates(keyturn.OpCancel, late)
	_, err = s.Review(s.ctx, late)
	wantKind(t, err, keyturn.KindConflict)
	_, err = s.FinishDelivery(s.ctx, late, d, nil, false)
	require.NoError(t, err)
	require.Contains(t, s.relayed(), late, "it is taken back")
	next, err = s.Review(s.ctx, late)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineCanceling, next.Status)
	s.refunded(late)
	call, next, _, err = s.BeginCall(s.ctx, cancel, callTimeout, renderCall)
	require.NoError(t, err)
	require.Nil(t, call, "the partner is told by whoever took the licence back")
	require.Equal(t, keyturn.DoApply, next.Do)
	s.applied(cancel)
	require.Equal(t, keyturn.LicenseCanceled, s.license(late).Status)
}

func TestOperationThatFailsLeavesTheLicenceAsItWas(t *testing.T) {
	s := newShop(t)
	s.product("cad", fromEndpoint("acme"))
	s.product("suite", fromEndpoint("acme"), byHand)
	end := time.Date(2037, 6, 15, 0, 0, 0, 0, time.UTC)
	in := orderOf("O-1", lineOf("cad", 1))
	in.Order.LineItems[0].ExpiresAt = &end
	a, _, err := s.Accept(s.ctx, in)
	require.NoError(t, err)
	id := a.Starts[0].FulfillmentID
	create := s.carriedOut(id, nil, "K-1")
	require.WithinDuration(t, end, *create.Line.ExpiresAt, 0)
	for _, op := range []struct {
		name   keyturn.OperationName
		change func(*keyturn.LineItem)
		kind   keyturn.Kind
		alerts int
	}{
		{keyturn.OpRenew, func(*keyturn.LineItem) {}, keyturn.KindUnavailable, 1},
		{keyturn.OpRenew, func(*keyturn.LineItem) {}, keyturn.KindRejected, 0},
		{keyturn.OpUpgrade, to("suite"), keyturn.KindUnavailable, 1},
		{keyturn.OpPause, func(*keyturn.LineItem) {}, keyturn.KindUnavailable, 1},
	} {
		f := s.operates(op.name, id, op.change)
		r := refused(s.beginCall(f), op.kind)
		s.finishCall(f, r)
		s.resolve(f, keyturn.ActionRefund)
		s.refunded(f)
		require.Equal(t, op.alerts, read[int](s,
			`SELECT count(*) FROM alerts WHERE line_id = $1 AND cause = 'Revocation' AND closed_at IS NULL`, s.lineID(f)),
			"operations look where a partner may have done it: %s %s", op.name, op.kind)
	}
	require.Empty(t, reads[string](s, `SELECT source FROM revocations`), "no cancel is sent: it would end the licence")
	v := s.license(id)
	require.Equal(t, []any{keyturn.LicenseRunning, "cad", []string{"K-1"}, end},
		[]any{v.Status, v.ProductID, v.ActivationCodes, *v.ExpiresAt})
}

// A resume makes sense only after its pause: if that one fails, the resume is given up too.
func TestOperationThatMakesNoSenseAnyMoreIsGivenUp(t *testing.T) {
	s := newShop(t)
	s.product("cad", fromEndpoint("acme"))
	id := s.sell("cad")
	s.carriedOut(id, nil, "K-1")
	pause, resume := s.operates(keyturn.OpPause, id), s.operates(keyturn.OpResume, id)
	s.resolve(pause, keyturn.ActionRefund)
	require.Contains(t, s.relayed(), resume)
	call, next, _, err := s.BeginCall(s.ctx, resume, callTimeout, renderCall)
	require.NoError(t, err)
	require.Nil(t, call)
	require.Equal(t, keyturn.LineCanceling, next.Status)
	require.Equal(t, keyturn.KindConflict, next.Failure.Kind)
	s.refunded(pause)
	s.refunded(resume)
	require.Equal(t, keyturn.LicenseRunning, s.license(id).Status)
}

func TestOperationThatWaitsTooLongIsRefunded(t *testing.T) {
	s := newShop(t)
	s.product("cad", fromEndpoint("acme"))
	id := s.sell("cad")
	s.resolve(id, keyturn.ActionHold)
	_, err := s.Resolve(s.ctx, id, keyturn.Resolution{
		Action: keyturn.ActionExtend,
		Until:  ptr(time.Now().Add(200 * time.Hour)), By: "ops",
	})
	require.NoError(t, err)
	renew := s.operates(keyturn.OpRenew, id)
	s.later(keyturn.DefaultGiveUp + time.Minute)
	next, err := s.Review(s.ctx, renew)
	require.NoError(t, err)
	require.Equal(t, keyturn.LineCanceling, next.Status)
	s.refunded(renew)
	s.resolve(id, keyturn.ActionRefund)
	s.refunded(id)
}

func TestRenewalThatIsTakenBack(t *testing.T) {
	s := newShop(t)
	s.product("cad", fromEndpoint("acme"))
	s.product("suite", fromPool("p"))
	s.stock("p", "P-1")
	first, second := time.Date(2037, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2038, 1, 1, 0, 0, 0, 0, time.UTC)
	id := s.sell("cad")
	s.carriedOut(id, map[string][]string{nameExpiry: {"2037-01-01"}}, "K-1")
	withdraw := func(f string) {
		t.Helper()
		order := read[string](s, `SELECT order_id FROM line_items WHERE fulfillment_id = $1`, f)
		require.NoError(t, s.CancelOrder(s.ctx, order, "withdrawal"))
		_, err := s.Review(s.ctx, f)
		require.NoError(t, err)
		s.refunded(f)
	}

	renew := s.operates(keyturn.OpRenew, id)
	s.carriedOut(renew, map[string][]string{nameExpiry: {"2038-01-01"}}, "K-2")
	require.Equal(t, []any{[]string{"K-2"}, second}, []any{s.license(id).ActivationCodes, *s.license(id).ExpiresAt})
	withdraw(renew)
	v := s.license(id)
	require.Equal(t, []any{keyturn.LicenseRunning, []string{"K-1"}, first},
		[]any{v.Status, v.ActivationCodes, *v.ExpiresAt}, "it is as it was before")
	require.NotNil(t, v.Operations[0].WithdrawnAt)
	require.Equal(t, []string{"Revocation"}, reads[string](s, `SELECT cause FROM alerts WHERE closed_at IS NULL`),
		"its partner has no operation for that")
	require.Empty(t, reads[string](s, `SELECT source FROM revocations`), "cancel would end the licence")

	up := s.operates(keyturn.OpUpgrade, id, to("suite"))
	s.claimed(up)
	s.delivered(up)
	require.Equal(t, []any{"suite", []string{"P-1"}}, []any{s.license(id).ProductID, s.license(id).ActivationCodes})
	require.Equal(t, []string{"endpoint/acme"}, reads[string](s, `SELECT source FROM revocations WHERE line_id = $1`,
		s.lineID(id)), "who issued it before is told to cancel")
	withdraw(up)
	v = s.license(id)
	require.Equal(t, []any{"cad", []string{"K-1"}}, []any{v.ProductID, v.ActivationCodes})
	require.Equal(t, "quarantined", read[string](s, `SELECT state FROM pool_keys`))

	earlier := s.operates(keyturn.OpRenew, id, until(second))
	s.carriedOut(earlier, nil)
	s.carriedOut(s.operates(keyturn.OpPause, id), nil)
	withdraw(earlier)
	require.Equal(t, keyturn.LicensePaused, s.license(id).Status, "what was done since stays")

	withdraw(id)
	require.Equal(t, keyturn.LicenseCanceled, s.license(id).Status, "taking back the create ends it")
}

func TestUpgradeWithASuppliedKey(t *testing.T) {
	s := newShop(t)
	s.product("cad", fromEndpoint("acme"))
	s.product("rare", byHand)
	id := s.sell("cad")
	s.carriedOut(id, nil, "K-1")
	up := s.operates(keyturn.OpUpgrade, id, to("rare"))
	later := s.operates(keyturn.OpPause, id)
	_, err := s.Resolve(s.ctx, later, keyturn.Resolution{Action: keyturn.ActionSupply, By: "ops"})
	wantKind(t, err, keyturn.KindConflict)
	wantKind(t, s.StageSupply(s.ctx, later, "", []string{"X"}), keyturn.KindConflict)
	require.NoError(t, s.StageSupply(s.ctx, up, "", []string{"BY-HAND"}))
	s.resolve(up, keyturn.ActionSupply)
	s.delivered(up)
	v := s.license(id)
	require.Equal(t, []any{"rare", "manual", []string{"BY-HAND"}}, []any{v.ProductID, v.Source, v.ActivationCodes})
	require.Contains(t, s.relayed(), later)
	s.applied(later) // whoever supplied the key is not to be called
	require.Equal(t, keyturn.LicensePaused, s.license(id).Status)
}

func TestOperateMakesAnOrderThatCostsNothing(t *testing.T) {
	s := newShop(t)
	s.product("cad", fromEndpoint("acme"))
	s.product("suite", fromEndpoint("acme"))
	id := s.sell("cad")
	s.carriedOut(id, nil, "K-1")
	n := 0
	operate := func(op keyturn.OperationName, change ...func(*OperateInput)) (*Accepted, []byte, error) {
		n++
		in := OperateInput{
			LicenseID: id, Operation: op, Client: "shop", IdempotencyKey: fmt.Sprintf("k-%d", n), RequestHash: []byte{byte(n)},
			Respond: func(a Accepted) ([]byte, error) { return []byte("answer " + a.Order.ID), nil },
		}
		for _, c := range change {
			c(&in)
		}
		return s.Operate(s.ctx, in)
	}
	a, answer, err := operate(keyturn.OpPause)
	require.NoError(t, err)
	o := a.Order
	require.Equal(t, []any{"0.00", NoPayment, id, "ada@buyer.test", "cad"},
		[]any{
			a.GrossPrice.String(), o.Payment.Provider, o.LineItems[0].LicenseID, o.Customer.Email,
			o.LineItems[0].ProductID,
		})
	again, same, err := operate(keyturn.OpPause, func(in *OperateInput) {
		in.IdempotencyKey, in.RequestHash = "k-1",
			[]byte{1}
	})
	require.NoError(t, err)
	require.Nil(t, again)
	require.Equal(t, answer, same)
	_, _, err = operate(keyturn.OpPause)
	wantKind(t, err, keyturn.KindInvalid, "operation")
	_, _, err = operate(keyturn.OpUpgrade)
	wantKind(t, err, keyturn.KindInvalid, "productId")
	_, _, err = operate(keyturn.OpUpgrade, func(in *OperateInput) { in.ProductID = "none" })
	wantKind(t, err, keyturn.KindInvalid, "productId")
	_, _, err = operate(keyturn.OpPause, func(in *OperateInput) { in.LicenseID = "0198c2d4-0000-7000-8000-000000000001" })
	wantKind(t, err, keyturn.KindNotFound)
	_, _, err = operate(keyturn.OpPause, func(in *OperateInput) { in.LicenseID = "'; DROP TABLE licenses" })
	wantKind(t, err, keyturn.KindNotFound)
	require.Empty(t, reads[string](s, `SELECT reference FROM sandbox_payments WHERE order_id LIKE 'op-%'`),
		"nothing is captured")
	s.carriedOut(a.Starts[0].FulfillmentID, nil)
	require.Equal(t, keyturn.LicensePaused, s.license(id).Status)
}

// Licences of an earlier version have no source: it is found by what there is of it.
func TestLicencesOfAnEarlierVersion(t *testing.T) {
	s := newShop(t)
	s.product("cad", fromEndpoint("acme"))
	s.product("game", fromPool("p"))
	s.stock("p", "P-1")
	cad, game := s.sell("cad"), s.sell("game")
	s.carriedOut(cad, nil, "K-1")
	s.claimed(game)
	s.delivered(game)
	s.exec(`UPDATE licenses SET source = NULL`)
	require.Equal(t, "endpoint/acme", s.license(cad).Source)
	require.Equal(t, "pool/p", s.license(game).Source)
	s.carriedOut(s.operates(keyturn.OpPause, cad), nil)
	s.applied(s.operates(keyturn.OpPause, game))
}

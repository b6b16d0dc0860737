package stripe_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/devstack/stripe"
)

// next has the next call of an operation go wrong.
func (e emulator) next(operation string, f stripe.Fault) {
	done := false
	e.SetFaults(func(c stripe.Call) stripe.Fault {
		if done || c.Operation != operation {
			return ""
		}
		done = true
		return f
	})
}

func TestAKeyAnswersTheSameOnceMore(t *testing.T) {
	t.Parallel()
	e := start(t, stripe.Config{})
	first := e.post("/v1/checkout/sessions", "k", sale())
	again := e.post("/v1/checkout/sessions", "k", sale())
	require.Equal(t, first.text, again.text)
	require.Equal(t, "true", again.header.Get("Idempotent-Replayed"))
	require.Len(t, e.Books().Sessions, 1)
	other := e.post("/v1/checkout/sessions", "k", sale("locale", "de"))
	require.Equal(t, 400, other.status)
	require.Equal(t, "idempotency_error", other.at("error.type"))
	require.Equal(t, "idempotency_error", e.post("/v1/refunds", "k", "payment_intent=pi_1").at("error.type"))
	e.Advance(24 * time.Hour)
	require.NotEqual(t, first.id(), e.post("/v1/checkout/sessions", "k", sale()).id(), "it is forgotten")
}

func TestWhatIsRefusedForItsStateIsSaved(t *testing.T) {
	t.Parallel()
	e := start(t, stripe.Config{})
	id := e.open()
	_, err := e.Pay(id, stripe.Card(""))
	require.NoError(t, err)
	pi, _ := e.get("/v1/checkout/sessions/"+id, "").at("payment_intent").(string)
	form := "payment_intent=" + pi
	require.Equal(t, 400, e.post("/v1/refunds", "r", form).status, "it is not captured")
	require.Equal(t, 200, e.post("/v1/payment_intents/"+pi+"/capture", "", "").status)
	require.Equal(t, 400, e.post("/v1/refunds", "r", form).status, "the answer is saved")
	require.Equal(t, 200, e.post("/v1/refunds", "r-2", form).status)
}

func TestAnswersThatAreLostAndErrorsThatAreSaved(t *testing.T) {
	t.Parallel()
	e := start(t, stripe.Config{})
	const capture = "payment_intent.capture"
	for _, f := range []stripe.Fault{stripe.Lost, stripe.Cut} {
		pi := e.sold(stripe.Card(""))
		e.next(capture, f)
		_, err := e.do(http.MethodPost, "/v1/payment_intents/"+pi+"/capture", "c"+pi, "")
		require.Error(t, err, f)
		require.Equal(t, "succeeded", e.get("/v1/payment_intents/"+pi, "").at("status"), f)
		require.Equal(t, "succeeded", e.post("/v1/payment_intents/"+pi+"/capture", "c"+pi, "").at("status"), f)
	}
	for f, status := range map[stripe.Fault]string{stripe.Failed: "requires_capture", stripe.FailedAfter: "succeeded"} {
		pi := e.sold(stripe.Card(""))
		e.next(capture, f)
		require.Equal(t, 500, e.post("/v1/payment_intents/"+pi+"/capture", "c"+pi, "").status, f)
		require.Equal(t, 500, e.post("/v1/payment_intents/"+pi+"/capture", "c"+pi, "").status, "%s: it is saved", f)
		require.Equal(t, status, e.get("/v1/payment_intents/"+pi, "").at("status"), f)
	}
	for f, status := range map[stripe.Fault]int{
		stripe.InUse: 409, stripe.Locked: 429, stripe.Limited: 429, stripe.Down: 503,
	} {
		pi := e.sold(stripe.Card(""))
		e.next(capture, f)
		require.Equal(t, status, e.post("/v1/payment_intents/"+pi+"/capture", "c"+pi, "").status, f)
		require.Equal(t, "succeeded", e.post("/v1/payment_intents/"+pi+"/capture", "c"+pi, "").at("status"), f)
	}
	pi := e.sold(stripe.Card(""))
	e.next(capture, stripe.Refused)
	require.Equal(t, "capture_charge_authorization_expired",
		e.post("/v1/payment_intents/"+pi+"/capture", "", "").at("error.code"))
	require.Equal(t, "canceled", e.get("/v1/payment_intents/"+pi, "").at("status"))
	require.Equal(t, 1, e.Calls()[capture+"/refused"])
}

func TestACallThatHangsIsCarriedOutLateOrNever(t *testing.T) {
	t.Parallel()
	e := start(t, stripe.Config{})
	hang := func(f stripe.Fault) (pi string) {
		pi = e.sold(stripe.Card(""))
		e.next("payment_intent.capture", f)
		address := e.URL() + "/v1/payment_intents/" + pi + "/capture"
		ctx, giveUp := context.WithCancel(t.Context())
		defer giveUp()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+stripe.Key)
		req.Header.Set("Idempotency-Key", pi)
		given := make(chan struct{})
		go func() {
			defer close(given)
			_, err := (&http.Client{Transport: once}).Do(req)
			if err == nil {
				t.Error("it did not hang")
			}
		}()
		require.Eventually(t, func() bool {
			return e.Calls()["payment_intent.capture/"+string(f)] == 1
		}, 10*time.Second, 5*time.Millisecond)
		if f == stripe.Late {
			require.Equal(t, "idempotency_key_in_use",
				e.post("/v1/payment_intents/"+pi+"/capture", pi, "").at("error.code"))
		}
		giveUp()
		<-given
		return pi
	}
	late := hang(stripe.Late)
	require.Eventually(t, func() bool {
		return e.get("/v1/payment_intents/"+late, "").at("status") == "succeeded"
	}, 10*time.Second, 20*time.Millisecond)
	never := hang(stripe.Never)
	require.Equal(t, "requires_capture", e.get("/v1/payment_intents/"+never, "").at("status"))
}

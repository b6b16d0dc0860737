package endpoint_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/endpoint"
)

var discardLog = log.New(io.Discard, "", 0)

func TestDynamicURL(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://shop.test/generate":           "https://shop.test/generate?id=p-1",
		"https://shop.test/generate?key=a%20b": "https://shop.test/generate?key=a%20b&id=p-1",
		"https://shop.test?x={{.Nope}}":        "https://shop.test?x=%7B%7B.Nope%7D%7D&id=p-1",
	} {
		in := endpoint.DynamicURL("dynamicurl:p-1", raw)
		require.NoError(t, endpoint.Check(in, true), raw)
		req, err := endpoint.Render(in, "create", order())
		require.NoError(t, err)
		require.Equal(t, want, req.URL)
		require.Equal(t, order().LicenseID, req.Header.Get("Idempotency-Key"))
		require.JSONEq(t, `{"fulfillmentId":"5b0f6c1e-2d0a-4a57-9c7e-0d2f1a7b9e31","orderId":"SO-1","lineItemId":"L-1","productId":"p-1","quantity":3,
			"requestTimestamp":"2026-06-15T09:00:00Z"}`, string(req.Body))
	}
	for _, raw := range []string{
		"", "http://shop.test/x", "https://shop.test/#x", "https://shop.test/?a=b#x",
		"https://shop.test/?a b", "https://u:p@shop.test", "https://127.0.0.1",
	} {
		require.Error(t, endpoint.Check(endpoint.DynamicURL("d", raw), true), raw)
	}
	in := endpoint.DynamicURL("d", "https://shop.test/x")
	for body, want := range map[string][]string{
		`{"status":200,"message":"ok","data":"K-1"}`: {"K-1"}, `{"data":"K-1"}`: {"K-1"},
		`{"status":"200","data":["K-1"]}`:   {"K-1"},
		`{"status":"success","data":"K-1"}`: {"K-1"}, `{"data":123}`: {"123"},
	} {
		v := judge(in, 1, body)
		require.Equal(t, want, codes(v), body+v.Reason)
	}
	require.Equal(t, []string{"a", "b"}, codes(judge(in, 2, `{"data":["a","b"]}`)))
	for body, kind := range map[string]keyturn.Kind{
		`{"status":404,"message":"no","data":"K-1"}`: keyturn.KindRejected,
		`{"status":"500","data":"K-1"}`:              keyturn.KindRejected,
		`{"status":200}`:                             keyturn.KindBadReply, `{"data":""}`: keyturn.KindBadReply,
		`{"data":null}`: keyturn.KindBadReply,
		`{"data":{}}`:   keyturn.KindBadReply,
		`K-1`:           keyturn.KindBadReply, `<html>`: keyturn.KindBadReply, ``: keyturn.KindBadReply,
		`{"data":[]}`: keyturn.KindBadReply,
	} {
		v := judge(in, 1, body)
		require.Equal(t, kind, v.Kind, body)
	}
	require.Equal(t, "no", judge(in, 1, `{"status":404,"message":"no"}`).ErrorMessage)
}

func TestRedact(t *testing.T) {
	t.Parallel()
	in := reading(map[string]keyturn.ResponsePath{
		"activationCode": {Path: "$.k+"}, "activationLink": {Path: "$.l"},
		"activationFileContent": {Path: "$.f"},
	})
	in.Auth = keyturn.Auth{Type: "basic", Username: "shop", Password: secretOf("hunter2hunter2")}
	for body, want := range map[string]string{
		`{"k":["KEY-1","KEY-2"],"note":"KEY-1 is yours","id":"x"}`: `{"k":["[redacted 1]","[redacted 2]"],"note":"[redacted 1] is yours","id":"x"}`,
		`{"k":"\u004bEY-1","again":"KEY\u002d1"}`:                  `{"k":"[redacted 1]","again":"[redacted 1]"}`,
		`{"k":12345678901234567890, "n":1}`:                        `{"k":"[redacted 1]", "n":1}`,
		`{"k":"1","n":1,"m":"11"}`:                                 `{"k":"[redacted 1]","n":"[redacted 1]","m":"11"}`,
		`{"k":"a\"b\"c","n":"a\"b\"c!"}`:                           `{"k":"[redacted 1]","n":"[redacted 1]!"}`,
		`{"l":"https:\/\/p.test\/x","f":"QUJDREVG"}`:               `{"l":"https://redacted.invalid/1","f":"W3JlZGFjdGVkIDJd"}`,
		`{"k":{"value":"KEY-1"}}`:                                  `{"k":{"value":"[redacted 1]"}}`,
		`{"k":["CODE-LONG","CODE"],"n":"CODE-LONG"}`:               `{"k":["[redacted 1]","[redacted 2]"],"n":"[redacted 1]"}`,
		`{"KEY-1":1,"k":"KEY-1"}`:                                  `{"[redacted 1]":1,"k":"[redacted 1]"}`,
		`{"echo":"hunter2hunter2"}`:                                `{"echo":"[redacted]"}`,
		`<p title="x">OLD-KEY-9 said "hunter2hunter2"</p>`:         `<p title="x">[redacted] said "[redacted]"</p>`,

		// Cut off, or no JSON: nothing tells what is a key.
		`{"k":"KEY-1"`:                      `{"k":"[redacted]"`,
		`{"k": ["KEY-1", 12345, "KE`:        `{"k": ["[redacted]", "[redacted]", "[redacted]"`,
		`{"a":"KEY-1"} {"k":"KEY-2"}`:       `{"a":"[redacted]"} {"k":"[redacted]"}`,
		strings.Repeat(`[`, 40) + `"KEY-1"`: strings.Repeat(`[`, 40) + `"[redacted]"`,
		``:                                  ``,
	} {
		require.Equal(t, want, string(endpoint.Redact(in, "create", []byte(body), []keyturn.Secret{"OLD-KEY-9"})), body)
	}
	var many []string
	for i := range 3000 {
		many = append(many, fmt.Sprintf("KEY-%d", i))
	}
	body, err := json.Marshal(map[string]any{"k": many, "note": "KEY-7 is yours"})
	require.NoError(t, err)
	redacted := string(endpoint.Redact(in, "create", body, nil))
	require.NotContains(t, redacted, "KEY-")
	require.Contains(t, redacted, `"[redacted 3000]"`)
}

// What a redacted reply means is what the reply means, so that it can be judged again.
func TestARedactedReplyIsJudgedLikeTheReply(t *testing.T) {
	t.Parallel()
	in := reading(map[string]keyturn.ResponsePath{
		"activationCode": {Path: "$.k+"}, "activationLink": {Path: "$.l"}, "activationFileContent": {Path: "$.f"},
		"errorCode": {Path: "$.e"}, "extra": {Path: "$.x"},
	})
	for _, body := range []string{
		`{"k":["KEY-1","KEY-2","KEY-1"],"x":7}`, `{"k":"KEY-1"}`, `{"k":[1,2]}`, `{"l":"https://p.test/KEY"}`,
		`{"f":"QUJDREVG","x":"y"}`,
		`{"k":[],"e":"NONE"}`, `{}`, `<html>`, `{"k":["KEY-1","KEY-2"],"l":"https://p.test/KEY-1","f":"S0VZLTE="}`,
		`{"k":{"a":"KEY-1"}}`,
	} {
		for units := range 3 {
			want := judge(in, units, body)
			got := judge(in, units, string(endpoint.Redact(in, "create", []byte(body), nil)))
			require.Equal(t, []any{want.Outcome, want.Kind, want.Reason, want.ErrorCode, want.Additional},
				[]any{got.Outcome, got.Kind, got.Reason, got.ErrorCode, got.Additional}, body)
			require.Len(t, got.Deliverable.ActivationCodes, len(want.Deliverable.ActivationCodes), body)
			require.Len(t, got.Deliverable.Files, len(want.Deliverable.Files), body)
		}
	}
}

func benchIntegration() (keyturn.Integration, endpoint.Data) {
	in := partnerWith(keyturn.Operation{
		URLComplement: "/licenses/new",
		ResponsePaths: map[string]keyturn.ResponsePath{
			"activationCode": {Path: "$.licenses[*].key+"}, "errorCode": {Path: "$.error.code"},
			"errorMessage": {Path: "$.error.message"}, "successFlag": {Path: "$.ok"},
			"expiresAt": {Path: "$.licenses[0].expiresAt"},
		},
		Signature: &keyturn.Signature{
			Enabled:      true,
			SignedFields: []string{"$.checkout.orderId", "$.product.quantity", "$.checkout.price.grossPrice"},
			Secret:       secretOf("s"),
		},
	})
	return in, order()
}

func BenchmarkRender(b *testing.B) { // the default template, signed
	in, d := benchIntegration()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := endpoint.Render(in, "create", d); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSign(b *testing.B) {
	in, d := benchIntegration()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := endpoint.Sign(*in.Operations["create"].Signature, d); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	in, _ := benchIntegration()
	reply := endpoint.Reply{
		Status: 200,
		Body:   []byte(`{"ok":"true","licenses":[{"key":"ORB-1111-2222","expiresAt":"2027-06-15T00:00:00Z"}]}`),
	}
	b.ReportAllocs()
	for b.Loop() {
		if v := endpoint.Judge(in, "create", 1, reply); v.Outcome != endpoint.Success {
			b.Fatal(v.Reason)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	in, _ := benchIntegration()
	for b.Loop() {
		if err := endpoint.Check(in, true); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJudgeLargeReply(b *testing.B) {
	in, _ := benchIntegration()
	type license struct{ Key string }
	list := map[string][]license{"licenses": {}}
	for range 3000 {
		list["licenses"] = append(list["licenses"], license{"ORB-1111-2222"})
	}
	body, _ := json.Marshal(list)
	for b.Loop() {
		endpoint.Judge(in, "create", 1, endpoint.Reply{Status: 200, Body: body})
	}
}

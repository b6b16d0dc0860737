package emulator

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func get(t *testing.T, url string) answer {
	t.Helper()
	return send(t, client(5*time.Second), http.MethodGet, url, "")
}

func TestCustomShapes(t *testing.T) {
	s := start(t, Config{Partners: map[string]Settings{"nested": {Shape: "result"}, "odd": {IDPath: "meta.uid"}}})
	licenses := post(t, s.PartnerURL("acme")+"/custom/licenses/new", `{"ref":"f-1","sku":"ORB"}`)
	key := licenses.json["licenses"].([]any)[0].(map[string]any)["key"]
	assert.Contains(t, key, "EMU-")

	result := post(t, s.PartnerURL("acme")+"/custom/result/api", `{"ref":"f-2","operation":"renew","sku":"ORB"}`)
	assert.Contains(t, result.json["result"].(map[string]any)["licenseKey"], "EMU-")
	assert.Equal(t, "renew", last(t, s).Op)
	failed := post(t, s.PartnerURL("acme")+"/custom/result/api", `{"ref":"f-3","sku":"ORB"}`,
		header("X-Drill", "error-code:NO_STOCK"))
	assert.Equal(t, "NO_STOCK", failed.json["error"].(map[string]any)["code"])

	assert.Contains(t, post(t, s.PartnerURL("nested")+"/licenses/new", body("f-4", "o-1", "ORB")).text,
		`"licenseKey":"EMU-`)
	assert.Contains(t, post(t, s.PartnerURL("acme")+"/custom/link/new", `{"ref":"f-5"}`).text,
		`"activationLink":"https://`)
	assert.Contains(t, post(t, s.PartnerURL("acme")+"/custom/file/new", `{"ref":"f-6"}`).text, `"activationFileContent":"`)
	assert.NotContains(t, post(t, s.PartnerURL("acme")+"/custom/ack/new", `{"ref":"f-7"}`).text, "EMU-")
	assert.Equal(t, 200, post(t, s.PartnerURL("odd")+"/licenses/new", `{"meta":{"uid":"f-8"}}`).status)
	assert.Equal(t, "f-8", last(t, s).FulfillmentID)
}

func TestDynamicURL(t *testing.T) {
	s := start(t, Config{})
	bare := post(t, s.PartnerURL("shop")+"/dynamic?id=p-1", "")
	assert.Regexp(t, `^\{"data":"EMU-[A-Z2-9-]+","message":"OK","status":200\}$`, bare.text)
	assert.NotEqual(t, bare.text, post(t, s.PartnerURL("shop")+"/dynamic?id=p-1", "").text,
		"a bare request cannot be told from its repeat")

	with := func(request string, options ...option) any {
		return post(t, s.URL()+"/dynamic?id=p-1", request, options...).json["data"]
	}
	first := with(`{"fulfillmentId":"f-1","orderId":"o-1","unit":1}`)
	assert.Equal(t, first, with(`{"fulfillmentId":"f-1","orderId":"o-1","unit":1}`))
	assert.NotEqual(t, with(`{"fulfillmentId":"f-1","orderId":"o-1","unit":1}`),
		with(`{"fulfillmentId":"f-1","orderId":"o-1","unit":2}`))
	first = with("", header("Idempotency-Key", "k-1"))
	assert.Equal(t, first, with("", header("Idempotency-Key", "k-1")))
	assert.Equal(t, 400, post(t, s.URL()+"/dynamic", "").status)
}

func TestWrongRequests(t *testing.T) {
	s := start(t, Config{})
	url := s.URL() + "/licenses/new"
	assert.Equal(t, 400, post(t, url, "not json").status)
	assert.Equal(t, 400, post(t, url, body("f-1", "o-1", "ORB")+"{}").status)
	assert.Equal(t, 400, post(t, url, "[]").status)
	assert.Equal(t, 400, post(t, url, `{"checkout":{}}`).status)
	assert.Equal(t, 413, post(t, url, strings.Repeat(" ", maxBody+1)).status)
	assert.Equal(t, 404, post(t, s.URL()+"/licences/new", body("f-1", "o-1", "ORB")).status)
	assert.Equal(t, 405, send(t, client(time.Second), http.MethodPut, url, body("f-1", "o-1", "ORB")).status)
	assert.Equal(t, 405, post(t, s.URL()+"/licenses/f-1", "{}").status)
	assert.Len(t, s.Log(), 8, "refused requests are in the log too")
	assert.Empty(t, s.Issued())
	assert.Equal(t, 200, post(t, s.URL()+"//licenses//new", body("f-1", "o-1", "ORB")).status,
		"never a redirect of our own")
}

func TestStats(t *testing.T) {
	s := start(t, Config{Latency: 100 * time.Millisecond})
	c := client(5 * time.Second)
	c.Transport = &http.Transport{}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() { // no more than four at once: the caller's limit as the partner sees it
			for i := range 5 {
				id := string(rune('a'+worker)) + string(rune('a'+i))
				assert.Equal(t, 200, send(t, c, http.MethodPost, s.PartnerURL("acme")+"/licenses/new",
					body(id, "o-1", "ORB")).status)
			}
		})
	}
	wg.Wait()
	stats, sum := s.Stats("acme"), 0
	for _, second := range stats.PerSecond {
		sum += second.Count
	}
	assert.Equal(t, []int{20, 20, 0, 4}, []int{stats.Requests, sum, stats.Concurrent, stats.MaxConcurrent})
	assert.LessOrEqual(t, stats.PeakPerSecond, 20)
	assert.GreaterOrEqual(t, stats.PeakPerSecond, 4)
	assert.Zero(t, s.Stats("other").Requests)
	require.NoError(t, s.Reset())
	assert.Zero(t, s.Stats("acme").Requests)
}

func TestControl(t *testing.T) {
	s := start(t, Config{})
	control := s.URL() + "/_emulator/"
	put := func(name, settings string) answer {
		return send(t, client(time.Second), http.MethodPut, control+"partners/"+name, settings)
	}
	assert.Equal(t, 200, put("acme", `{"username":"shop","password":"hush","drill":"slow:10ms","latency":"5ms"}`).status)
	assert.Equal(t, "slow:10ms", s.Partner("acme").Drill)
	assert.Equal(t, "hush", s.Partner("acme").Password.Reveal())
	assert.NotContains(t, get(t, control+"partners/acme").text, "hush")
	for _, wrong := range []string{
		`{"drill":"nope"}`, `{"shape":"dynamic"}`, `{"drillOps":["sell"]}`, `{"password":"x"}`,
		`{"latency":"-1s"}`, `{"signing":{"secret":"x"}}`,
	} {
		assert.Equal(t, 422, put("acme", wrong).status, wrong)
	}
	assert.Equal(t, 400, put("acme", `{"unknown":1}`).status)
	assert.Equal(t, 400, put("acme", `{} {}`).status)
	assert.Equal(t, 422, put("no%20name", `{}`).status)
	assert.Equal(t, "slow:10ms", s.Partner("acme").Drill, "what was valid before stays in force")

	form := url.Values{"drill": {"rate-limit"}, "argument": {"7"}}.Encode()
	asForm := header("Content-Type", "application/x-www-form-urlencoded")
	assert.Equal(t, 303, post(t, control+"partners/acme/drill", form, asForm).status)
	assert.Equal(t, "rate-limit:7", s.Partner("acme").Drill)
	assert.Equal(t, 403, post(t, control+"partners/acme/drill", form, asForm,
		header("Sec-Fetch-Site", "cross-site")).status)

	post(t, s.URL()+"/licenses/new", body("<script>f-1", "o-1", "ORB"))
	page := get(t, control)
	assert.Equal(t, 200, page.status)
	for _, want := range []string{
		"<!doctype html>", "/p/acme", `<option selected>rate-limit</option>`, `value="7"`,
		"&lt;script&gt;f-1", last(t, s).KeyIssued,
	} {
		assert.Contains(t, page.text, want)
	}
	for _, outside := range []string{"<script", "http://", "https://", "src="} {
		assert.NotContains(t, page.text, outside)
	}
	assert.Equal(t, 303, get(t, s.URL()+"/").status)
	assert.Equal(t, 1, strings.Count(get(t, control+"log").text, "\n"))
	assert.Contains(t, get(t, control+"issued").text, "EMU-")
	assert.Contains(t, get(t, control+"drills").text, "timeout-after-issuing")
	assert.Equal(t, 404, get(t, control+"ca.pem").status)
	assert.Equal(t, 303, post(t, control+"reset", "").status)
	assert.Empty(t, s.Log())
}

func TestPauseFromThePageEndsByItself(t *testing.T) {
	s := start(t, Config{})
	asForm := header("Content-Type", "application/x-www-form-urlencoded")
	assert.Equal(t, 422, post(t, s.URL()+"/_emulator/pause", "for=soon", asForm).status)
	assert.Equal(t, 202, post(t, s.URL()+"/_emulator/pause", "for=300ms", asForm).status)
	require.Eventually(t, func() bool {
		return get(t, s.URL()+"/_emulator/log").err != nil
	}, 2*time.Second, 5*time.Millisecond)
	require.Eventually(t, func() bool {
		return get(t, s.URL()+"/_emulator/log").status == 200
	}, 5*time.Second, 20*time.Millisecond)
}

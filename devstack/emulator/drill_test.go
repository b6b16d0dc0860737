package emulator

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// drillChecks has one check for each drill; a drill without one fails the test below.
var drillChecks = map[string]func(t *testing.T, d drilled){
	"ok": func(t *testing.T, d drilled) {
		assert.NotEmpty(t, d.create("").key())
		assert.Empty(t, last(t, d.s).Fault)
	},
	"slow": func(t *testing.T, d drilled) {
		begin := time.Now()
		assert.NotEmpty(t, d.create("slow:300ms").key())
		assert.GreaterOrEqual(t, time.Since(begin), 300*time.Millisecond)
	},
	"timeout-after-issuing": func(t *testing.T, d drilled) {
		d.c = client(200 * time.Millisecond)
		require.ErrorContains(t, d.create("timeout-after-issuing").err, "Timeout")
		d.issuedInSilence()
	},
	"cut-after-issuing": func(t *testing.T, d drilled) {
		require.ErrorContains(t, d.create("cut-after-issuing").err, "EOF")
		d.issuedInSilence()
	},
	"cut-mid-reply": func(t *testing.T, d drilled) {
		a := d.create("cut-mid-reply")
		assert.Equal(t, 200, a.status)
		require.ErrorIs(t, a.err, io.ErrUnexpectedEOF)
		assert.NotEmpty(t, a.text)
	},
	"fail-N-then-ok": func(t *testing.T, d drilled) {
		for range 3 {
			assert.Equal(t, 500, d.create("fail-3-then-ok").status)
		}
		assert.NotEmpty(t, d.create("fail-3-then-ok").key())
		assert.Equal(t, 500, post(t, d.url, body("another", "o-1", "ORB"), header("X-Drill", "fail:3")).status,
			"counted per fulfillment")
	},
	"always-500": func(t *testing.T, d drilled) {
		for range 4 {
			assert.Equal(t, 500, d.create("always-500").status)
		}
		assert.Empty(t, d.s.Issued())
	},
	"status": func(t *testing.T, d drilled) {
		assert.Equal(t, 403, d.create("status:403").status)
		assert.Equal(t, 204, d.create("status:204").status)
		assert.Equal(t, 503, d.create("status").status)
	},
	"error-code": func(t *testing.T, d drilled) {
		a := d.create("error-code:NO_STOCK")
		assert.Equal(t, 200, a.status)
		assert.Equal(t, "NO_STOCK", a.json["errorCode"])
		assert.Equal(t, "LICENSE_POOL_EXHAUSTED", d.create("error-code").json["errorCode"])
		assert.Empty(t, d.s.Issued())
	},
	"success-flag": func(t *testing.T, d drilled) {
		assert.Equal(t, "false", d.create("success-flag").json["successFlag"])
	},
	"permanent": func(t *testing.T, d drilled) {
		a := d.create("permanent")
		assert.Equal(t, 410, a.status)
		assert.Equal(t, "PRODUCT_UNKNOWN", a.json["errorCode"])
	},
	"permanent-code": func(t *testing.T, d drilled) {
		a := d.create("permanent-code")
		assert.Equal(t, 200, a.status)
		assert.Equal(t, "PRODUCT_UNKNOWN", a.json["errorCode"])
	},
	"rate-limit": func(t *testing.T, d drilled) {
		a := d.create("rate-limit:1")
		assert.Equal(t, 429, a.status)
		assert.Equal(t, "1", a.header.Get("Retry-After"))
		assert.Equal(t, 429, d.create("rate-limit:1").status, "too early")
		time.Sleep(1100 * time.Millisecond)
		assert.NotEmpty(t, d.create("rate-limit:1").key())
	},
	"wrong-json": func(t *testing.T, d drilled) {
		assert.IsType(t, map[string]any{}, d.create("wrong-json").json["activationCode"])
	},
	"truncated-json": func(t *testing.T, d drilled) {
		a := d.create("truncated-json")
		require.NoError(t, a.err)
		assert.Nil(t, a.json)
		assert.True(t, strings.HasPrefix(a.text, "{"))
		assert.Len(t, d.s.Issued(), 1)
	},
	"deep-json": func(t *testing.T, d drilled) { assert.True(t, strings.HasPrefix(d.create("deep-json").text, "[[[[[[")) },
	"html": func(t *testing.T, d drilled) {
		a := d.create("html")
		assert.Equal(t, 200, a.status)
		assert.Contains(t, a.header.Get("Content-Type"), "text/html")
	},
	"no-key": func(t *testing.T, d drilled) { assert.Equal(t, "{}", d.create("no-key").text) },
	"redirect": func(t *testing.T, d drilled) {
		a := d.create("redirect:307")
		assert.Equal(t, 307, a.status)
		require.True(t, strings.HasPrefix(a.header.Get("Location"), d.s.HoneypotURL()+"/p/acme/"))
		assert.Empty(t, d.s.HoneypotLog())
		assert.Equal(t, HoneypotKey, post(t, a.header.Get("Location"), "{}", basic("shop", "secret")).key())
		require.Len(t, d.s.HoneypotLog(), 1)
		assert.Equal(t, "shop", d.s.HoneypotLog()[0].AuthUser)
		assert.Equal(t, 302, d.create("redirect").status)
	},
	"huge": func(t *testing.T, d drilled) {
		a := d.create("huge")
		assert.Len(t, a.text, 1<<20, "as much as the caller takes")
		assert.Empty(t, d.s.Issued())
	},
	"gzip-bomb": func(t *testing.T, d drilled) { assert.Len(t, d.create("gzip-bomb").text, 1<<20) },
	"drip": func(t *testing.T, d drilled) {
		begin := time.Now()
		a := d.create("drip:2ms")
		assert.NotEmpty(t, a.key())
		assert.GreaterOrEqual(t, time.Since(begin), time.Duration(len(a.text))*2*time.Millisecond)
	},
	"duplicate-key": func(t *testing.T, d drilled) {
		first := d.create("duplicate-key").key()
		assert.NotEmpty(t, first)
		assert.Equal(t, first, post(t, d.url, body("another", "o-1", "ORB"), header("X-Drill", "duplicate-key")).key())
	},
	"different-key": func(t *testing.T, d drilled) {
		first := d.create("different-key").key()
		assert.NotEqual(t, first, d.create("different-key").key())
		require.Len(t, d.s.Issued(), 1)
		assert.Len(t, d.s.Issued()[0].Keys, 2)
	},
	"fewer-codes": func(t *testing.T, d drilled) {
		three := strings.Replace(body("f-1", "o-1", "ORB"), `"name"`, `"quantity":3,"name"`, 1)
		assert.Len(t, post(t, d.url, three, header("X-Drill", "fewer-codes")).json["activationCodes"], 2)
		whole := strings.Replace(three, "f-1", "f-2", 1)
		assert.Len(t, post(t, d.url, whole).json["activationCodes"], 3)
	},
	"control-characters": func(t *testing.T, d drilled) {
		assert.Contains(t, d.create("control-characters").key(), "\x00\x1b[31m\r\n")
	},
	"down": func(t *testing.T, d drilled) {
		require.Error(t, d.create("down").err)
		assert.Empty(t, d.s.Issued())
		require.NoError(t, d.s.SetDrill("acme", "down"))
		assert.Error(t, send(t, d.c, http.MethodGet, d.s.PartnerURL("acme")+"/licenses/f-1", "").err, "look-ups too")
	},
}

// drilled is an emulator with one create at hand.
type drilled struct {
	t   *testing.T
	s   *Server
	c   *http.Client
	url string
}

func (d drilled) create(drill string) answer {
	d.t.Helper()
	return send(d.t, d.c, http.MethodPost, d.url, body("f-1", "o-1", "ORB"), header("X-Drill", drill))
}

// issuedInSilence: the partner has issued, the caller does not know, and asking again gives that key.
func (d drilled) issuedInSilence() {
	d.t.Helper()
	lost := last(d.t, d.s)
	assert.NotEmpty(d.t, lost.KeyIssued)
	assert.Zero(d.t, lost.StatusSent)
	assert.Equal(d.t, lost.KeyIssued, send(d.t, client(time.Second), http.MethodGet,
		d.s.PartnerURL("acme")+"/licenses/f-1", "").key())
	d.c = client(time.Second)
	assert.Equal(d.t, lost.KeyIssued, d.create("ok").key())
}

func TestDrills(t *testing.T) {
	for _, drill := range Drills() {
		t.Run(drill.Name, func(t *testing.T) {
			t.Parallel()
			s := start(t, Config{})
			check := drillChecks[drill.Name]
			require.NotNil(t, check, "this drill has no check")
			check(t, drilled{t: t, s: s, c: client(5 * time.Second), url: s.PartnerURL("acme") + "/licenses/new"})
			for _, e := range s.Log() {
				assert.True(t, e.Fault == "" || strings.HasPrefix(e.Fault, strings.Split(drill.Name, "-N-")[0]), e.Fault)
			}
		})
	}
}

func TestHowADrillIsChosen(t *testing.T) {
	s := start(t, Config{Partners: map[string]Settings{
		"broken":  {Drill: "always-500"},
		"cancels": {Drill: "always-500", DrillOps: []string{"cancel"}},
	}})
	status := func(partner, op, product string, options ...option) int {
		return post(t, s.PartnerURL(partner)+"/licenses/"+op, body("f-"+partner+op+product, "o-1", product),
			options...).status
	}
	assert.Equal(t, 500, status("broken", "new", "ORB"))
	assert.Equal(t, 404, send(t, client(time.Second), http.MethodGet, s.PartnerURL("broken")+"/licenses/f-1", "").status,
		"look-ups are spared")
	assert.Equal(t, 200, status("cancels", "new", "ORB"))
	assert.Equal(t, 500, status("cancels", "cancel", "ORB"))
	assert.Equal(t, 410, status("broken", "new", "orb-drill:permanent"), "the product wins over the settings")
	assert.Equal(t, 200, status("broken", "new", "orb-drill:permanent", header("X-Drill", "ok")),
		"the header wins over the product")
	assert.Equal(t, 200, status("any", "cancel", "orb-drill:permanent"), "a cancel is spared by the product")
	assert.Equal(t, 418, status("any", "cancel", "ORB", header("X-Drill", "status:418")), "but not by the header")
	assert.Equal(t, 429, status("any", "new", "orb.drill.rate-limit.9"))
	assert.Equal(t, 500, status("any", "new", "orb-drill-fail-1-then-ok"))
	assert.Equal(t, 200, status("any", "new", "power-drill-set"), "an innocent name")
	assert.Equal(t, 400, status("any", "new", "orb-drill:no-such"))
	assert.Equal(t, 400, status("any", "new", "ORB", header("X-Drill", "slow:for-ever")))

	request := strings.Replace(body("f-x", "o-1", "ORB"), `"p-1"`, `"p-drill:permanent"`, 1)
	assert.Equal(t, 410, post(t, s.URL()+"/licenses/new", request).status, "the product ID counts as well")
	assert.Equal(t, 410, post(t, s.URL()+"/dynamic?id=p-drill:permanent", "").status)
}

func TestCloseNeverHangs(t *testing.T) {
	for _, drill := range []string{"timeout-after-issuing", "slow:5m", "drip:1m", "huge", "gzip-bomb"} {
		t.Run(drill, func(t *testing.T) {
			t.Parallel()
			s := start(t, Config{})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/licenses/new",
				strings.NewReader(body("f-1", "o-1", "ORB")))
			require.NoError(t, err)
			req.Header.Set("X-Drill", drill)
			go func() {
				if resp, err := client(time.Minute).Do(req); err == nil {
					defer resp.Body.Close()
					time.Sleep(3 * time.Second) // a caller that stops reading
				}
			}()
			require.Eventually(t, func() bool { return len(s.Log()) == 1 }, 5*time.Second, time.Millisecond)
			begin := time.Now()
			require.NoError(t, s.Close())
			assert.Less(t, time.Since(begin), 2*time.Second)
			assert.Zero(t, s.inside.Load())
		})
	}
}

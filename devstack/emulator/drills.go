package emulator

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// drills is the table of all drills. Those with refuse issue nothing; the others do the work and spoil the answer.
var drills = []drill{
	{name: drillOK, about: "works"},
	{name: "slow", arg: argDuration, deflt: "2s", about: "issues, then waits before it answers", send: sendSlow},
	{name: "timeout-after-issuing", about: "issues, then never answers", send: sendNever, silent: true},
	{
		name: "cut-after-issuing", about: "issues, then closes the connection without an answer", send: sendCut,
		silent: true,
	},
	{name: "cut-mid-reply", about: "issues, then closes the connection after half of the body", send: sendHalf},
	{
		name: drillFail, arg: argNumber, deflt: "2",
		about: "500 N times per request (fail-3-then-ok: three times), then works", refuse: refuseN,
	},
	{name: "always-500", about: "500 every time", refuse: refuseAlways(http.StatusInternalServerError, "INTERNAL")},
	{name: "status", arg: argNumber, deflt: "503", about: "answers this HTTP status every time", refuse: refuseStatus},
	{
		name: "error-code", arg: argText, deflt: "LICENSE_POOL_EXHAUSTED", about: "200 with this errorCode",
		refuse: refuseCode,
	},
	{name: "success-flag", about: `200 with a key but successFlag "false"`, refuse: refuseFlag},
	{
		name: "permanent", about: "410 with errorCode PRODUCT_UNKNOWN",
		refuse: refuseAlways(http.StatusGone, "PRODUCT_UNKNOWN"),
	},
	{
		name: "permanent-code", about: "200 with errorCode PRODUCT_UNKNOWN",
		refuse: refuseAlways(http.StatusOK, "PRODUCT_UNKNOWN"),
	},
	{
		name: drillRateLimit, arg: argNumber, deflt: "1",
		about: "429 with Retry-After N seconds until they have passed, then works", refuse: refuseRate,
	},
	{
		name: "wrong-json", about: "200 with JSON whose values have the wrong types",
		refuse: refuseRaw("application/json", wrongJSON),
	},
	{name: "truncated-json", about: "issues, then sends half of the JSON as a complete reply", send: sendTruncated},
	{
		name: "deep-json", about: "200 with 10 KB of JSON nested 5,000 deep",
		refuse: refuseRaw("application/json", deepJSON()),
	},
	{name: "html", about: "200 with a page of HTML", refuse: refuseRaw("text/html; charset=utf-8", htmlPage)},
	{name: "no-key", about: "200 with {}", refuse: refuseRaw("application/json", "{}")},
	{name: "redirect", arg: argNumber, deflt: "302", about: "redirects to the honeypot server", refuse: refuseRedirect},
	{name: "huge", about: "200 with a body that never ends", refuse: emptyReply, send: sendHuge},
	{name: "gzip-bomb", about: "200 with a small gzip body that unpacks to 1 GiB", refuse: emptyReply, send: sendBomb},
	{name: "drip", arg: argDuration, deflt: "100ms", about: "issues, then sends one byte per interval", send: sendDrip},
	{name: "duplicate-key", about: "the same key for every fulfillment", makeKeys: duplicateKeys},
	{name: "different-key", about: "another key each time it is asked for the same fulfillment", makeKeys: freshKeys},
	{name: "fewer-codes", about: "one code fewer than the quantity asks for", makeKeys: fewerKeys},
	{name: "control-characters", about: "a key with control characters in it", makeKeys: controlKeys},
	{
		name: drillDown, about: "closes the connection before reading the request", refuse: emptyReply, send: sendCut,
		silent: true,
	},
}

const (
	duplicateKey = "EMU-DUPL-ICAT-EEEE"
	htmlPage     = "<!doctype html><title>Maintenance</title><h1>We'll be back soon</h1><p>EMU-HTML-HTML-HTML"
	wrongJSON    = `{"activationCode":{"value":12},"licenses":"none","result":[1,2],"status":"OK","data":["x",{}],"errorCode":null}`
)

func deepJSON() string { return strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000) }

func emptyReply(*call, *ledger) *reply { return &reply{status: http.StatusOK} }

func refuseAlways(status int, code string) func(*call, *ledger) *reply {
	return func(c *call, _ *ledger) *reply {
		rep := c.failure(status, code, "this is a drill")
		return &rep
	}
}

func refuseStatus(c *call, l *ledger) *reply {
	return refuseAlways(httpStatus(c.drill.number), "DRILL")(c, l)
}

func refuseCode(c *call, l *ledger) *reply { return refuseAlways(http.StatusOK, c.drill.word)(c, l) }

func refuseRaw(contentType, body string) func(*call, *ledger) *reply {
	return func(*call, *ledger) *reply {
		return &reply{status: http.StatusOK, contentType: contentType, body: []byte(body)}
	}
}

// refuseN answers with the same 500 to a request until it has been refused N times; the count survives a restart.
func refuseN(c *call, l *ledger) *reply {
	if l.refusals[c.entry.requestKey()] >= c.drill.number {
		return nil
	}
	return refuseAlways(http.StatusInternalServerError, "TEMPORARY")(c, l)
}

// refuseRate lets a request pass once its own Retry-After is over, so that a caller who ignores it is refused again.
func refuseRate(c *call, l *ledger) *reply {
	wait := time.Duration(c.drill.number) * time.Second
	if until, seen := l.notBefore[c.entry.requestKey()]; seen {
		if wait = until.Sub(c.entry.Time); wait <= 0 {
			return nil
		}
	}
	rep := c.failure(http.StatusTooManyRequests, "RATE_LIMITED", "this is a drill")
	rep.header = http.Header{"Retry-After": {strconv.Itoa(int((wait + time.Second - 1) / time.Second))}}
	return &rep
}

func refuseFlag(c *call, _ *ledger) *reply {
	if len(c.settings.Paths) > 0 {
		body := c.shape().success([]string{"EMU-FLAG-FLAG-FLAG"})
		setAt(body, c.settings.Paths["successFlag"], []string{"false"})
		rep := jsonReply(http.StatusOK, body)
		return &rep
	}
	rep := jsonReply(http.StatusOK, map[string]any{
		"successFlag": "false", "activationCode": "EMU-FLAG-FLAG-FLAG",
		"licenses": []any{map[string]any{"key": "EMU-FLAG-FLAG-FLAG"}},
		"result":   map[string]any{"licenseKey": "EMU-FLAG-FLAG-FLAG"},
	})
	return &rep
}

func refuseRedirect(c *call, _ *ledger) *reply {
	status := c.drill.number
	if status < 300 || status > 399 {
		status = http.StatusFound
	}
	return &reply{status: status, header: http.Header{"Location": {c.s.HoneypotURL() + c.r.URL.RequestURI()}}}
}

func httpStatus(n int) int {
	if n < 200 || n > 599 {
		return http.StatusServiceUnavailable
	}
	return n
}

func duplicateKeys(_ *call, n int) []string {
	keys := []string{duplicateKey}
	for i := 1; i < n; i++ {
		keys = append(keys, fmt.Sprintf("%s-%d", duplicateKey, i))
	}
	return keys
}

func freshKeys(_ *call, n int) []string { return newKeys(n) }

func fewerKeys(_ *call, n int) []string { return newKeys(n - 1) }

func controlKeys(_ *call, n int) []string {
	keys := newKeys(n)
	for i := range keys {
		keys[i] += "\x00\x1b[31m\r\nX-Injected: 1\u202e"
	}
	return keys
}

package drill

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/endpoint"
)

type drill struct {
	name, about, expected string
	play                  func(f *fulfillment, r *Result) error
}

const (
	sameKey    = "tried again with the same bytes; the key that was issued first is delivered, and no second one issued"
	notYet     = "nothing is delivered; tried again; delivered once the partner is well"
	refusedTLS = "nothing is sent"
)

// all drills, in the order of the sheet.
var all = []drill{
	{"ok", "the partner works", "delivered at the first attempt", func(f *fulfillment, r *Result) error {
		return first(r, f.send(),
			"the partner's good answer is not read: look at responsePaths, and at auth if it was refused")
	}},
	{"slow", "the partner takes half a second", "delivered at the first attempt", func(f *fulfillment, r *Result) error {
		if err := f.drill("slow:500ms"); err != nil {
			return err
		}
		return first(r, f.send(), "an answer within the time-out must be waited for")
	}},
	{"timeout after issuing", "the partner issues and never answers", sameKey, lost("timeout-after-issuing")},
	{"cut after issuing", "the partner issues and closes the connection", sameKey, lost("cut-after-issuing")},
	{
		"cut in the reply", "the partner issues and closes the connection after half of the reply", sameKey,
		lost("cut-mid-reply"),
	},
	{
		"truncated reply", "the partner issues and sends half of the JSON as a whole reply", sameKey,
		func(f *fulfillment, r *Result) error {
			if f.create.ReadsText() {
				r.Skipped, r.Happened = true, "half of a text is a text: only a reply with its length can be seen to be cut"
				return nil
			}
			return lost("truncated-json")(f, r)
		},
	},
	{"500, then good", "the partner fails with 500 once", notYet, spoilt("fail-1-then-ok", keyturn.KindUnavailable)},
	{
		"200 with an errorCode", "the partner says no in a reply with status 200", notYet,
		func(f *fulfillment, r *Result) error {
			if f.create.ReadsText() {
				r.Skipped = true
				r.Happened = "a refusal in a text with status 200 is a key, unless a conversion of errorCode knows it"
				return nil
			}
			return spoilt("error-code:SOLD_OUT", "")(f, r)
		},
	},
	{
		"successFlag false", "the partner sends a key and a success flag that is not true", notYet,
		func(f *fulfillment, r *Result) error {
			if f.own && f.settings.Paths["successFlag"] == "" {
				r.Skipped, r.Happened = true, "this integration reads no successFlag"
				return nil
			}
			return spoilt("success-flag", keyturn.KindRejected)(f, r)
		},
	},
	{
		"410 with an errorCode", "the partner does not know the product",
		"nothing is delivered; permanent if permanentErrors lists it, otherwise tried again",
		func(f *fulfillment, r *Result) error {
			if err := f.drill("permanent"); err != nil {
				return err
			}
			t := f.send()
			r.Happened = t.String()
			return must(!t.delivered() && t.err == nil, "a refusal was taken for a success")
		},
	},
	{"wrong JSON", "200 with JSON whose values have the wrong types", notYet, spoilt("wrong-json", "")},
	{"HTML", "200 with a page of HTML", notYet, spoilt("html", keyturn.KindBadReply)},
	{"no key", "200 with {}", notYet, func(f *fulfillment, r *Result) error {
		if f.codes() == 0 {
			r.Skipped, r.Happened = true, "this integration reads no key, link or file"
			return nil
		}
		return spoilt("no-key", keyturn.KindBadReply)(f, r)
	}},
	{"deep JSON", "200 with JSON nested 5,000 deep", notYet, spoilt("deep-json", keyturn.KindBadReply)},
	{"huge reply", "200 with a body that never ends", notYet, spoilt("huge", keyturn.KindBadReply)},
	{"gzip bomb", "200 with a small body that unpacks to 1 GiB", notYet, spoilt("gzip-bomb", keyturn.KindBadReply)},
	{"dripping reply", "one byte of the reply every 300 ms", sameKey, lost("drip:300ms")},
	{
		"redirect", "the partner redirects to another server", "not followed; " + notYet,
		func(f *fulfillment, r *Result) error {
			if err := spoilt("redirect", keyturn.KindBadReply)(f, r); err != nil {
				return err
			}
			return must(len(f.emulator.HoneypotLog()) == 0, "the redirect was followed: the other server saw the request")
		},
	},
	{
		"429 with Retry-After", "the partner asks for a second of rest",
		"tried again no sooner than it asked; then delivered", restful,
	},
	{
		"duplicate key", "the partner gives two fulfillments the same key",
		"both answers are good by themselves; the second line gets nothing, and waits for a person",
		func(f *fulfillment, r *Result) error {
			if err := f.drill("duplicate-key"); err != nil {
				return err
			}
			one, second := f.send(), (*fulfillment)(nil)
			second, err := f.fulfillment(f.ctx)
			if err != nil {
				return err
			}
			two := second.send()
			r.Happened = one.String() + ", and " + two.String()
			if f.codes() == 0 {
				r.Skipped = true
				return nil
			}
			return must(one.delivered() && two.delivered(), "a good answer was refused")
		},
	},
	{
		"different key", "the partner answers a repeated request with another key",
		"the difference is seen: the first key stays, the second is never delivered, operations are alerted", different,
	},
	{
		"wrong credentials", "the partner does not take the password or token any more",
		"nothing is delivered; the same bytes are taken once the credentials are right", rotated,
	},
	{
		"own CA", "the partner's certificate is of its own authority",
		"refused before anything is sent; delivered with the authority in tls.ca", ownCA,
	},
	{"expired certificate", "the partner's certificate has expired", refusedTLS, func(f *fulfillment, r *Result) error {
		return untrusted(f, r, f.emulator.ExpiredTLSURL(), "an expired certificate was accepted")
	}},
	{
		"cancel", "a fulfillment is given up and its partner told",
		"the cancel goes out under the fulfillment's ID and is acknowledged", canceled,
	},
}

func must(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func first(r *Result, t try, otherwise string) error {
	r.Happened = t.String()
	return must(t.delivered(), "%s", otherwise)
}

// lost is a drill in which the partner issues and its answer gets lost.
func lost(name string) func(*fulfillment, *Result) error {
	return func(f *fulfillment, r *Result) error {
		if err := f.drill(name); err != nil {
			return err
		}
		t := f.send()
		r.Happened = t.String()
		if t.delivered() && f.codes() == 0 {
			r.Skipped, r.Happened = true, "this integration reads no key: any complete answer will do"
			return nil
		}
		if t.delivered() {
			return errors.New("an answer that is not whole was taken for a good one")
		}
		if endpoint.NotSent(t.err) {
			return errors.New("the request was taken for one that never left, but the partner has acted on it")
		}
		if t.took > timeout+time.Second {
			return fmt.Errorf("the call took %s: the deadline is %s", t.took.Round(time.Millisecond), timeout)
		}
		before := len(f.issued())
		if err := f.drill("ok"); err != nil {
			return err
		}
		again := f.send()
		r.Happened += "; then " + again.String()
		switch {
		case !again.delivered():
			return errors.New("the repeated request was not answered with the key")
		case len(f.issued()) != before:
			return errors.New("the repeated request made the partner issue again: it does not look the same to it")
		case f.codes() > 0 && !holds(f, again):
			return errors.New("what is delivered is not what was issued first")
		}
		return nil
	}
}

// holds says whether what was delivered is what was issued, unless a conversionTemplate changes it on the way.
func holds(f *fulfillment, t try) bool {
	keys := f.issued()
	codes := t.verdict.Deliverable.ActivationCodes
	if len(codes) == 0 || f.create.ResponsePaths["activationCode"].ConversionTemplate != "" {
		return true
	}
	return len(keys) > 0 && codes[0].Reveal() == keys[0]
}

// spoilt is a drill in which an answer is of no use, and the next one is.
func spoilt(name string, kind keyturn.Kind) func(*fulfillment, *Result) error {
	return func(f *fulfillment, r *Result) error {
		if err := f.drill(name); err != nil {
			return err
		}
		t := f.send()
		r.Happened = t.String()
		switch {
		case t.delivered() && f.codes() == 0 && kind == keyturn.KindBadReply && !strings.HasPrefix(name, "huge"):
			r.Skipped, r.Happened = true, "this integration reads nothing from the reply: any answer with status 2xx will do"
			return nil
		case t.delivered():
			return errors.New("this answer was taken for a good one: look at errorCode, successFlag and activationCode in " +
				"responsePaths")
		case t.took > timeout+time.Second:
			return fmt.Errorf("the call took %s: the deadline is %s", t.took.Round(time.Millisecond), timeout)
		case kind != "" && t.err == nil && t.verdict.Kind != kind:
			return fmt.Errorf("it counts as %s and should count as %s", t.verdict.Kind, kind)
		case t.verdict.Outcome == endpoint.Permanent:
			r.Happened += "; not tried again"
			return nil
		}
		if err := f.drill("ok"); err != nil {
			return err
		}
		again := f.send()
		r.Happened += "; then " + again.String()
		return must(again.delivered(), "the partner is well again and nothing is delivered")
	}
}

func restful(f *fulfillment, r *Result) error {
	if err := f.drill("rate-limit:1"); err != nil {
		return err
	}
	t := f.send()
	r.Happened = t.String()
	if t.err != nil || t.verdict.Kind != keyturn.KindRateLimited || t.verdict.RetryAfter != time.Second {
		return errors.New("the Retry-After was not read")
	}
	select {
	case <-f.ctx.Done():
		return f.ctx.Err()
	case <-time.After(t.verdict.RetryAfter):
	}
	again := f.send()
	r.Happened += "; after a second " + again.String()
	return must(again.delivered() || again.verdict.Outcome == endpoint.Permanent, "the request was refused again")
}

func different(f *fulfillment, r *Result) error {
	if err := f.drill("different-key"); err != nil {
		return err
	}
	one, two := f.send(), f.send()
	r.Happened = one.String() + ", then another key"
	codes := func(t try) []keyturn.Secret { return t.verdict.Deliverable.ActivationCodes }
	if len(codes(one)) == 0 && one.delivered() {
		r.Skipped, r.Happened = true, "this integration reads no activation code"
		return nil
	}
	return must(len(codes(two)) > 0 && codes(one)[0] != codes(two)[0], "the second key was not seen")
}

func rotated(f *fulfillment, r *Result) error {
	s := f.settings
	switch f.in.Auth.Type {
	case "basic":
		s.Password = "another-password"
	case "bearer":
		s.Token = "another-token"
	case "oauth2ClientCredentials":
		s.ClientSecret = "another-secret"
	default:
		r.Skipped, r.Happened = true, "this integration has no credentials"
		return nil
	}
	if err := f.emulator.SetPartner(partner, s); err != nil {
		return err
	}
	t := f.send()
	r.Happened = t.String()
	if t.delivered() || len(f.issued()) > 0 {
		return errors.New("a caller with wrong credentials was served")
	}
	if err := f.emulator.SetPartner(partner, f.settings); err != nil {
		return err
	}
	again := f.send()
	r.Happened += "; then " + again.String()
	return must(again.delivered() || t.verdict.Outcome == endpoint.Permanent,
		"the same bytes are not taken with the right credentials")
}

// at points the fulfillment at another address of the emulator, and renders its request for it.
func (f *fulfillment) at(address string) error {
	f.version++
	f.in.BaseURL = strings.Replace(f.in.BaseURL, f.emulator.URL(), address, 1)
	f.in.Auth.TokenURL = strings.Replace(f.in.Auth.TokenURL, f.emulator.URL(), address, 1)
	var err error
	f.req, err = endpoint.Render(f.in, "create", f.data)
	return err
}

func untrusted(f *fulfillment, r *Result, address, otherwise string) error {
	if err := f.at(address); err != nil {
		return err
	}
	t := f.send()
	r.Happened = t.String()
	return must(t.err != nil && endpoint.NotSent(t.err) && len(f.issued()) == 0, "%s", otherwise)
}

func ownCA(f *fulfillment, r *Result) error {
	if err := untrusted(f, r, f.emulator.TLSURL(), "a certificate of an unknown authority was accepted"); err != nil {
		return err
	}
	f.in.TLS.CA = string(f.emulator.CAPEM())
	f.version++
	again := f.send()
	r.Happened += "; then " + again.String()
	return must(again.delivered(), "the authority in tls.ca is not trusted")
}

func canceled(f *fulfillment, r *Result) error {
	if t := f.send(); !t.delivered() {
		return fmt.Errorf("there is nothing to cancel: %s", t)
	}
	f.data.Operation = "cancel"
	req, err := endpoint.Render(f.in, "cancel", f.data)
	if err != nil {
		return fmt.Errorf("a cancel cannot be rendered, so what is refunded stays issued: define operations.cancel or "+
			"fallback: %w", err)
	}
	if err := f.expectCancel(req); err != nil {
		return err
	}
	reply, err := f.caller.Send(f.ctx, f.in, f.version, req)
	if err != nil {
		return err
	}
	v := endpoint.Judge(f.in, "cancel", 0, reply)
	r.Happened = "acknowledged"
	if v.Outcome != endpoint.Success {
		r.Happened = v.Reason
	}
	if v.Outcome != endpoint.Success {
		return errors.New("the partner's acknowledgement is not read as one")
	}
	return must(f.status() == emulator.StatusCanceled, "the partner did not cancel this fulfillment")
}

// expectCancel makes the partner take this request for the cancel of this fulfillment, if it names it at all. Partners
// have it in the address or in the body, under another name than in their create or under the same.
func (f *fulfillment) expectCancel(req endpoint.Request) error {
	if !strings.Contains(req.URL, f.data.LicenseID) && !strings.Contains(string(req.Body), f.data.LicenseID) {
		return errors.New("the cancel does not say which fulfillment it is for: put {{.LicenseID}} into its " +
			"urlComplement or bodyTemplate")
	}
	address, err := url.Parse(req.URL)
	if err != nil {
		return err
	}
	s := f.settings
	s.Cancels = map[string]string{address.RequestURI(): f.data.LicenseID}
	return f.emulator.SetPartner(partner, s)
}

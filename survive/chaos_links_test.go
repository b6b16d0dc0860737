//go:build chaos

package survive_test

import (
	"context"
	"fmt"
	"html"
	"io"
	"math/rand"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"keyturn.dev/keyturn"
)

// Customers who buy by checkout links, with a browser without script, at the pages that the API serves.

// sellsByLinks says whether this run sells by links. A worker of the older build knows nothing of them, so such a run
// has none of those.
func (l *lab) sellsByLinks() bool { return l.seed%2 == 0 }

// labTroubles are what the sandbox does to the payment of a link; most go well.
var labTroubles = []string{
	"", "", "", "", "capture-lost", "capture-fails-2", "capture-refused", "cannot-authorize", "settles:2s",
	"settles:2s settles-not", "runs-out-in:60s", "cannot-authorize refund-fails-2",
}

const linkShopping = 2 // at once

// sellByLinks goes on until stop is closed; what is begun then is finished.
func (s *shoppers) sellByLinks(stop <-chan struct{}) {
	var wg sync.WaitGroup
	for i := range linkShopping {
		rng := s.l.rng(200 + i)
		wg.Go(func() {
			for {
				s.buyByLink(rng)
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(400+rng.Intn(1000)) * time.Millisecond):
				}
			}
		})
	}
	wg.Wait()
}

func (s *shoppers) drawLink(rng *rand.Rand) keyturn.CheckoutLink {
	link := keyturn.CheckoutLink{
		OrderID: fmt.Sprintf("CHAOSLINK-%05d", s.next.Add(1)), Currency: "EUR", Mixed: keyturn.MixedChargeAll,
	}
	if rng.Intn(2) == 0 {
		link.Mixed = keyturn.MixedChargeReady
	}
	if trouble := labTroubles[rng.Intn(len(labTroubles))]; trouble != "" {
		link.AdditionalData = map[string]string{"sandbox": trouble}
	}
	for range 1 + rng.Intn(3)/2 {
		product := labMix[rng.Intn(len(labMix))].ProductID
		link.LineItems = append(link.LineItems, keyturn.LinkLine{
			ProductID: product, Name: strings.ToUpper(product), UnitPrice: fmt.Sprintf("%d.99", 1+rng.Intn(50)),
		})
	}
	return link
}

// buyByLink makes a link, orders by it and pays. Some press "change my order" while they pay, some come back from
// paying, and most close the window.
func (s *shoppers) buyByLink(rng *rand.Rand) {
	link := s.drawLink(rng)
	b := &browser{l: s.l, name: link.OrderID, rng: rng}
	var page string
	if !b.until("make the link", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		defer cancel()
		v, _, err := s.l.api.CreateCheckoutLink(ctx, link.OrderID, link)
		switch keyturn.KindOf(err) {
		case "":
			page = "/c/" + path.Base(v.URL)
			return true
		case keyturn.KindUnavailable, keyturn.KindConflict:
		default:
			s.l.t.Errorf("link %s was refused: %v", link.OrderID, err)
		}
		s.repeats.Add(1)
		return false
	}) {
		return
	}
	session := b.order(page)
	if session == "" {
		return
	}
	if rng.Intn(10) == 0 {
		var both sync.WaitGroup
		both.Go(func() { b.post(page+"/reopen", nil) })
		b.post(session, url.Values{"action": {"pay"}})
		both.Wait()
	}
	paid := b.until("pay", func() bool {
		status, _, _ := b.post(session, url.Values{"action": {"pay"}})
		return status == http.StatusSeeOther
	})
	if paid && rng.Intn(3) == 0 {
		b.visit(http.MethodGet, page+"/return", nil)
	}
}

// browser is a customer's, who tries again what fails.
type browser struct {
	l    *lab
	name string
	rng  *rand.Rand
}

var (
	versionField = regexp.MustCompile(`name="version" value="(\d+)"`)
	consentField = regexp.MustCompile(`name="consent" value="([^"]+)"`)
	payLink      = regexp.MustCompile(`href="([^"]*/sandbox/pay/[^"]+)"`)
)

// order fills in the page and presses "order and pay", again where nobody answers or the page says so, and gives
// where it is paid; "" if that cannot be seen any more. While it is paid the page leads there.
func (b *browser) order(page string) (session string) {
	var form url.Values
	empty := 0
	b.until("order", func() bool {
		status, _, body := b.visit(http.MethodGet, page, nil)
		if status != http.StatusOK {
			return false
		}
		if m := payLink.FindStringSubmatch(body); m != nil {
			session = html.UnescapeString(m[1])
			return true
		}
		version, consent := versionField.FindStringSubmatch(body), consentField.FindStringSubmatch(body)
		switch {
		case version != nil && consent != nil:
			form = url.Values{
				"version": {version[1]}, "email": {strings.ToLower(b.name) + canaryDomain}, "country": {"FR"},
				"firstName": {canaryFirst}, "lastName": {canaryLast}, "consent": {html.UnescapeString(consent[1])},
			}
		case form == nil || empty > 100: // it is paid by now
			return true
		default:
			empty++
		}
		status, session, _ = b.post(page+"/order", form)
		return status == http.StatusSeeOther && strings.Contains(session, "/sandbox/pay/")
	})
	if !strings.Contains(session, "/sandbox/pay/") {
		return ""
	}
	return session
}

// until repeats what a customer does until it is done.
func (b *browser) until(what string, do func() bool) bool {
	for range 600 {
		if do() {
			return true
		}
		time.Sleep(150 * time.Millisecond)
	}
	b.l.t.Errorf("%s: %s does not come through", b.name, what)
	return false
}

func (b *browser) post(path string, form url.Values) (status int, location, body string) {
	return b.visit(http.MethodPost, path, form)
}

// visits counts what browsers asked for.
var visits atomic.Uint32

// visit gives status 0 where nobody answers. Each comes from another address: who asks too often is told to wait.
func (b *browser) visit(method, path string, form url.Values) (status int, location, body string) {
	address := path
	if strings.HasPrefix(path, "/") {
		address = fmt.Sprintf("http://127.0.0.1:%d%s", b.l.ports.api, path)
	}
	b.l.load.busy.Add(1)
	defer b.l.load.busy.Add(-1)
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.l.t.Errorf("%s: %v", b.name, err)
		return 0, "", ""
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	n := visits.Add(1)
	req.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255))
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", ""
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", ""
	}
	return resp.StatusCode, resp.Header.Get("Location"), string(text)
}

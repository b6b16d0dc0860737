package web_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	browserdomain "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// browser is a customer's browser. It notes every dialog that a script opens and everything that the
// browser complains about, such as what the policy of the page forbids.
type browser struct {
	context.Context //nolint:containedctx // chromedp's handle of a tab is a context
	t               *testing.T

	mu    sync.Mutex
	noted []string
}

// watch notes what happens in a tab.
func watch(ctx context.Context, t *testing.T) *browser {
	t.Helper()
	b := &browser{Context: ctx, t: t}
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *page.EventJavascriptDialogOpening:
			b.note("a script opened a dialog: " + e.Message)
			go func() { // the page stands still until somebody answers
				_, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
			}()
		case *runtime.EventExceptionThrown:
			b.note("a script failed: " + e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			b.note("the browser complains: " + e.Entry.Text)
		}
	}))
	// Each tab behaves as the one that the customer looks at, whatever others do.
	_, err := chromedp.Call(b, emulation.SetFocusEmulationEnabled,
		emulation.SetFocusEmulationEnabledParams{Enabled: true})
	require.NoError(t, err)
	return b
}

func (b *browser) note(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.noted = append(b.noted, text)
}

func (b *browser) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b, actions...))
}

func get[T any](b *browser, what chromedp.Action[T]) T {
	b.t.Helper()
	value, err := chromedp.Run(b, what)
	require.NoError(b.t, err)
	return value
}

// reads is what stands on the page, and where it is. It asks the page itself, because chromedp loses sight of a
// document that the browser brings back from its cache.
func (b *browser) reads() (text, html, location string) {
	b.t.Helper()
	what := get(
		b, chromedp.Evaluate[[]string](
			`[document.querySelector("main").innerText, document.documentElement.outerHTML, location.href]`))
	return what[0], what[1], what[2]
}

// settles waits until the browser is where it should be.
func (b *browser) settles(location string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		there, err := chromedp.Run(b,
			chromedp.Evaluate[bool](`document.readyState === "complete" && location.href === "`+location+`"`))
		return err == nil && there
	}, time.Minute, 20*time.Millisecond, location)
}

// press presses the button with this text and waits for the page that answers.
func (b *browser) press(text string) {
	b.t.Helper()
	_, err := chromedp.RunResponse(b, chromedp.Click(`//button[normalize-space()="`+text+`"]`))
	require.NoError(b.t, err)
}

// walk goes back or forward. The browser may bring a page back as it was left, which is no load that could be waited
// for.
func (b *browser) walk(steps int) {
	b.t.Helper()
	history, err := chromedp.Call(b, page.GetNavigationHistory, cdp.Empty{})
	require.NoError(b.t, err)
	entry := history.Entries[int(history.CurrentIndex)+steps]
	_, err = chromedp.Call(b, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: entry.ID})
	require.NoError(b.t, err)
}

// refused says that the browser has complained of one answer with this status, and of nothing else.
func (b *browser) refused(status string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.noted) > 0
	}, time.Minute, 10*time.Millisecond)
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Len(b.t, b.noted, 1)
	require.Contains(b.t, b.noted[0], "status of "+status)
	b.noted = nil
}

func (b *browser) calm() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Empty(b.t, b.noted)
}

func TestBrowserShowsAndForgetsKeys(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Name: "Acme Pro", Sources: fromPool}, canary+"-1")
	o := s.buy("en", "acme")
	o.deliver(0)
	for _, script := range []bool{true, false} {
		b := surf(t)
		_, err := chromedp.Call(b, emulation.SetScriptExecutionDisabled,
			emulation.SetScriptExecutionDisabledParams{Value: !script})
		require.NoError(t, err)
		b.run(chromedp.Navigate(s.server.URL + o.path))
		text, html, start := b.reads()
		require.Contains(t, text, "Delivered")
		require.NotContains(t, html, canary)

		b.press("Show my key")
		text, html, location := b.reads()
		require.Contains(t, text, canary+"-1")
		require.NotContains(t, location, canary)
		require.Equal(t, script, !strings.Contains(html, `class="copy" data-done="Copied" hidden`),
			"the button that needs the script comes with it")

		b.walk(-1)
		b.settles(start)
		_, html, _ = b.reads()
		require.NotContains(t, html, canary, "gone with the way back")
		b.walk(+1) // the browser asks before it repeats a form, and shows nothing meanwhile
		require.Eventually(t, func() bool {
			html, err := chromedp.Run(b, chromedp.Evaluate[string](`location.href + "\n" + document.documentElement.outerHTML`))
			return err == nil && !strings.HasPrefix(html, start+"\n") && !strings.Contains(html, canary)
		}, time.Minute, 50*time.Millisecond, "the way forward does not bring them back")

		b.run(chromedp.Navigate(start))
		b.press("Show my key")
		b.run(chromedp.Click(`//a[normalize-space()="Hide again"]`),
			chromedp.WaitVisible(`//button[normalize-space()="Show my key"]`))
		_, html, _ = b.reads()
		require.NotContains(t, html, canary)
		b.calm()
	}
	require.Equal(t, 4, s.count(`SELECT count(*) FROM access_log WHERE by = 'customer'`))
}

// A partner's file is saved byte for byte under its name, and the browser shows nothing of it, whatever is in it.
func TestBrowserSavesADeliveredFile(t *testing.T) {
	s := open(t)
	s.sold(keyturn.Product{ID: "acme", Name: "Acme Pro", Sources: fromEndpoint})
	o := s.buy("en", "acme")
	content := []byte("<script>alert(1)</script>\x00\xff\r\n" + canary)
	o.call(0, db.CallResult{Files: []db.File{{Name: "activation-file.bin", ContentType: "text/html", Data: content}}})
	o.send(0, nil, true)
	b, folder := surf(t), t.TempDir()
	_, err := chromedp.Call(b, browserdomain.SetDownloadBehavior, browserdomain.SetDownloadBehaviorParams{
		Behavior: browserdomain.SetDownloadBehaviorBehaviorAllow, DownloadPath: folder,
		BrowserContextID: chromedp.FromContext(b).BrowserContextID,
	})
	require.NoError(t, err)
	b.run(chromedp.Navigate(s.server.URL + o.path))
	text, html, _ := b.reads()
	require.Contains(t, text, "Delivered")
	require.NotContains(t, html, canary)
	b.press("Show my key")
	b.run(chromedp.Click(`//button[normalize-space()="Download activation-file.bin"]`))
	require.Eventually(t, func() bool {
		saved, err := os.ReadFile(filepath.Join(folder, "activation-file.bin"))
		return err == nil && bytes.Equal(saved, content)
	}, 20*time.Second, 50*time.Millisecond)
	text, html, _ = b.reads()
	require.Contains(t, text, "Download activation-file.bin", "the page is still there")
	require.NotContains(t, html, canary)
	b.calm()
	require.Equal(t, 1, s.count(`SELECT count(*) FROM access_log WHERE by = 'customer' AND what = 'file'`))
}

func TestBrowserRefundsALateLine(t *testing.T) {
	s := open(t)
	o := late(s)
	b := surf(t)
	b.run(chromedp.Navigate(s.server.URL + o.path))
	text, _, _ := b.reads()
	require.Contains(t, text, "We asked the publisher once")
	b.press("Refund me now")
	text, _, _ = b.reads()
	require.Contains(t, text, "Stop waiting for Acme Pro")
	require.Zero(t, s.count(`SELECT count(*) FROM resolutions`))
	b.press("Yes, refund me")
	text, _, location := b.reads()
	require.Contains(t, text, "We are sending 29.99\u00a0EUR back")
	require.Equal(t, s.server.URL+o.path+"#line-"+o.lines[0], location)
	require.Equal(t, 1, s.count(`SELECT count(*) FROM resolutions WHERE by = 'customer'`))

	// The page learns by itself that the money is back.
	o.refunded(0)
	b.run(chromedp.WaitVisible(`//p[@class="status"][normalize-space()="Refunded"]`))
	_, html, _ := b.reads()
	require.NotContains(t, html, "data-refresh=")
	b.calm()
}

func TestBrowserRunsNothingHostile(t *testing.T) {
	s := open(t)
	hostile := `</script><script>alert(1)</script>"'><img src=x onerror=alert(2)><svg onload=alert(3)>`
	s.sold(keyturn.Product{ID: "acme", Name: hostile, Sources: fromPool}, `</code><script>alert("`+canary+`")</script>`)
	s.sold(keyturn.Product{ID: "late", Name: hostile, Sources: fromEndpoint, CustomerMayRefund: true})
	o := s.accept(keyturn.Customer{Email: "jean@buyer.test", Locale: "en", FirstName: hostile},
		keyturn.LineItem{ProductID: "acme", Quantity: 1, GrossPrice: "1.00"},
		keyturn.LineItem{ProductID: "late", Quantity: 1, GrossPrice: "1.00"})
	o.deliver(0)
	o.call(1, db.CallResult{Failed: &partnerDown})
	b := surf(t)
	b.run(chromedp.Navigate(s.server.URL + o.path))
	text, _, _ := b.reads()
	require.Equal(t, 3, strings.Count(text, hostile), "shown as it is: %s", text)
	b.press("Show my key")
	text, _, _ = b.reads()
	require.Contains(t, text, `</code><script>alert("`+canary+`")</script>`)
	b.press("Refund me now")
	text, _, _ = b.reads()
	require.Contains(t, text, hostile)
	time.Sleep(200 * time.Millisecond) // what could run would have run
	b.calm()
}

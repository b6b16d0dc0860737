package web_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/internal/testkit"
)

// chromium runs for all tests of the package, from when one first asks for it.
var chromium struct {
	start sync.Once
	context.Context
	err  error
	stop []context.CancelFunc
}

// surf opens the browser of a customer, who shares nothing with others but its process.
func surf(t *testing.T) *browser {
	t.Helper()
	return surfFor(t, 2*time.Minute)
}

// surfFor is surf with another limit to how long it takes.
func surfFor(t *testing.T, limit time.Duration) *browser {
	t.Helper()
	path := testkit.Browser(t)
	chromium.start.Do(func() { startChromium(path) })
	require.NoError(t, chromium.err)
	ctx, cancel := chromedp.NewContext(chromium.Context, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, limit)
	t.Cleanup(cancel)
	return watch(ctx, t)
}

func startChromium(path string) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.DisableGPU, chromedp.WindowSize(1000, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which root cannot have
	}
	ctx, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, leave := chromedp.NewContext(ctx)
	chromium.Context, chromium.stop = ctx, []context.CancelFunc{leave, end}
	chromium.err = chromedp.Do(ctx)
}

func stopChromium() {
	for _, stop := range chromium.stop {
		stop()
	}
}

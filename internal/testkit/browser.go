package testkit

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"keyturn.dev/keyturn/devstack/debian"
)

// browserNames are the programs that the browser tests can drive, in the order of preference.
var browserNames = []string{
	"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
	"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium",
}

// Browser returns the path of a Chromium or Chrome. Where there is none, root gets the distribution's package, once and
// for good. An ordinary user cannot: a browser needs hundreds of packages and a sandbox that root sets up, so the test
// is skipped and says so. It is the only reason for which a test of ours is skipped.
func Browser(t testing.TB) string {
	t.Helper()
	if path := findBrowser(); path != "" {
		return path
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: this test drives a browser, and neither chromium nor google-chrome is on the PATH. " +
			"Install one (on Debian: sudo apt-get install chromium), or run the tests as root once, which installs it.")
	}
	if err := installBrowser(); err != nil {
		t.Fatalf("this test drives a browser, and none could be installed; put chromium or google-chrome on the PATH: %v",
			err)
	}
	return findBrowser()
}

func findBrowser() string {
	for _, name := range browserNames {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// installBrowser runs once in a process, however many tests ask.
var installBrowser = sync.OnceValue(func() error {
	if !debian.Here() {
		return fmt.Errorf("there is no apt-get on this machine")
	}
	fmt.Fprintln(os.Stderr, "installing chromium with apt-get for the browser tests (once, about a minute)")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if err := debian.Install(ctx, "chromium"); err != nil {
		return err
	}
	if findBrowser() == "" {
		return fmt.Errorf("the package chromium brought no program of that name")
	}
	return nil
})

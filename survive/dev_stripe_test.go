package survive_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/devstack/inbox"
)

// buyer is a browser without script.
type buyer struct {
	t *testing.T
	http.Client
}

// send asks for a page, or posts a form of it, and gives what the browser ends at.
func (b *buyer) send(address string, form url.Values) (text string, at *url.URL) {
	b.t.Helper()
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(b.t.Context(), method, address, strings.NewReader(form.Encode()))
	require.NoError(b.t, err)
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Origin", request.URL.Scheme+"://"+request.URL.Host)
	}
	answer, err := b.Do(request)
	require.NoError(b.t, err)
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(b.t, err)
	require.Equal(b.t, http.StatusOK, answer.StatusCode, "%s", body)
	return string(body), answer.Request.URL
}

// `keyturn dev --stripe` without a key sells through the emulator: whoever opens the link that it prints, and pays on
// the emulator's page, gets the key by e-mail.
func TestDevSellsThroughTheStripeEmulator(t *testing.T) {
	t.Parallel()
	d := startDev(t, devDir(t), freeOffset(t), "--stripe")
	d.await("buy something yourself; the Stripe emulator takes no money:", 4*time.Minute)
	var link string
	d.within(10*time.Second, "the link is printed", func() string {
		if link = regexp.MustCompile(`http://\S+/c/\S+`).FindString(d.text()); link == "" {
			return "it is not"
		}
		return ""
	})
	b := buyer{t: t, Client: http.Client{Timeout: 30 * time.Second}}
	page, _ := b.send(link, nil)
	consent := regexp.MustCompile(`name="consent" value="([^"]+)"`).FindStringSubmatch(page)
	require.Len(t, consent, 2)
	_, at := b.send(link+"/order", url.Values{
		"version": {"1"}, "email": {"ada@buyer.test"}, "country": {"FR"}, "consent": {consent[1]},
	})
	require.Equal(t, fmt.Sprintf("127.0.0.1:%d", 8092+d.offset), at.Host, "the emulator's page")
	_, at = b.send(at.String(), url.Values{"method": {"card"}, "number": {"4242424242424242"}})
	require.Equal(t, fmt.Sprintf("127.0.0.1:%d", 8080+d.offset), at.Host, "back at the shop")
	d.within(time.Minute, "the key comes by e-mail", func() string {
		text, _ := b.send(fmt.Sprintf("http://127.0.0.1:%d/api/v1/messages", 8025+d.offset), nil)
		var list struct{ Messages []inbox.Summary }
		require.NoError(t, json.Unmarshal([]byte(text), &list))
		for _, m := range list.Messages {
			if strings.Join(m.To, "") == "ada@buyer.test" && strings.HasPrefix(m.Subject, "Your Orbit Editor key") {
				return ""
			}
		}
		return "it is not there"
	})
	was := offspring(t, d.pid())
	code, _ := d.end(syscall.SIGTERM, time.Minute)
	require.Equal(t, 0, code, d.text())
	d.requireNothingLeft(was)
}

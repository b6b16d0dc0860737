package survive_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// hooks are a shop's receivers of events. What they take is on the disk before they say so. By path: /good takes all,
// /flaky mostly fails in one of many ways, /dead never answers.
type hooks struct {
	verifier *standardwebhooks.Webhook
	calm     bool // flaky fails no more

	mu      sync.Mutex
	journal *os.File
	rng     *rand.Rand
}

// hooksSecret signs what they get, and hooksCalmEnv has them fail no more.
const (
	hooksSecret  = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	hooksCalmEnv = "KEYTURN_SURVIVE_CALM"
)

// toldOf is a request that came.
type toldOf struct {
	Webhook, ID, Body string
	Signed            bool // by our secret
	Taken             bool // it was, or was to be, answered by 2xx
}

func startHooks(addr, journal string) error {
	verifier, err := standardwebhooks.NewWebhook(hooksSecret)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	h := &hooks{
		verifier: verifier, calm: os.Getenv(hooksCalmEnv) != "", journal: f,
		rng: rand.New(rand.NewSource(time.Now().UnixNano())),
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(l, h) }()
	return nil
}

func (h *hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path[1:]
	if name == "dead" {
		<-r.Context().Done()
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil { // the sender was killed
		return
	}
	got := toldOf{
		Webhook: name, ID: r.Header.Get("Webhook-Id"), Body: string(body),
		Signed: h.verifier.VerifyIgnoringTimestamp(body, r.Header) == nil,
	}
	if h.verifier.Verify(body, r.Header) != nil { // also when the sender's clock is wrong
		h.note(got)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if name == "flaky" && !h.calm && h.fails(w, r, got) {
		return
	}
	got.Taken = true
	h.note(got)
	w.WriteHeader(http.StatusNoContent)
}

// fails fails three times in five; some of these times it has taken the event, and nobody hears of it.
func (h *hooks) fails(w http.ResponseWriter, r *http.Request, got toldOf) bool {
	h.mu.Lock()
	n := h.rng.Intn(15)
	h.mu.Unlock()
	if n >= 9 {
		return false
	}
	got.Taken = n < 2
	h.note(got)
	switch n {
	case 0: // taken, and the answer is lost
		panic(http.ErrAbortHandler)
	case 1: // taken, and the answer comes late
		select {
		case <-time.After(20 * time.Second):
			w.WriteHeader(http.StatusNoContent)
		case <-r.Context().Done():
		}
	case 2:
		panic(http.ErrAbortHandler)
	case 3:
		http.Redirect(w, r, "/good", http.StatusTemporaryRedirect)
	case 4:
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprint(w, "sorry, Jean Dupont")
	case 5:
		w.Header().Set("Retry-After", "2")
		w.WriteHeader(http.StatusTooManyRequests)
	case 6:
		nonsense(w, "\x00\xff nonsense \r\n\r\n")
	case 7:
		nonsense(w, "HTTP/1.1 204 No Content\r\nContent-Length: -1\r\n")
	case 8:
		nonsense(w, "HTTP/1.1 999999 Taken\r\n\r\n")
	}
	return true
}

// nonsense answers with bytes that are no answer, and hangs up.
func nonsense(w http.ResponseWriter, text string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, text)
	_ = conn.Close()
}

func (h *hooks) note(got toldOf) {
	text, err := json.Marshal(got)
	if err != nil {
		panic(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err = h.journal.Write(append(text, '\n'))
	if err == nil {
		err = h.journal.Sync()
	}
	if err != nil {
		panic(err)
	}
}

// readHooks gives what came, but for a last line that nobody was answered for.
func readHooks(journal string) (out []toldOf, err error) {
	f, err := os.Open(journal)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var got toldOf
		if json.Unmarshal(lines.Bytes(), &got) == nil { // a process that was killed as it wrote leaves half a line
			out = append(out, got)
		}
	}
	return out, lines.Err()
}

package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheSameRequestGetsTheSameKey(t *testing.T) {
	s := start(t, Config{})
	request := body("f-1", "o-1", "ORB")
	first := post(t, s.PartnerURL("acme")+"/licenses/new", request)
	require.Equal(t, http.StatusOK, first.status)
	require.Regexp(t, `^EMU-[A-Z2-9]{4}-[A-Z2-9]{4}-[A-Z2-9]{4}$`, first.key())

	again := post(t, s.PartnerURL("acme")+"/licenses/new", request)
	assert.Equal(t, first.key(), again.key())
	assert.NotEqual(t, first.key(), post(t, s.PartnerURL("acme")+"/licenses/new", body("f-2", "o-1", "ORB")).key(),
		"another fulfillment")
	assert.NotEqual(t, first.key(), post(t, s.PartnerURL("other")+"/licenses/new", request).key(), "another partner")
	assert.Len(t, s.Issued(), 3)

	log := s.Log()
	require.Len(t, log, 4)
	sum := sha256.Sum256([]byte(request))
	e := log[0]
	assert.Equal(t, []any{
		"acme", "POST", "/p/acme/licenses/new", "f-1", "create", "o-1", "line-1",
		hex.EncodeToString(sum[:]), 200, first.key(), false,
	},
		[]any{
			e.Partner, e.Method, e.URL, e.FulfillmentID, e.Op, e.OrderID, e.LineItemID, e.BodySHA256, e.StatusSent,
			e.KeyIssued, e.Repeat,
		})
	assert.Equal(t, s.URL(), "http://"+e.Host)
	assert.True(t, log[1].Repeat)
}

func TestTwoCopiesAtOnceIssueOneKey(t *testing.T) {
	s := start(t, Config{})
	keys := make([]string, 20)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() { keys[i] = post(t, s.URL()+"/licenses/new", body("f-1", "o-1", "ORB")).key() })
	}
	wg.Wait()
	for _, key := range keys {
		assert.Equal(t, keys[0], key)
	}
	require.Len(t, s.Issued(), 1)
	assert.Len(t, s.Issued()[0].Keys, 1)
}

func TestALicenseThroughItsLife(t *testing.T) {
	s := start(t, Config{})
	base := s.PartnerURL("acme") + "/v2/licenses/" // any base path
	status := func() string {
		return send(t, client(time.Second), http.MethodGet, base+"f-1", "").json["status"].(string)
	}
	assert.Equal(t, http.StatusNotFound, send(t, client(time.Second), http.MethodGet, base+"f-1", "").status)
	key := post(t, base+"new", body("f-1", "o-1", "ORB")).key()
	assert.Equal(t, StatusRunning, status())
	post(t, base+"suspend", body("f-1", "o-1", "ORB"))
	assert.Equal(t, StatusPaused, status())
	post(t, base+"reactivate", body("f-1", "o-1", "ORB"))
	assert.Equal(t, StatusRunning, status())
	assert.Equal(t, key, post(t, base+"renew", body("f-1", "o-2", "ORB")).key(), "a renewal extends")
	assert.Equal(t, http.StatusOK, post(t, base+"cancel", body("f-1", "o-3", "ORB")).status)
	assert.Equal(t, StatusCanceled, status())
	post(t, base+"resume", body("f-1", "o-4", "ORB"))
	assert.Equal(t, StatusCanceled, status(), "what was cancelled stays so")
	assert.Equal(t, http.StatusOK, post(t, base+"cancel", body("never-heard-of", "o-1", "ORB")).status)
	assert.Len(t, s.Issued(), 1)
}

func TestRenewals(t *testing.T) {
	s := start(t, Config{})
	key := post(t, s.PartnerURL("acme")+"/licenses/new", body("f-1", "o-1", "ORB")).key()
	underNewID := strings.Replace(body("f-2", "o-2", "ORB"), "{", `{"additionalData":{"activationCode":["`+key+`"]},`, 1)
	assert.Equal(t, key, post(t, s.PartnerURL("acme")+"/licenses/renew", underNewID).key())
	require.Len(t, s.Issued(), 2)
	assert.Equal(t, "f-1", s.Issued()[1].Extends)

	require.NoError(t, s.SetPartner("acme", Settings{RenewNewKey: true}))
	renewed := post(t, s.PartnerURL("acme")+"/licenses/renew", body("f-1", "o-3", "ORB")).key()
	assert.NotEqual(t, key, renewed)
	assert.Equal(t, renewed, post(t, s.PartnerURL("acme")+"/licenses/renew", body("f-1", "o-3", "ORB")).key())
	assert.NotEqual(t, renewed, post(t, s.PartnerURL("acme")+"/licenses/renew", body("f-1", "o-4", "ORB")).key(),
		"the next term")
}

func TestCancelBeforeCreate(t *testing.T) {
	s := start(t, Config{Partners: map[string]Settings{"strict": {RefuseAfterCancel: true}}})
	post(t, s.PartnerURL("strict")+"/licenses/cancel", body("f-1", "o-1", "ORB"))
	late := post(t, s.PartnerURL("strict")+"/licenses/new", body("f-1", "o-1", "ORB"))
	assert.Equal(t, "LICENSE_CANCELED", late.json["errorCode"])
	assert.Empty(t, s.Issued())
}

func TestStateSurvivesARestart(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Fsync: true, TLSAddr: "127.0.0.1:0"}
	first := New(cfg)
	require.NoError(t, first.Start())
	issued := post(t, first.URL()+"/licenses/new", body("f-1", "o-1", "ORB")).key()
	post(t, first.URL()+"/licenses/new", body("f-2", "o-1", "x-drill:fail-2-then-ok"))
	lost := post(t, first.URL()+"/licenses/new", body("f-3", "o-1", "drill:cut-after-issuing"))
	require.Error(t, lost.err)
	lostKey := last(t, first).KeyIssued
	ca := first.CAPEM()
	require.NoError(t, first.Close())

	path := filepath.Join(cfg.Dir, "requests.jsonl")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"ts":"2026-01-01T00:00:00Z","fulfillmentId":"half`)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	second := start(t, cfg)
	assert.Equal(t, ca, second.CAPEM())
	assert.Len(t, second.Log(), 3, "the line that a crash cut short is gone")
	assert.Len(t, second.Issued(), 2)
	assert.Equal(t, issued, post(t, second.URL()+"/licenses/new", body("f-1", "o-1", "ORB")).key())
	assert.Equal(t, lostKey, post(t, second.URL()+"/licenses/new", body("f-3", "o-1", "drill:cut-after-issuing"),
		header("X-Drill", "ok")).key())
	assert.Equal(t, 500, post(t, second.URL()+"/licenses/new", body("f-2", "o-1", "x-drill:fail-2-then-ok")).status,
		"the second refusal")
	assert.Equal(t, 200, post(t, second.URL()+"/licenses/new", body("f-2", "o-1", "x-drill:fail-2-then-ok")).status)

	require.NoError(t, second.Reset())
	assert.Empty(t, second.Issued())
	stat, err := os.Stat(path)
	require.NoError(t, err)
	assert.Zero(t, stat.Size())
}

func TestADamagedJournalIsNotIgnored(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "requests.jsonl"), []byte("{}\nnonsense\n{}\n"), 0o600))
	assert.ErrorContains(t, New(Config{Dir: dir}).Start(), "line 2")
}

func TestWhatCannotBeWrittenIsNotIssued(t *testing.T) {
	s := start(t, Config{Dir: t.TempDir()})
	require.NoError(t, s.journal.close())
	a := post(t, s.URL()+"/licenses/new", body("f-1", "o-1", "ORB"))
	assert.Equal(t, http.StatusInternalServerError, a.status)
	assert.Empty(t, s.Issued())
}

func TestATakenPort(t *testing.T) {
	s := start(t, Config{})
	other := New(Config{Addr: strings.TrimPrefix(s.URL(), "http://")})
	assert.ErrorContains(t, other.Start(), "is taken by another program")
}

func TestPauseRefusesConnections(t *testing.T) {
	s := start(t, Config{TLSAddr: "127.0.0.1:0"})
	url := s.URL()
	s.Pause()
	require.ErrorContains(t, post(t, url+"/licenses/new", body("f-1", "o-1", "ORB")).err, "refused")
	require.NoError(t, s.Resume())
	assert.Equal(t, url, s.URL())
	assert.Equal(t, 200, post(t, url+"/licenses/new", body("f-1", "o-1", "ORB")).status)
}

func TestCheapModeForgetsOldEntries(t *testing.T) {
	s := start(t, Config{Cheap: true, MaxEntries: 5, Dir: "/nonexistent/never/made"})
	for i := range 25 {
		post(t, s.URL()+"/licenses/new", body("f-"+string(rune('a'+i)), "o-1", "ORB"))
	}
	assert.Len(t, s.Log(), 5)
	assert.Empty(t, last(t, s).BodySHA256)
	assert.Len(t, s.Issued(), 25)
}

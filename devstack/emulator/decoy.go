package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"time"
)

// DecoyKey is what the decoy server hands out. It must never reach a customer.
const DecoyKey = "EMU-DECO-YDEC-OYYY"

// serveDecoy answers whoever followed a redirect, with a key that gives it away. Any line in its log is a failure of
// the caller.
func (s *Server) serveDecoy(w http.ResponseWriter, r *http.Request) {
	e := Entry{
		Time: time.Now().UTC(), Method: r.Method, URL: r.URL.RequestURI(), Host: r.Host,
		StatusSent: http.StatusOK, KeyIssued: DecoyKey, Fault: "decoy",
	}
	if e.AuthUser, _, _ = r.BasicAuth(); e.AuthUser == "" && r.Header.Get("Authorization") != "" {
		e.AuthUser = "bearer"
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, http.MaxBytesReader(w, r.Body, maxBody)); err == nil {
		e.BodySHA256 = hex.EncodeToString(sum.Sum(nil))
	}
	s.mu.Lock()
	err := s.decoy.append(e)
	s.mu.Unlock()
	if err != nil {
		http.Error(w, "the decoy cannot write its log", http.StatusInternalServerError)
		return
	}
	body := flatSuccess([]string{DecoyKey})
	body["licenses"], body["data"] = []any{map[string]any{"key": DecoyKey}}, DecoyKey
	rep := jsonReply(http.StatusOK, body)
	w.Header().Set("Content-Type", rep.contentType)
	_, _ = w.Write(rep.body)
}

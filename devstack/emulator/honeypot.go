package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"time"
)

// HoneypotKey is the key that the honeypot answers with. It must never reach a customer.
const HoneypotKey = "EMU-HONE-YPOT-KEYY"

// serveHoneypot answers requests that followed a redirect, with a recognisable key. Any line in its log is a fault of
// the caller.
func (s *Server) serveHoneypot(w http.ResponseWriter, r *http.Request) {
	e := Entry{
		Time: time.Now().UTC(), Method: r.Method, URL: r.URL.RequestURI(), Host: r.Host,
		StatusSent: http.StatusOK, KeyIssued: HoneypotKey, Fault: "honeypot",
	}
	if e.AuthUser, _, _ = r.BasicAuth(); e.AuthUser == "" && r.Header.Get("Authorization") != "" {
		e.AuthUser = "bearer"
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, http.MaxBytesReader(w, r.Body, maxBody)); err == nil {
		e.BodySHA256 = hex.EncodeToString(sum.Sum(nil))
	}
	s.mu.Lock()
	err := s.honeypot.append(e)
	s.mu.Unlock()
	if err != nil {
		http.Error(w, "the honeypot cannot write its log", http.StatusInternalServerError)
		return
	}
	body := flatSuccess([]string{HoneypotKey})
	body["licenses"], body["data"] = []any{map[string]any{"key": HoneypotKey}}, HoneypotKey
	rep := jsonReply(http.StatusOK, body)
	w.Header().Set("Content-Type", rep.contentType)
	_, _ = w.Write(rep.body)
}

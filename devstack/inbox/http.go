package inbox

import (
	"embed"
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
)

// The size of a page of the list.
const (
	defaultLimit = 50
	maxLimit     = 1000
)

//go:embed templates/*.html
var templateFiles embed.FS

var pages = template.Must(template.ParseFS(templateFiles, "templates/*.html"))

// list is the answer of GET /api/v1/messages.
type list struct {
	Total    int       `json:"total"` // messages kept
	Start    int       `json:"start"`
	Limit    int       `json:"limit"`
	Messages []Summary `json:"messages"` // newest first
}

// Older and Newer are the starts of the pages next to this one, for the page.
func (l list) Older() int    { return l.Start + l.Limit }
func (l list) Newer() int    { return max(0, l.Start-l.Limit) }
func (l list) HasNext() bool { return l.Older() < l.Total }

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/messages", s.listMessages)
	mux.HandleFunc("DELETE /api/v1/messages", s.deleteMessages)
	mux.HandleFunc("GET /api/v1/message/{id}", s.showMessage)
	mux.HandleFunc("GET /api/v1/message/{id}/raw", s.rawMessage)
	mux.HandleFunc("GET /{$}", s.listPage)
	mux.HandleFunc("GET /message/{id}", s.messagePage)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cache-Control", "no-store")
		header.Set("Referrer-Policy", "no-referrer") // a link in a mail must not learn where it was read
		// Frames inherit this: a mail that is shown runs nothing and fetches nothing.
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		mux.ServeHTTP(w, r)
	})
}

// page reads start and limit; ok is false if one of them is no sensible number, and then it has answered.
func (s *Server) page(w http.ResponseWriter, r *http.Request) (l list, ok bool) {
	l.Limit = defaultLimit
	for name, value := range map[string]*int{"start": &l.Start, "limit": &l.Limit} {
		text := r.URL.Query().Get(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 1<<30 {
			http.Error(w, name+" must be a whole number from 0", http.StatusBadRequest)
			return l, false
		}
		*value = n
	}
	l.Limit = min(max(l.Limit, 1), maxLimit)
	l.Messages, l.Total = s.store.list(l.Start, l.Limit)
	return l, true
}

func (s *Server) listMessages(w http.ResponseWriter, r *http.Request) {
	if l, ok := s.page(w, r); ok {
		writeJSON(w, l)
	}
}

func (s *Server) deleteMessages(w http.ResponseWriter, _ *http.Request) {
	s.store.clear()
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) showMessage(w http.ResponseWriter, r *http.Request) {
	if m, ok := s.message(w, r); ok {
		writeJSON(w, m)
	}
}

func (s *Server) rawMessage(w http.ResponseWriter, r *http.Request) {
	data, ok := s.store.raw(r.PathValue("id"))
	if !ok {
		http.Error(w, "no such message", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8") // message/rfc822 would be downloaded
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) //nolint:gosec // plain text with nosniff, under a policy that runs nothing
}

func (s *Server) listPage(w http.ResponseWriter, r *http.Request) {
	if l, ok := s.page(w, r); ok {
		writePage(w, "list.html", l)
	}
}

func (s *Server) messagePage(w http.ResponseWriter, r *http.Request) {
	if m, ok := s.message(w, r); ok {
		writePage(w, "message.html", m)
	}
}

func (s *Server) message(w http.ResponseWriter, r *http.Request) (Message, bool) {
	summary, found := s.store.find(r.PathValue("id"))
	data, ok := s.store.raw(summary.ID)
	if !found || !ok {
		http.Error(w, "no such message", http.StatusNotFound)
		return Message{}, false
	}
	return parse(summary, data), true
}

// writeJSON and writePage cannot do anything about a reader that went away.
func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func writePage(w http.ResponseWriter, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = pages.ExecuteTemplate(w, name, data)
}

package emulator

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

// partnerView is how the control API shows a partner. Its secrets print as a mark.
type partnerView struct {
	Name     string   `json:"name"`
	BaseURL  string   `json:"baseUrl"`
	Settings Settings `json:"settings"`
	Stats    Stats    `json:"stats"`
}

// handler routes the control page and leaves every other path to the partners. Forms of other sites are refused.
func (s *Server) handler() http.Handler {
	control := http.NewServeMux()
	control.HandleFunc("GET /_emulator/{$}", s.showPage)
	control.HandleFunc("GET /_emulator/log", func(w http.ResponseWriter, _ *http.Request) { writeLines(w, s.Log()) })
	control.HandleFunc("GET /_emulator/honeypot", func(w http.ResponseWriter, _ *http.Request) {
		writeLines(w, s.HoneypotLog())
	})
	control.HandleFunc("GET /_emulator/issued", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Issued()) })
	control.HandleFunc("GET /_emulator/drills", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, Drills()) })
	control.HandleFunc("GET /_emulator/ca.pem", s.serveCA)
	control.HandleFunc("GET /_emulator/partners", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, s.partnerViews())
	})
	control.HandleFunc("GET /_emulator/partners/{name}", s.getPartner)
	control.HandleFunc("PUT /_emulator/partners/{name}", s.putPartner)
	control.HandleFunc("POST /_emulator/partners/{name}/drill", s.postDrill)
	control.HandleFunc("POST /_emulator/pause", s.postPause)
	control.HandleFunc("POST /_emulator/reset", s.postReset)

	protected := http.NewCrossOriginProtection().Handler(control)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // a ServeMux would redirect //licenses/new
		switch {
		case strings.HasPrefix(r.URL.Path, "/_emulator/"):
			protected.ServeHTTP(w, r)
		case r.URL.Path == "/" && r.Method == http.MethodGet:
			http.Redirect(w, r, "/_emulator/", http.StatusSeeOther)
		default:
			s.servePartner(w, r)
		}
	})
}

func (s *Server) view(p *partner) partnerView {
	return partnerView{Name: p.name, BaseURL: "/p/" + p.name, Settings: p.get(), Stats: p.gauge.snapshot()}
}

func (s *Server) partnerViews() []partnerView {
	views := []partnerView{}
	for _, p := range s.allPartners() {
		views = append(views, s.view(p))
	}
	return views
}

func (s *Server) getPartner(w http.ResponseWriter, r *http.Request) {
	p, err := s.partner(r.PathValue("name"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	writeJSON(w, s.view(p))
}

// putPartner replaces all settings, so a secret that is left out is gone.
func (s *Server) putPartner(w http.ResponseWriter, r *http.Request) {
	var settings Settings
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(&settings)
	if err == nil && d.More() {
		err = errors.New("there is more than one JSON value")
	}
	if err != nil {
		http.Error(w, "the settings are not valid JSON: "+err.Error(), http.StatusBadRequest)
		return
	}
	if err := s.SetPartner(r.PathValue("name"), settings); err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	s.getPartner(w, r)
}

// postDrill takes the form of the page: a drill, and optionally its argument.
func (s *Server) postDrill(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	drill := r.FormValue("drill")
	if arg := r.FormValue("argument"); arg != "" {
		drill += ":" + arg
	}
	if err := s.SetDrill(r.PathValue("name"), drill); err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	http.Redirect(w, r, "/_emulator/", http.StatusSeeOther)
}

// postPause refuses connections for a while. It ends by itself, because this page is then out of reach too.
func (s *Server) postPause(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	var d keyturn.Duration
	if err := d.UnmarshalText([]byte(r.FormValue("for"))); err != nil || d <= 0 || time.Duration(d) > maxHold {
		http.Error(w, "for must be a duration up to "+maxHold.String()+", such as 10s", http.StatusUnprocessableEntity)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	go s.pauseFor(time.Duration(d))
}

func (s *Server) pauseFor(d time.Duration) {
	time.Sleep(50 * time.Millisecond) // the answer to whoever asked leaves first
	s.Pause()
	select {
	case <-time.After(d):
		for range 50 { // the port may have been taken meanwhile: give it back some time
			if s.Resume() == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	case <-s.closing:
	}
}

func (s *Server) postReset(w http.ResponseWriter, r *http.Request) {
	if err := s.Reset(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, "/_emulator/", http.StatusSeeOther)
}

func (s *Server) serveCA(w http.ResponseWriter, r *http.Request) {
	if s.ca == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = w.Write(s.ca.pem)
}

func writeLines(w http.ResponseWriter, entries []Entry) {
	w.Header().Set("Content-Type", "application/jsonl; charset=utf-8")
	_, _ = w.Write(jsonLines(entries))
}

func writeJSON(w http.ResponseWriter, body any) {
	rep := jsonReply(http.StatusOK, body)
	w.Header().Set("Content-Type", rep.contentType)
	w.WriteHeader(rep.status)
	_, _ = w.Write(rep.body)
}

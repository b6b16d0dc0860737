package emulator

import (
	_ "embed"
	"html/template"
	"net/http"
	"slices"
	"strings"
)

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("page").Parse(pageHTML))

const pageEntries = 50

// pageRow is a partner with what its form shows as chosen.
type pageRow struct {
	partnerView
	DrillName, DrillArgument string
}

type pageData struct {
	Partners []pageRow
	Drills   []Drill
	Entries  []Entry
	Requests int
	Issued   int
	Honeypot int
	HTTPS    []string
}

// showPage needs nothing from outside and runs no script.
func (s *Server) showPage(w http.ResponseWriter, _ *http.Request) {
	if _, err := s.partner(defaultPartner); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	data := pageData{Drills: Drills()}
	for _, view := range s.partnerViews() {
		data.Partners = append(data.Partners, newPageRow(view))
	}
	for _, url := range []string{s.TLSURL(), s.ExpiredTLSURL()} {
		if url != "" {
			data.HTTPS = append(data.HTTPS, url)
		}
	}
	s.mu.Lock()
	entries := s.journal.newest()
	data.Requests, data.Issued, data.Honeypot = s.journal.total, len(s.ledger.issued()), s.honeypot.total
	s.mu.Unlock()
	data.Entries = slices.Clone(entries[max(0, len(entries)-pageEntries):])
	slices.Reverse(data.Entries)

	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy",
		"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	_ = page.Execute(w, data) // fails only when the reader has gone
}

func newPageRow(view partnerView) pageRow {
	row := pageRow{partnerView: view, DrillName: drillOK}
	if d, err := parseDrill(view.Settings.Drill); err == nil {
		row.DrillName = d.name
		if d.word != d.deflt {
			row.DrillArgument = strings.TrimSpace(d.word)
		}
	}
	return row
}

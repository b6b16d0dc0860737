package api

import (
	"net/http"
)

// Route is one route of the API.
type Route struct {
	Pattern string   // as of http.ServeMux: "GET /v1/orders/{id}"
	Scopes  []string // one of them opens it; none: it is open to everybody
}

// routeMux remembers what is registered, so that tests and pages can walk through all of it.
type routeMux struct {
	*http.ServeMux

	patterns []string
}

// Handle registers a handler.
func (m *routeMux) Handle(pattern string, h http.Handler) {
	m.patterns = append(m.patterns, pattern)
	m.ServeMux.Handle(pattern, h)
}

// HandleFunc registers a handler, as huma does.
func (m *routeMux) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	m.Handle(pattern, http.HandlerFunc(h))
}

// Routes are all routes, in the order of their registration.
func (a *API) Routes() []Route {
	scopes := map[string][]string{}
	for _, op := range operationsOf(a.huma.OpenAPI()) {
		for _, alternative := range op.Security {
			pattern := op.Method + " " + op.Path
			scopes[pattern] = append(scopes[pattern], alternative[bearer]...)
		}
	}
	out := make([]Route, len(a.mux.patterns))
	for i, pattern := range a.mux.patterns {
		out[i] = Route{Pattern: pattern, Scopes: scopes[pattern]}
	}
	return out
}

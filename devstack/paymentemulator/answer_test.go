package paymentemulator_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// startAnswering serves whatever status and body are set to.
func startAnswering(t *testing.T, status *int, body *string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://127.0.0.1:1/")
		w.WriteHeader(*status)
		fmt.Fprint(w, *body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

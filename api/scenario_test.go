package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// scenario is one request and what must come of it. Every error must be a problem document that shows nothing of us.
type scenario struct {
	name     string
	method   string
	path     string
	headers  []string // name, value, …; an empty value takes the header away
	body     string
	status   int
	contains []string
	without  []string
}

func (b *bench) play(t *testing.T, scenarios []scenario) {
	t.Helper()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			a := b.do(t, s.method, s.path, s.body, s.headers...)
			require.Equal(t, s.status, a.status, a.body)
			for _, text := range s.contains {
				require.Contains(t, a.body, text)
			}
			for _, text := range append(s.without, "pq:", "sql:", "goroutine", "SQLSTATE", ".go:") {
				require.NotContains(t, a.body, text)
			}
			if a.status >= 400 {
				require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
				var p struct {
					Type, Title, Detail string
					Status              int
				}
				a.into(t, &p)
				require.Equal(t, a.status, p.Status)
				require.NotEmpty(t, p.Type)
				require.NotEmpty(t, p.Title)
				require.NotEmpty(t, p.Detail)
			}
			require.NotEmpty(t, a.header.Get("X-Request-Id"))
			require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
		})
	}
}

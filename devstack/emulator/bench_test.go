package emulator

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkCreate is what the emulator itself costs a benchmark that calls it, client included.
func BenchmarkCreate(b *testing.B) {
	for name, cfg := range map[string]Config{
		"cheap": {Cheap: true}, "memory": {}, "file": {Dir: b.TempDir()},
		"fsync": {Dir: b.TempDir(), Fsync: true},
	} {
		b.Run(name, func(b *testing.B) {
			s := New(cfg)
			require.NoError(b, s.Start())
			defer func() { require.NoError(b, s.Close()) }()
			transport := &http.Transport{MaxIdleConnsPerHost: 64}
			defer transport.CloseIdleConnections()
			c, url := &http.Client{Transport: transport}, s.URL()+"/licenses/new"
			var n atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					resp, err := c.Post(url, "application/json", strings.NewReader(body(fmt.Sprint("f-", n.Add(1)), "o-1", "ORB")))
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
		})
	}
}

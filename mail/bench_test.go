package mail_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/mail"
)

func BenchmarkRenderKeys(b *testing.B) {
	for name, template := range map[string]mail.Template{
		"default": {},
		"html": {
			Subject: "Your {PROGRAM_NAME} key", Text: "{FNAME}: {KEY}",
			HTML: `<p>{FNAME}</p>{KEY}<a href="{URL}">x</a>`,
		},
	} {
		b.Run(name, func(b *testing.B) {
			c := content()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := mail.RenderKeys(template, c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSend(b *testing.B) {
	for _, mode := range []string{mail.TLSNone, mail.TLSStart} {
		for name, parallel := range map[string]bool{"one": false, "parallel": true} {
			b.Run(mode+"/"+name, func(b *testing.B) {
				srv := serve(b, mode, nil)
				s := sender(b, mail.Config{Addr: srv.addr, RootCAs: srv.roots, TLS: mode})
				m := message(b)
				b.ReportAllocs()
				b.ResetTimer()
				if !parallel {
					for b.Loop() {
						require.NoError(b, s.Send(b.Context(), m))
					}
					return
				}
				b.SetParallelism(4)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := s.Send(b.Context(), m); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}

// BenchmarkSendDialing is what each mail would cost without the pool.
func BenchmarkSendDialing(b *testing.B) {
	for _, mode := range []string{mail.TLSNone, mail.TLSStart} {
		b.Run(mode, func(b *testing.B) {
			srv := serve(b, mode, nil)
			m := message(b)
			for b.Loop() {
				s, err := mail.NewSender(mail.Config{Addr: srv.addr, RootCAs: srv.roots, TLS: mode})
				require.NoError(b, err)
				require.NoError(b, s.Send(b.Context(), m))
				require.NoError(b, s.Close())
			}
		})
	}
}

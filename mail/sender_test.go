package mail_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/testkit"
	"keyturn.dev/keyturn/mail"
)

func message(t testing.TB) mail.Message {
	t.Helper()
	c := content()
	c.Keys = []string{".", "..x", "line with trailing blank "}
	m, err := mail.RenderKeys(mail.Template{Text: ".dot\n{KEY}\n.\nend"}, c)
	require.NoError(t, err)
	return m
}

func sender(t testing.TB, cfg mail.Config) *mail.Sender {
	t.Helper()
	s, err := mail.NewSender(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSendIsByteForByteInEveryMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{mail.TLSNone, mail.TLSStart, mail.TLSImplicit} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			cfg := mail.Config{TLS: mode}
			srv := serve(t, mode, func(s *server) {
				if mode != mail.TLSNone {
					s.password, cfg.Username, cfg.Password = "secret", "shop", "secret"
				}
			})
			cfg.Addr, cfg.RootCAs = srv.addr, srv.roots
			s, m := sender(t, cfg), message(t)
			for range 3 {
				require.NoError(t, s.Send(t.Context(), m))
			}
			require.Len(t, srv.all(), 3)
			for _, got := range srv.all() {
				require.Equal(t, string(m.Data), string(got.data))
				require.Equal(t, m.From, got.from)
				require.Equal(t, []string{m.To}, got.to)
				require.Equal(t, mode != mail.TLSNone, got.tls)
			}
			require.Equal(t, 1, srv.connections(), "one connection for all three")
		})
	}
}

func TestAnswersByStage(t *testing.T) {
	t.Parallel()
	type hook = func(*server, func(*serverSession) error)
	stages := map[string]hook{
		"the sender":    func(s *server, h func(*serverSession) error) { s.mail = h },
		"the recipient": func(s *server, h func(*serverSession) error) { s.rcpt = h },
		"the message":   func(s *server, h func(*serverSession) error) { s.data = h },
	}
	for stage, set := range stages {
		for code, kind := range map[int]keyturn.Kind{
			450: keyturn.KindUnavailable, 452: keyturn.KindUnavailable,
			550: keyturn.KindRejected, 554: keyturn.KindRejected,
		} {
			t.Run(fmt.Sprint(stage, code), func(t *testing.T) {
				t.Parallel()
				var calls atomic.Int32
				srv := serve(t, mail.TLSNone, func(s *server) {
					set(s, func(*serverSession) error {
						if calls.Add(1) == 2 {
							return reply(code)
						}
						return nil
					})
				})
				s := sender(t, mail.Config{Addr: srv.addr, TLS: mail.TLSNone})
				require.NoError(t, s.Send(t.Context(), message(t)))
				err := s.Send(t.Context(), message(t))
				require.Equal(t, kind, keyturn.KindOf(err))
				require.Equal(t, code, mail.Code(err))
				require.False(t, mail.Ambiguous(err))
				require.ErrorContains(t, err, stage)
				require.ErrorContains(t, err, fmt.Sprint(code))
				require.NotContains(t, err.Error(), "jean", "the server's words stay in the cause")
				var failed *keyturn.Error
				require.ErrorAs(t, err, &failed)
				require.ErrorContains(t, failed.Cause, "words of the server")
				require.NoError(t, s.Send(t.Context(), message(t)), "the connection is good after a refusal")
				require.Equal(t, 1, srv.connections())
			})
		}
	}
}

func TestRefusalsThatAreAboutUsAreNotPermanent(t *testing.T) {
	t.Parallel()
	srv := serve(t, mail.TLSStart, func(s *server) { s.password = "right" })
	wrong := sender(t, mail.Config{Addr: srv.addr, RootCAs: srv.roots, Username: "shop", Password: "canary-smtp-87"})
	err := wrong.Send(t.Context(), message(t))
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err), "a wrong password must not cost customers their orders")
	require.ErrorContains(t, err, "our sign-in")
	require.Empty(t, testkit.FindCanary(fmt.Sprintf("%v %+v", err, err), "canary-smtp-87"),
		"the password is in no error, in no form")
	require.Equal(t, 535, mail.Code(err))

	err = sender(t, mail.Config{Addr: srv.addr, RootCAs: srv.roots}).Send(t.Context(), message(t))
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
	require.Equal(t, 530, mail.Code(err))

	err = sender(t, mail.Config{Addr: script(t, hang, "554 go away"), TLS: mail.TLSNone}).Send(t.Context(), message(t))
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
}

// TestNoDowngrade is threat T28.
func TestNoDowngrade(t *testing.T) {
	t.Parallel()
	plain := serve(t, mail.TLSNone, nil)
	trusted := serve(t, mail.TLSStart, nil)
	implicit := serve(t, mail.TLSImplicit, nil)
	for name, cfg := range map[string]mail.Config{
		"no STARTTLS offered": {Addr: plain.addr, RootCAs: plain.roots},
		"STARTTLS refused": {
			Addr:    script(t, hang, "220 x", "250-x\r\n250 STARTTLS", "454 not now"),
			RootCAs: plain.roots,
		},
		"nonsense after STARTTLS": {
			Addr:    script(t, hang, "220 x", "250-x\r\n250 STARTTLS", "220 go", "250 not TLS"),
			RootCAs: plain.roots,
		},
		"unknown certificate":     {Addr: trusted.addr},
		"another certificate":     {Addr: trusted.addr, RootCAs: x509.NewCertPool()},
		"another host":            {Addr: strings.Replace(trusted.addr, "127.0.0.1", "localhost", 1), RootCAs: trusted.roots},
		"implicit, unknown":       {Addr: implicit.addr, TLS: mail.TLSImplicit},
		"implicit, server is not": {Addr: plain.addr, TLS: mail.TLSImplicit, RootCAs: plain.roots},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg.Timeout = 5 * time.Second
			err := sender(t, cfg).Send(t.Context(), message(t))
			require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err), "%v", err)
			require.False(t, mail.Ambiguous(err))
		})
	}
	t.Cleanup(func() {
		require.Empty(t, plain.all())
		require.Empty(t, trusted.all())
		require.Empty(t, implicit.all())
	})
}

func TestAnswerLostAfterTheFinalDot(t *testing.T) {
	t.Parallel()
	head := []string{"220 x", "250 x", "250 ok", "250 ok", "354 go"}
	for name, addr := range map[string]string{
		"cut":      script(t, readAllThenCut, head...),
		"hang":     script(t, hang, head...),
		"nonsense": script(t, func(c net.Conn) { readAllThenCut(c); _, _ = c.Write([]byte("what?\r\n")) }, head...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sender(t, mail.Config{Addr: addr, TLS: mail.TLSNone, Timeout: 300 * time.Millisecond})
			err := s.Send(t.Context(), message(t))
			require.True(t, mail.Ambiguous(err), "%v", err)
			require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
			require.True(t, mail.Ambiguous(fmt.Errorf("wrapped: %w", err)))
		})
	}
	for _, mode := range []string{mail.TLSStart, mail.TLSImplicit} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, mode, func(s *server) {
				s.data = func(s *serverSession) error { return s.conn.Conn().Close() }
			})
			err := sender(t, mail.Config{Addr: srv.addr, RootCAs: srv.roots, TLS: mode}).Send(t.Context(), message(t))
			require.True(t, mail.Ambiguous(err), "%v", err)
			require.Len(t, srv.all(), 1, "the server has it")
		})
	}
}

func TestFailuresBeforeTheFinalDotAreNotAmbiguous(t *testing.T) {
	t.Parallel()
	head := []string{"220 x", "250 x", "250 ok", "250 ok", "354 go"}
	for n := range len(head) {
		for name, then := range map[string]func(net.Conn){"hang": hang, "hang up": hangUp} {
			t.Run(fmt.Sprint(n, name), func(t *testing.T) {
				t.Parallel()
				s := sender(t, mail.Config{Addr: script(t, then, head[:n]...), TLS: mail.TLSNone, Timeout: 300 * time.Millisecond})
				err := s.Send(t.Context(), message(t))
				require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err), "%v", err)
				require.False(t, mail.Ambiguous(err), "%v", err)
			})
		}
	}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, nobody.Close())
	err = sender(t, mail.Config{Addr: nobody.Addr().String(), TLS: mail.TLSNone}).Send(t.Context(), message(t))
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
	require.False(t, mail.Ambiguous(err))

	// A large message into a connection that nobody reads: the write blocks, and the deadline must end it.
	large := message(t)
	large.Data = append(large.Data, strings.Repeat("filler line\r\n", 700_000)...)
	deaf := script(t, func(net.Conn) { time.Sleep(3 * time.Second) }, head...)
	began := time.Now()
	err = sender(t, mail.Config{Addr: deaf, TLS: mail.TLSNone, Timeout: 500 * time.Millisecond}).Send(t.Context(), large)
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
	require.False(t, mail.Ambiguous(err), "%v", err)
	require.Less(t, time.Since(began), 2*time.Second)
}

func TestDeadlinesHoldEverywhere(t *testing.T) {
	t.Parallel()
	ehlo := "250-x\r\n250 STARTTLS"
	for name, cfg := range map[string]mail.Config{
		"no greeting":               {Addr: script(t, hang), TLS: mail.TLSNone},
		"handshake after STARTTLS":  {Addr: script(t, hang, "220 x", ehlo, "220 go")},
		"implicit handshake":        {Addr: script(t, hang), TLS: mail.TLSImplicit},
		"a greeting, byte for byte": {Addr: script(t, drip), TLS: mail.TLSNone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, end := range []string{"config", "deadline", "cancel"} {
				ctx, cancel := context.WithCancel(t.Context())
				switch end {
				case "config":
					cfg.Timeout = 200 * time.Millisecond
				case "deadline":
					ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
				case "cancel":
					time.AfterFunc(200*time.Millisecond, cancel)
				}
				began := time.Now()
				err := sender(t, cfg).Send(ctx, message(t))
				cancel()
				cfg.Timeout = 0
				require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err), "%v", err)
				require.Less(t, time.Since(began), 2*time.Second, end)
			}
		})
	}
}

// drip sends a greeting that never ends, one byte at a time: a deadline per read would never pass.
func drip(c net.Conn) {
	for range 200 {
		if _, err := c.Write([]byte("2")); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestDeadConnectionIsReplacedOnce(t *testing.T) {
	t.Parallel()
	srv := serve(t, mail.TLSStart, nil)
	s := sender(t, mail.Config{Addr: srv.addr, RootCAs: srv.roots})
	require.NoError(t, s.Send(t.Context(), message(t)))
	srv.cutAll()
	require.NoError(t, s.Send(t.Context(), message(t)))
	require.Equal(t, 2, srv.connections())
	require.Len(t, srv.all(), 2, "each mail once")

	// A server that says goodbye to an idle client with 421, as Postfix does.
	var calls atomic.Int32
	busy := serve(t, mail.TLSNone, func(s *server) {
		s.mail = func(*serverSession) error {
			if calls.Add(1) == 2 {
				return reply(421)
			}
			return nil
		}
	})
	s = sender(t, mail.Config{Addr: busy.addr, TLS: mail.TLSNone})
	require.NoError(t, s.Send(t.Context(), message(t)))
	require.NoError(t, s.Send(t.Context(), message(t)))
	require.Equal(t, 2, busy.connections())

	// When the new connection fails as well, that is the answer.
	require.NoError(t, busy.smtp.Close())
	err := s.Send(t.Context(), message(t))
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	srv := serve(t, mail.TLSNone, nil)
	s := sender(t, mail.Config{Addr: srv.addr, TLS: mail.TLSNone, IdleTimeout: 20 * time.Millisecond})
	require.NoError(t, s.Send(t.Context(), message(t)))
	time.Sleep(200 * time.Millisecond)
	require.NoError(t, s.Send(t.Context(), message(t)))
	require.Equal(t, 2, srv.connections())
}

func TestConcurrentSendsShareFewConnections(t *testing.T) {
	t.Parallel()
	srv := serve(t, mail.TLSNone, nil)
	s := sender(t, mail.Config{Addr: srv.addr, TLS: mail.TLSNone, MaxConns: 3})
	m := message(t)
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			for range 20 {
				ctx, cancel := context.WithCancel(context.Background())
				if i == 0 { // a sender whose callers give up at any moment must not harm the others
					time.AfterFunc(300*time.Microsecond, cancel)
				}
				err := s.Send(ctx, m)
				cancel()
				if err != nil && i != 0 {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	require.GreaterOrEqual(t, len(srv.all()), 220)
	for _, got := range srv.all() {
		require.Equal(t, string(m.Data), string(got.data))
	}
	require.LessOrEqual(t, srv.connections(), 3+20, "three, and one for each that was cut short")

	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	err := s.Send(t.Context(), m)
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
}

func TestFullPoolWaitsNoLongerThanTheContext(t *testing.T) {
	t.Parallel()
	s := sender(t, mail.Config{Addr: script(t, hang), TLS: mail.TLSNone, MaxConns: 1, Timeout: time.Second})
	go func() {
		_ = s.Send(context.Background(), mail.Message{From: "a@b.co", To: "a@b.co", Data: []byte("\r\n")})
	}()
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	err := s.Send(ctx, message(t))
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
	require.Less(t, time.Since(began), 500*time.Millisecond)
}

func TestMessagesThatWouldChangeOnTheWayAreRefused(t *testing.T) {
	t.Parallel()
	srv := serve(t, mail.TLSNone, nil)
	s := sender(t, mail.Config{Addr: srv.addr, TLS: mail.TLSNone})
	for _, data := range []string{"", "x", "x\n", "x\r", "a\nb\r\n", "a\rb\r\n", "a\r\n.\n\r\n"} {
		m := message(t)
		m.Data = []byte(data)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(s.Send(t.Context(), m)), "%q", data)
	}
	m := message(t)
	m.To = "a@b.co> NOTIFY=NEVER"
	require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(s.Send(t.Context(), m)))
	require.Empty(t, srv.all())
}

func TestNewSenderRefuses(t *testing.T) {
	t.Parallel()
	for at, cfg := range map[string]mail.Config{
		"addr":      {Addr: "mail.test"},
		"tls":       {Addr: "mail.test:25", TLS: "maybe"},
		"username":  {Addr: "mail.test:25", TLS: mail.TLSNone, Username: "shop"},
		"timeout":   {Addr: "mail.test:25", Timeout: time.Minute},
		"maxConns":  {Addr: "mail.test:25", MaxConns: -1},
		"localName": {Addr: "mail.test:25", LocalName: "x\r\ny"},
	} {
		_, err := mail.NewSender(cfg)
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err))
		require.ErrorContains(t, err, at)
	}
}

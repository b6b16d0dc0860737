// Package inbox is the development mail inbox: it takes every mail on an SMTP address, keeps it, and shows it over HTTP
// to people and tests. It delivers nothing anywhere. It is evidence, too: a message is kept, and with Config.Sync is on
// the disk, before its sender hears that it was taken.
package inbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Limits of one inbox. They are for accidents, not for attackers: it belongs on a loopback or a private network.
const (
	maxMessageBytes = 10 << 20
	maxRecipients   = 100
	idleTimeout     = 5 * time.Minute // RFC 5321 §4.5.3.2 asks servers for this patience
	writeTimeout    = 30 * time.Second
)

// Config says where the inbox listens and what it keeps.
type Config struct {
	SMTPAddr    string // host:port; port 0 takes a free one
	HTTPAddr    string
	Dir         string      // messages are files here and survive a restart; empty: they are in memory only
	Sync        bool        // flush each message to the disk before it is answered
	TLS         *tls.Config // offers STARTTLS; nil: mail comes in the clear
	ReportsTo   string      // SMTP server that is told of e-mails to Nowhere, which come back; empty: none does
	MaxMessages int         // the oldest ones go beyond this; 0: 10,000 in memory, no limit on disk
}

// Server is a running inbox. Its methods are safe for concurrent use.
type Server struct {
	cfg      Config
	store    *store
	smtp     *smtp.Server
	http     *http.Server
	smtpAddr string
	httpAddr string
	closing  chan struct{}
	closed   sync.Once

	mu    sync.Mutex
	fault func(from, to string) error
}

// New makes an inbox. Start opens it.
func New(cfg Config) *Server { return &Server{cfg: cfg, closing: make(chan struct{})} }

// Start reads the messages that are there, listens on both addresses and returns once both are served. The error says
// which address or folder cannot be used.
func (s *Server) Start() error {
	var err error
	if s.store, err = openStore(s.cfg); err != nil {
		return fmt.Errorf("the mail inbox cannot use the folder %s: %w", s.cfg.Dir, err)
	}
	mailListener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", s.cfg.SMTPAddr)
	if err != nil {
		return fmt.Errorf("the mail inbox cannot listen for SMTP on %s: %w", s.cfg.SMTPAddr, err)
	}
	pageListener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", s.cfg.HTTPAddr)
	if err != nil {
		_ = mailListener.Close()
		return fmt.Errorf("the mail inbox cannot listen for HTTP on %s: %w", s.cfg.HTTPAddr, err)
	}
	s.smtpAddr, s.httpAddr = mailListener.Addr().String(), pageListener.Addr().String()

	s.smtp = smtp.NewServer(smtp.BackendFunc(s.newSession))
	s.smtp.Domain, s.smtp.TLSConfig = "inbox.localhost", s.cfg.TLS
	s.smtp.MaxMessageBytes, s.smtp.MaxRecipients = maxMessageBytes, maxRecipients
	s.smtp.ReadTimeout, s.smtp.WriteTimeout = idleTimeout, writeTimeout
	s.smtp.ErrorLog = log.New(io.Discard, "", 0) // clients that go away are not worth a line
	s.http = &http.Server{
		Handler: s.handler(), ReadTimeout: 10 * time.Second, WriteTimeout: writeTimeout, IdleTimeout: time.Minute,
		MaxHeaderBytes: 64 << 10,
	}
	// Both listeners take connections already; Serve only picks them up.
	go func() { _ = s.smtp.Serve(mailListener) }()
	go func() { _ = s.http.Serve(pageListener) }()
	return nil
}

// Close ends both servers and every connection. What was answered stays; nothing is kept after Close returns.
func (s *Server) Close() error {
	var err error
	s.closed.Do(func() {
		close(s.closing)
		if s.smtp == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err = errors.Join(s.smtp.Close(), s.http.Shutdown(ctx))
		if err != nil {
			err = errors.Join(err, s.http.Close())
		}
		s.store.close()
	})
	return err
}

// SMTPAddr is the address that takes mail, with the port that was chosen.
func (s *Server) SMTPAddr() string { return s.smtpAddr }

// HTTPAddr is the address of the page and the API, with the port that was chosen.
func (s *Server) HTTPAddr() string { return s.httpAddr }

// Messages lists what is kept, newest first.
func (s *Server) Messages() []Summary {
	all, _ := s.store.list(0, -1)
	return all
}

// Raw returns the bytes of a message as they were sent; ok is false if it is not kept.
func (s *Server) Raw(id string) (data []byte, ok bool) { return s.store.raw(id) }

package mail

import (
	"context"
	"crypto/x509"
	"time"

	"keyturn.dev/keyturn"
)

type Template struct {
	Subject string `json:"subject,omitempty" yaml:"subject,omitempty"`
	Text    string `json:"text,omitempty" yaml:"text,omitempty"`
	HTML    string `json:"html,omitempty" yaml:"html,omitempty"`
}

func (t Template) Check() error                                   { return nil }
func RenderKeys(t Template, c Content) (Message, error)           { return Message{}, nil }
func RenderCanceled(c Content, why Cancellation) (Message, error) { return Message{}, nil }
func RenderAlert(a Alert) (Message, error)                        { return Message{}, nil }

type Config struct {
	Addr        string
	Username    string
	Password    keyturn.Secret
	TLS         string
	RootCAs     *x509.CertPool
	LocalName   string
	Timeout     time.Duration
	IdleTimeout time.Duration
	MaxConns    int
}
type Sender struct{}

func NewSender(cfg Config) (*Sender, error)                 { return nil, nil }
func (s *Sender) Send(ctx context.Context, m Message) error { return nil }
func (s *Sender) Close() error                              { return nil }
func Ambiguous(err error) bool                              { return false }
func Code(err error) int                                    { return 0 }

package endpoint

import (
	"context"
	"log/slog"

	"keyturn.dev/keyturn"
)

// Signatures only, until their files land.

func Check(in keyturn.Integration, production bool) error                         { panic("soon") }
func WithDefaults(in keyturn.Integration) keyturn.Integration                     { panic("soon") }
func Render(in keyturn.Integration, op string, d Data) (Request, error)           { panic("soon") }
func Sign(sig keyturn.Signature, d Data) (canonical, signature string, err error) { panic("soon") }
func Judge(in keyturn.Integration, op string, units int, reply Reply) Verdict     { panic("soon") }
func DynamicURL(id, rawURL string) keyturn.Integration                            { panic("soon") }
func Redact(in keyturn.Integration, op string, body []byte, known []keyturn.Secret) []byte {
	panic("soon")
}
func NotSent(err error) bool { panic("soon") }

type Options struct {
	Production bool
	Logger     *slog.Logger
}
type Caller struct{}

func NewCaller(o Options) *Caller { panic("soon") }
func (c *Caller) Send(ctx context.Context, in keyturn.Integration, version int64, req Request) (Reply, error) {
	panic("soon")
}

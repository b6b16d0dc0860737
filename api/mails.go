package api

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/activities"
	"keyturn.dev/keyturn/mail"
)

type mailSampleOutput struct{ Body keyturn.MailSample }

// sendTime is how long the mail server may take for a test.
const sendTime = 30 * time.Second

func (a *API) mailRoutes() {
	register(a, operation{of: narrowed, body: keyturn.MailSampleRequest{}, Operation: huma.Operation{
		OperationID: "previewMail", Method: http.MethodPost, Path: "/v1/mails/preview", Tags: []string{"E-mails"},
		Summary: "Show an e-mail with invented data",
		Description: "What a customer gets, in the shop's face and in the words of a product and a language. Nothing is " +
			"sent, and nothing is stored.",
		Security: anyOf(ScopeCatalogWrite, ScopeOps),
	}}, func(ctx context.Context, c *call, _ *struct{}) (*mailSampleOutput, error) {
		_, sample, err := a.sampleMail(ctx, c, false)
		return &mailSampleOutput{Body: sample}, err
	})
	register(a, operation{of: narrowed, body: keyturn.MailSampleRequest{}, Operation: huma.Operation{
		OperationID: "testMail", Method: http.MethodPost, Path: "/v1/mails/test", Tags: []string{"E-mails"},
		Summary: "Send an e-mail with invented data",
		Description: "Sends to `email` what the preview shows, once; each call is an e-mail of its own. 503: the mail server " +
			"does not take it. 429 after 30 in an hour from one address.",
		Security: anyOf(ScopeCatalogWrite, ScopeOps),
	}}, a.testMail)
}

func (a *API) testMail(ctx context.Context, c *call, _ *struct{}) (*mailSampleOutput, error) {
	if a.SendMail == nil {
		return nil, keyturn.Errorf(keyturn.KindConfiguration, "this process is not configured to send e-mails")
	}
	message, sample, err := a.sampleMail(ctx, c, true)
	if err != nil {
		return nil, err
	}
	if wait := a.TestMails.Failed(c.r); wait > 0 {
		return nil, a.tooMany(c, wait, "too many e-mails were sent from this address to try them: wait")
	}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	if err := a.SendMail(ctx, message); err != nil {
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "the e-mail did not go out (%s): look at the mail server's log",
			keyturn.KindOf(err))
	}
	sample.Sent = true
	return &mailSampleOutput{Body: sample}, nil
}

// sampleMail makes the e-mail that a request asks for.
func (a *API) sampleMail(ctx context.Context, c *call, toSend bool) (message mail.Message, out keyturn.MailSample,
	err error,
) {
	var body keyturn.MailSampleRequest
	if _, err := decodeBody(c, maxSmallBody, false, &body); err != nil {
		return message, out, err
	}
	if err := body.Check(toSend, mail.CheckAddress); err != nil {
		return message, out, err
	}
	if a.RenderSample == nil {
		return message, out, keyturn.Errorf(keyturn.KindConfiguration, "this process is not configured to render e-mails")
	}
	s := activities.Sample{
		Kind: cmp.Or(body.Kind, keyturn.SampleKeys), Product: activities.SampleProduct(), Locale: body.Locale,
		To: cmp.Or(body.Email, "jean@buyer.example"), ID: "sample-" + uuid.NewString(), Now: time.Now(),
	}
	if body.ProductID != "" {
		if !c.client.Prefix.Covers(body.ProductID) {
			return message, out, keyturn.Errorf(keyturn.KindNotFound, "there is no such product in the catalog")
		}
		if s.Product, err = a.DB.Product(ctx, body.ProductID); err != nil {
			return message, out, err
		}
	}
	if s.Shop, err = a.DB.Shop(ctx); err != nil {
		return message, out, err
	}
	if message, err = a.RenderSample(s); err != nil {
		return message, out, err
	}
	parts, err := message.Parts()
	return message, keyturn.MailSample{
		Kind: s.Kind, From: parts.From, ReplyTo: parts.ReplyTo, To: s.To, Subject: parts.Subject, Text: parts.Text,
		HTML: parts.HTML,
	}, err
}

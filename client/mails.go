package client

import (
	"context"

	"keyturn.dev/keyturn"
)

// PreviewMail shows an e-mail to a customer with invented data. KindNotFound for an unknown product.
func (c *Client) PreviewMail(ctx context.Context, r keyturn.MailSampleRequest) (keyturn.MailSample, error) {
	var out keyturn.MailSample
	_, err := c.post(ctx, "/v1/mails/preview", nil, r, &out)
	return out, err
}

// TestMail sends what PreviewMail shows to the request's address. Sending twice sends two e-mails.
func (c *Client) TestMail(ctx context.Context, r keyturn.MailSampleRequest) (keyturn.MailSample, error) {
	var out keyturn.MailSample
	_, err := c.post(ctx, "/v1/mails/test", nil, r, &out)
	return out, err
}

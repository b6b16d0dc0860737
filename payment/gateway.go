package payment

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"

	"keyturn.dev/keyturn"
)

// Gateway is a payment provider behind HTTP: a small service of the shop in front of the actual provider, or the
// payment emulator. A refund is the request
//
//	POST {URL}/refunds
//	Authorization: Bearer {Token}
//	Idempotency-Key: refund-…                    one key is one refund, for good
//	{"reference": "pay_1", "orderId": "ORD-1", "amount": "59.98", "currency": "EUR"}
//
// answered by 200 or 201 and {"id": "…"} once the money is on its way back, with the same ID for every repetition. A
// 4xx status other than 408, 409, 425 and 429 is a refusal that a person has to see. Anything else, and no answer, is
// retried.
type Gateway struct {
	URL    string // without a trailing slash
	Token  keyturn.Secret
	Client *http.Client // nil: one with a time-out of 15 s that follows no redirect
}

// gatewayClient follows no redirect: the token is for one address alone.
var gatewayClient = &http.Client{
	Timeout:       15 * time.Second,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

const maxGatewayReply = 64 << 10

// Refund is Provider.Refund.
func (g Gateway) Refund(ctx context.Context, r Refund) (string, error) {
	body, err := json.Marshal(map[string]string{
		"reference": r.Reference, "orderId": r.OrderID, "amount": r.Amount.String(), "currency": r.Amount.Currency,
	})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/refunds", bytes.NewReader(body))
	if err != nil {
		return "", keyturn.Errorf(keyturn.KindConfiguration, "the payment provider's address cannot be used: %w", err)
	}
	// net/http sends a request with this key again by itself when a connection breaks. Each attempt is booked first, so
	// there is one; without GetBody it cannot.
	req.GetBody = nil
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", r.IdempotencyKey)
	if g.Token != "" {
		req.Header.Set("Authorization", "Bearer "+g.Token.Reveal())
	}
	client := g.Client
	if client == nil {
		client = gatewayClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", keyturn.Errorf(keyturn.KindUnavailable, "the payment provider did not answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxGatewayReply))
	if err != nil {
		return "", keyturn.Errorf(keyturn.KindUnavailable, "the payment provider stopped in the middle of its answer: %w",
			err)
	}
	return readRefund(resp.StatusCode, text)
}

func readRefund(status int, text []byte) (string, error) {
	switch {
	case status == http.StatusOK || status == http.StatusCreated:
	case status == http.StatusRequestTimeout || status == http.StatusConflict ||
		status == http.StatusTooEarly || status == http.StatusTooManyRequests:
		return "", keyturn.Errorf(keyturn.KindUnavailable, "the payment provider answered %d: later", status)
	case status >= 400 && status < 500:
		return "", keyturn.Errorf(keyturn.KindRejected, "the payment provider answered %d: it refuses this refund", status)
	default:
		return "", keyturn.Errorf(keyturn.KindUnavailable, "the payment provider answered %d", status)
	}
	var answer struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || !keyturn.ValidID(answer.ID) {
		return "", keyturn.Errorf(keyturn.KindUnavailable, "the payment provider answered %d without an ID of the refund",
			status)
	}
	return answer.ID, nil
}

// ParseGateway reads https://:token@pay.example.com/base. Plain HTTP is for development.
func ParseGateway(text string, production bool) (Gateway, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" {
		return Gateway{}, keyturn.Errorf(keyturn.KindInvalid, "must look like https://:token@pay.example.com")
	}
	if production && u.Scheme != "https" {
		return Gateway{}, keyturn.Errorf(keyturn.KindInvalid, "must use https://: it carries a token")
	}
	token, _ := u.User.Password()
	u.User = nil
	for len(u.Path) > 0 && u.Path[len(u.Path)-1] == '/' {
		u.Path = u.Path[:len(u.Path)-1]
	}
	return Gateway{URL: u.String(), Token: keyturn.Secret(token)}, nil
}

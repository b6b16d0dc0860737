// Package client speaks to Keyturn's HTTP API. It depends on package keyturn, which has the documents that both sides
// exchange, and on nothing of the server.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

// Client speaks to the API. Its errors are of *keyturn.Error, with the kind and the fields that the API named;
// KindUnavailable when it does not answer.
type Client struct {
	BaseURL string
	Token   string
	HTTP    *http.Client // nil: one that waits a minute for the beginning of an answer
}

var defaultHTTP = &http.Client{Transport: func() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is documented to be one
	t.ResponseHeaderTimeout = time.Minute
	return t
}()}

// maxAnswer bounds what the client keeps of an answer; the largest is an order of ten thousand lines.
const maxAnswer = 64 << 20

// request is one call of the API.
type request struct {
	method, path string
	query        url.Values
	header       http.Header
	body         io.Reader
	contentType  string
}

// do sends a request and decodes the answer into out, unless it is nil.
func (c *Client) do(ctx context.Context, r request, out any) (http.Header, error) {
	res, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "the response of %s was cut off: %w", c.BaseURL, err)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			return nil, keyturn.Errorf(keyturn.KindUnavailable,
				"%s sent a response that is not Keyturn's: check the address: %w", c.BaseURL, err)
		}
	}
	return res.Header, nil
}

// send gives the answer if it is a success. The caller closes its body.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	address := strings.TrimRight(c.BaseURL, "/") + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, r.body)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindInvalid, "the API address %q is not valid: %w", c.BaseURL, err)
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if r.body != nil {
		req.Header.Set("Content-Type", r.contentType)
	}
	client := c.HTTP
	if client == nil {
		client = defaultHTTP
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindUnavailable,
			"the API at %s does not answer: check that it is running and that the address is right: %w", c.BaseURL, err)
	}
	if res.StatusCode < http.StatusMultipleChoices {
		return res, nil
	}
	defer res.Body.Close()
	return nil, c.problem(res)
}

// problem turns a failure into an error.
func (c *Client) problem(res *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20)) // what is there is looked at
	var p keyturn.Problem
	if json.Unmarshal(text, &p) == nil {
		if err, ok := p.Err(); ok {
			return err
		}
	}
	return keyturn.Errorf(keyturn.KindUnavailable, "%s responded %s, which is not Keyturn's: check the address", c.BaseURL,
		res.Status)
}

func jsonBody(v any) (io.Reader, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode a request: %w", err)
	}
	return &b, nil
}

// post sends a document and decodes the answer.
func (c *Client) post(ctx context.Context, path string, header http.Header, in, out any) (http.Header, error) {
	body, err := jsonBody(in)
	if err != nil {
		return nil, err
	}
	return c.do(ctx, request{
		method: http.MethodPost, path: path, header: header, body: body,
		contentType: "application/json",
	}, out)
}

func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	_, err := c.do(ctx, request{method: http.MethodGet, path: path, query: query}, out)
	return err
}

// at makes a path of names, each escaped.
func at(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// Health says whether the API can accept orders. An API that cannot is KindUnavailable.
func (c *Client) Health(ctx context.Context) (keyturn.Health, error) {
	var h keyturn.Health
	return h, c.get(ctx, "/readyz", nil, &h)
}

// Progress reports how many bytes of a stream were read so far, at each piece.
func Progress(r io.Reader, report func(read int64)) io.Reader {
	return &progressReader{r: r, report: report}
}

type progressReader struct {
	r      io.Reader
	n      int64
	report func(int64)
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	p.report(p.n)
	return n, err
}

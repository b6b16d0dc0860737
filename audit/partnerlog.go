package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"time"

	"keyturn.dev/keyturn"
)

// PartnerCall is one request as a partner saw it. Keys are the fingerprints of what it issued: the keys themselves are
// dropped as they are read.
type PartnerCall struct {
	Time          time.Time
	Partner       string
	FulfillmentID string
	Op            string
	OrderID       string
	Host          string // that it was called by; a partner that moved has another; "": the log does not say
	BodySHA256    string
	Issued        [][]byte
}

// PartnerLog shows what a partner was asked.
type PartnerLog interface {
	Calls(ctx context.Context, fingerprint func(key string) []byte) ([]PartnerCall, error)
}

// OpenPartnerLog finds a log of the partner emulator: its file of JSON lines, or the address that serves it
// (http://127.0.0.1:8090/_emulator/log).
func OpenPartnerLog(at string) (PartnerLog, error) {
	if u, err := url.Parse(at); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return jsonLines{open: func(ctx context.Context) (io.ReadCloser, error) {
			text, err := fetch(ctx, at)
			return io.NopCloser(bytes.NewReader(text)), err
		}}, nil
	}
	if _, err := os.Stat(at); err != nil {
		return nil, keyturn.Errorf(keyturn.KindInvalid,
			"the partner's log must be a file of JSON lines or an address, not %s: %w", at, err)
	}
	return jsonLines{open: func(context.Context) (io.ReadCloser, error) { return os.Open(at) }}, nil
}

type jsonLines struct {
	open func(context.Context) (io.ReadCloser, error)
}

// Calls reads the log. A last line without its end is still being written: it was not answered yet.
func (l jsonLines) Calls(ctx context.Context, fingerprint func(string) []byte) ([]PartnerCall, error) {
	file, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var out []PartnerCall
	in := bufio.NewReader(file)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		var e struct {
			Time          time.Time `json:"ts"`
			Partner       string    `json:"partner"`
			FulfillmentID string    `json:"fulfillmentId"`
			Op            string    `json:"op"`
			OrderID       string    `json:"orderId"`
			Host          string    `json:"host"`
			BodySHA256    string    `json:"bodySha256"`
			KeyIssued     string    `json:"keyIssued"`
			Keys          []string  `json:"keys"`
			Effect        string    `json:"effect"`
		}
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, keyturn.Errorf(keyturn.KindInvalid, "line %d of the partner's log is no JSON", n)
		}
		c := PartnerCall{
			Time: e.Time, Partner: e.Partner, FulfillmentID: e.FulfillmentID, Op: e.Op, OrderID: e.OrderID,
			Host: e.Host, BodySHA256: e.BodySHA256,
		}
		if e.Effect == "issued" {
			if len(e.Keys) == 0 && e.KeyIssued != "" {
				e.Keys = []string{e.KeyIssued}
			}
			for _, key := range e.Keys {
				if clean, err := keyturn.CleanKey(key); err == nil { // as it is delivered
					key = clean
				}
				c.Issued = append(c.Issued, fingerprint(key))
			}
		}
		out = append(out, c)
	}
}

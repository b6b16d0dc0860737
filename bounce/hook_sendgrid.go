package bounce

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// sendGrid is SendGrid, whose event webhook signs time and body.
type sendGrid struct{ key *ecdsa.PublicKey }

// newSendGrid takes the verification key of the event webhook. KindInvalid.
func newSendGrid(key string) (provider, error) {
	raw, err := base64.StdEncoding.DecodeString(key)
	if err == nil {
		var parsed any
		if parsed, err = x509.ParsePKIXPublicKey(raw); err == nil {
			if public, ok := parsed.(*ecdsa.PublicKey); ok {
				return sendGrid{public}, nil
			}
		}
	}
	return nil, keyturn.Errorf(keyturn.KindInvalid,
		"must have the verification key of the event webhook, as SendGrid shows it")
}

func (g sendGrid) verify(_ context.Context, r *http.Request, body []byte) error {
	const header = "X-Twilio-Email-Event-Webhook-"
	at := r.Header.Get(header + "Timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	signature, signatureErr := base64.StdEncoding.DecodeString(r.Header.Get(header + "Signature"))
	sum := sha256.Sum256(append([]byte(at), body...))
	if err != nil || signatureErr != nil || !recently(time.Unix(seconds, 0)) ||
		!ecdsa.VerifyASN1(g.key, sum[:], signature) {
		return notSigned()
	}
	return nil
}

func (g sendGrid) reports(_ context.Context, body []byte) ([]db.BounceReport, error) {
	var events []struct {
		Event  string `json:"event"`
		Email  string `json:"email"`
		SMTPID string `json:"smtp-id"`
		Status string `json:"status"`
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(body, &events); err != nil {
		return nil, notTheirs()
	}
	var out []db.BounceReport
	for _, e := range events {
		r := db.BounceReport{
			Status: submatch(statusCode, e.Status), Diagnostic: e.Reason, Recipient: e.Email, DeliveryID: mailID(e.SMTPID),
		}
		switch e.Event {
		case "bounce":
			r.Kind = kindOf("failed", r.Status)
		case "dropped": // it is on one of SendGrid's lists
			r.Kind = keyturn.BounceRefused
			if e.Reason == "Bounced Address" || e.Reason == "Invalid" {
				r.Kind = keyturn.BounceBadAddress
			}
		case "deferred":
			r.Kind = keyturn.BounceDelayed
		case "spamreport":
			r.Kind = keyturn.BounceComplaint
		default:
			continue
		}
		out = append(out, r)
	}
	return out, nil
}

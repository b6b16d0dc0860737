package notify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

// The headers of Standard Webhooks.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// Header gives the headers of a request, signed with each of the secrets as Standard Webhooks has it: HMAC-SHA256 of
// ID, time and body, so that neither can be replaced. A secret that is none signs nothing.
func Header(eventID string, at time.Time, body string, secrets []string) http.Header {
	unix := strconv.FormatInt(at.Unix(), 10)
	var signatures []string
	for _, secret := range secrets {
		key, ok := keyturn.ParseWebhookSecret(secret)
		if !ok {
			continue
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(eventID + "." + unix + "." + body))
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set(headerID, eventID)
	h.Set(headerTimestamp, unix)
	h.Set(headerSignature, strings.Join(signatures, " "))
	return h
}

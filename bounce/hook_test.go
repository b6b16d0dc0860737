package bounce

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

const secret = "0123456789abcdef"

// hooked serves the hooks of these settings.
func (s *shop) hooked(settings HookSettings) (*Hooks, *httptest.Server) {
	s.t.Helper()
	h, err := NewHooks(s.Books, settings)
	require.NoError(s.t, err)
	mux := http.NewServeMux()
	mux.Handle("POST /hooks/mail/{provider}/{secret}", h)
	server := httptest.NewServer(mux)
	s.t.Cleanup(server.Close)
	return h, server
}

// post sends a message to a hook.
func post(t *testing.T, server *httptest.Server, path string, body []byte, headers ...string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/hooks/mail/"+path,
		bytes.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	return resp.StatusCode
}

func TestHooksWithoutSettings(t *testing.T) {
	s := open(t)
	_, server := s.hooked(nil)
	for _, inlet := range keyturn.BounceInlets {
		require.Equal(t, 404, post(t, server, string(inlet)+"/"+secret, []byte(`{}`)), inlet)
	}
	_, server = s.hooked(HookSettings{keyturn.InletPostmark: secret})
	require.Equal(t, 404, post(t, server, "postmark/"+secret+"x", []byte(`{}`)))
	require.Equal(t, 404, post(t, server, "ses/"+secret, []byte(`{}`)))
	require.Equal(t, 400, post(t, server, "postmark/"+secret, []byte(`no JSON`)))
	require.Equal(t, 413, post(t, server, "postmark/"+secret, bytes.Repeat([]byte("x"), MaxMessage+1)))
	require.NotContains(t, s.logged.String(), secret)
	wrong := HookSettings{
		keyturn.InletPostmark: "short", keyturn.InletSES: secret + " more", keyturn.InletMailgun: secret,
		keyturn.InletSendGrid: secret + " nokey", keyturn.InletSMTP: secret,
	}
	for inlet, bad := range wrong {
		_, err := NewHooks(s.Books, HookSettings{inlet: bad})
		require.Equal(t, keyturn.KindInvalid, keyturn.KindOf(err), inlet)
		require.NotContains(t, err.Error(), secret)
	}
}

func TestPostmark(t *testing.T) {
	s := open(t)
	_, server := s.hooked(HookSettings{keyturn.InletPostmark: secret})
	tell := func(kind, content string) int {
		body, err := json.Marshal(map[string]any{
			"RecordType": map[bool]string{true: "SpamComplaint", false: "Bounce"}[kind == "SpamComplaint"], "ID": 42, "Type": kind,
			"TypeCode": 1, "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483", "Details": "550 unknown", "Content": content,
			"Email": "jean@buyer.test", "BouncedAt": "2026-11-30T12:00:00Z", "Inactive": true,
		})
		require.NoError(t, err)
		return post(t, server, "postmark/"+secret, body)
	}
	for kind, want := range map[string]string{
		"HardBounce": "bad_address", "Blocked": "refused", "SoftBounce": "undeliverable", "Transient": "delayed",
		"SpamComplaint": "complaint", "AutoResponder": "", "Subscribe": "", "SomethingNew": "",
	} {
		id := s.sent()
		require.Equal(t, 200, tell(kind, "Return-Path: <>\r\nX-Keyturn-Ref: "+s.DB.MailRef(id)+"\r\n\r\nSorry."), kind)
		require.Equal(t, want, s.booked(id), kind)
	}
	id := s.sent()
	require.Equal(t, 200, tell("HardBounce", string(s.report(id, "5.7.1"))))
	require.Equal(t, "refused 5.7.1", s.booked(id), "the report itself knows better")
	before := s.count(`SELECT count(*) FROM bounces`)
	require.Equal(t, 200, tell("HardBounce", ""))
	require.Equal(t, 200, tell("HardBounce", "X-Keyturn-Ref: "+ref+"\r\n\r\n"))
	require.Equal(t, before, s.count(`SELECT count(*) FROM bounces`), "about no e-mail of ours, and forged")
}

func TestMailgun(t *testing.T) {
	s := open(t)
	_, server := s.hooked(HookSettings{keyturn.InletMailgun: secret + " signing-key"})
	message := func(at time.Time, token, key, event string) []byte {
		stamp := strconv.FormatInt(at.Unix(), 10)
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(stamp + token))
		return []byte(`{"signature": {"timestamp": "` + stamp + `", "token": "` + token + `", "signature": "` +
			hex.EncodeToString(mac.Sum(nil)) + `"}, "event-data": ` + event + `}`)
	}
	failed := func(id, more string) string {
		return `{"event": "failed", "recipient": "jean@buyer.test", "message": {"headers": {"message-id": "` + id +
			`@shop.example", "to": "jean@buyer.test"}}` + more + `}`
	}
	permanent := `, "severity": "permanent", "reason": "bounce", "delivery-status": {"code": 550, "message": "5.1.1 unknown"}`
	tell := func(body []byte) int { return post(t, server, "mailgun/"+secret, body) }
	id := s.sent()
	for name, body := range map[string][]byte{
		"another key": message(time.Now(), "t1", "other", failed(id, permanent)),
		"too old":     message(time.Now().Add(-6*time.Minute), "t2", "signing-key", failed(id, permanent)),
		"the future":  message(time.Now().Add(6*time.Minute), "t3", "signing-key", failed(id, permanent)),
		"nothing":     []byte(`{}`),
		"no JSON":     []byte(`x`),
	} {
		require.Equal(t, 400, tell(body), name)
	}
	require.Empty(t, s.booked(id))
	good := message(time.Now(), "t4", "signing-key", failed(id, permanent))
	require.Equal(t, 200, tell(good))
	require.Equal(t, "bad_address 5.1.1", s.booked(id))
	require.Equal(t, 400, tell(good), "a token once")

	for event, want := range map[string]string{
		failed("ID", `, "severity": "temporary", "delivery-status": {"code": 450}`):                            "delayed",
		failed("ID", `, "severity": "permanent", "delivery-status": {"code": 550}`):                            "refused",
		failed("ID", `, "severity": "permanent", "delivery-status": {"enhanced-code": "5.2.2"}`):               "refused 5.2.2",
		failed("ID", `, "severity": "permanent", "reason": "suppress-bounce", "delivery-status": {}`):          "bad_address",
		strings.Replace(failed("ID", ""), "failed", "complained", 1):                                           "complaint",
		strings.Replace(failed("ID", ""), "failed", "delivered", 1):                                            "",
		`{"event": "failed", "severity": "permanent", "envelope": {"sender": "bounce+REF@mail.shop.example"}}`: "refused",
	} {
		id := s.sent()
		event = strings.NewReplacer("ID", id, "REF", s.DB.MailRef(id)).Replace(event)
		require.Equal(t, 200, tell(message(time.Now(), id, "signing-key", event)), event)
		require.Equal(t, want, s.booked(id), event)
	}
}

func TestSendGrid(t *testing.T) {
	s := open(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	_, server := s.hooked(HookSettings{keyturn.InletSendGrid: secret + " " + base64.StdEncoding.EncodeToString(public)})
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tell := func(body string, at time.Time, by *ecdsa.PrivateKey) int {
		stamp := strconv.FormatInt(at.Unix(), 10)
		sum := sha256.Sum256([]byte(stamp + body))
		signature, err := ecdsa.SignASN1(rand.Reader, by, sum[:])
		require.NoError(t, err)
		const header = "X-Twilio-Email-Event-Webhook-"
		return post(t, server, "sendgrid/"+secret, []byte(body), header+"Timestamp", stamp,
			header+"Signature", base64.StdEncoding.EncodeToString(signature))
	}
	id, second := s.sent(), s.sent()
	body := `[{"event": "bounce", "type": "bounce", "email": "jean@buyer.test", "status": "5.1.1", "reason": "550 unknown",
		"smtp-id": "<` + id + `@shop.example>"}, {"event": "delivered", "smtp-id": "<` + second + `@shop.example>"},
		{"event": "spamreport", "smtp-id": "<` + second + `@shop.example>"}, {"event": "bounce", "smtp-id": "<x@y>"}]`
	require.Equal(t, 400, tell(body, time.Now(), other), "another key")
	require.Equal(t, 400, tell(body, time.Now().Add(-time.Hour), key), "too old")
	require.Equal(t, 400, post(t, server, "sendgrid/"+secret, []byte(body)), "no signature")
	require.Empty(t, s.booked(id))
	for range 2 {
		require.Equal(t, 200, tell(body, time.Now(), key))
	}
	require.Equal(t, "bad_address 5.1.1", s.booked(id))
	require.Equal(t, "complaint", s.booked(second))
	for event, want := range map[string]string{
		`{"event": "dropped", "reason": "Bounced Address", "smtp-id": "<ID@x.y>"}`:         "bad_address",
		`{"event": "dropped", "reason": "Spam Reporting Address", "smtp-id": "<ID@x.y>"}`:  "refused",
		`{"event": "deferred", "smtp-id": "<ID@x.y>"}`:                                     "delayed",
		`{"event": "bounce", "type": "blocked", "status": "5.7.1", "smtp-id": "<ID@x.y>"}`: "refused 5.7.1",
	} {
		id := s.sent()
		require.Equal(t, 200, tell("["+strings.ReplaceAll(event, "ID", id)+"]", time.Now(), key))
		require.Equal(t, want, s.booked(id), event)
	}
}

// sns answers as the servers of SNS do, and notes what it is asked for.
type sns struct {
	cert  []byte
	down  bool
	asked []string
}

func (s *sns) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked = append(s.asked, r.URL.String())
	if s.down {
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Body: io.NopCloser(bytes.NewReader(s.cert)), Request: r,
	}, nil
}

func certificate(t *testing.T, ends time.Time) (*rsa.PrivateKey, []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sns.amazonaws.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: ends,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestSES(t *testing.T) {
	s := open(t)
	key, cert := certificate(t, time.Now().Add(time.Hour))
	hooks, server := s.hooked(HookSettings{keyturn.InletSES: secret})
	amazon := &sns{cert: cert}
	hooks.providers[keyturn.InletSES].provider.(*ses).client.Transport = amazon
	const at = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-01.pem"
	send := func(m snsMessage, by *rsa.PrivateKey) int {
		m.MessageId, m.TopicArn, m.Timestamp, m.SignatureVersion = "1", "arn:aws:sns:x", "2026-11-30T12:00:00.000Z", "2"
		if m.SigningCertURL == "" {
			m.SigningCertURL = at
		}
		sum := sha256.Sum256([]byte(m.signed()))
		signature, err := rsa.SignPKCS1v15(nil, by, 5, sum[:]) // SHA-256
		require.NoError(t, err)
		m.Signature = base64.StdEncoding.EncodeToString(signature)
		body, err := json.Marshal(m)
		require.NoError(t, err)
		return post(t, server, "ses/"+secret, body)
	}
	notify := func(text string) snsMessage { return snsMessage{Type: "Notification", Message: text} }
	id := s.sent()
	bounced := strings.ReplaceAll(`{"notificationType": "Bounce", "mail": {"source": "bounce+REF@mail.shop.example",
		"headers": [{"name": "Subject", "value": "x"}]}, "bounce": {"bounceType": "Permanent", "bounceSubType": "General",
		"bouncedRecipients": [{"emailAddress": "jean@buyer.test", "action": "failed", "status": "5.1.1",
		"diagnosticCode": "smtp; 550 5.1.1 user unknown"}]}}`, "REF", s.DB.MailRef(id))
	other, _ := certificate(t, time.Now().Add(time.Hour))
	amazon.down = true
	require.Equal(t, 503, send(notify(bounced), key), "it is to be sent again: SNS gives up what is answered 400")
	amazon.down, amazon.asked = false, nil
	require.Equal(t, 400, send(notify(bounced), other), "signed by somebody else")
	for _, evil := range []string{
		"https://sns.evil.com/x.pem", "http://sns.eu-west-1.amazonaws.com/x.pem", "https://sns.eu-west-1.amazonaws.com.evil.com/x.pem",
		"https://evil@sns.eu-west-1.amazonaws.com/x.pem", "https://s3.amazonaws.com/x.pem", "https://sns.eu-west-1.amazonaws.com/x",
		"https://sns.eu-west-1.amazonaws.com:444/x.pem", "file:///etc/passwd", "",
	} {
		m := notify(bounced)
		if m.SigningCertURL = evil; evil == "" {
			m.SigningCertURL = " "
		}
		require.Equal(t, 400, send(m, key), evil)
	}
	require.Equal(t, []string{at}, amazon.asked, "nobody else is asked")
	require.Empty(t, s.booked(id))
	for range 2 {
		require.Equal(t, 200, send(notify(bounced), key))
	}
	require.Equal(t, "bad_address 5.1.1", s.booked(id))
	require.Len(t, amazon.asked, 1, "a certificate is asked for once")

	for text, want := range map[string]string{
		"Successfully validated SNS topic": "",
		`{"eventType": "Complaint", "mail": {"headers": [{"name": "X-Keyturn-Ref", "value": "REF"}]},
			"complaint": {"complaintFeedbackType": "abuse"}}`: "complaint",
		`{"notificationType": "Complaint", "mail": {"source": "b+REF@x.y"}, "complaint": {"complaintFeedbackType": "not-spam"}}`: "",
		`{"eventType": "DeliveryDelay", "mail": {"source": "b+REF@x.y"},
			"deliveryDelay": {"delayedRecipients": [{"status": "4.4.1"}]}}`: "delayed 4.4.1",
		`{"notificationType": "Bounce", "mail": {"source": "b+REF@x.y"},
			"bounce": {"bounceType": "Permanent", "bounceSubType": "Suppressed"}}`: "bad_address",
		`{"notificationType": "Bounce", "mail": {"source": "b+REF@x.y"}, "bounce": {"bounceType": "Transient"}}`: "undeliverable",
		`{"notificationType": "Delivery", "mail": {"source": "b+REF@x.y"}}`:                                      "",
	} {
		id := s.sent()
		require.Equal(t, 200, send(notify(strings.ReplaceAll(text, "REF", s.DB.MailRef(id))), key), text)
		require.Equal(t, want, s.booked(id), text)
	}
	confirm := snsMessage{
		Type: "SubscriptionConfirmation", Token: "t", Message: "confirm",
		SubscribeURL: "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t",
	}
	amazon.down = true
	require.Equal(t, 503, send(confirm, key))
	require.NotContains(t, s.logged.String(), "Token=t")
	amazon.down = false
	require.Equal(t, 200, send(confirm, key))
	require.Equal(t, []string{confirm.SubscribeURL, confirm.SubscribeURL}, amazon.asked[1:])
	confirm.SubscribeURL = "https://internal.example/delete"
	require.Equal(t, 200, send(confirm, key))
	require.Len(t, amazon.asked, 3, "no other server is asked")
}

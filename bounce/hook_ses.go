package bounce

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// ses is Amazon SES, which tells by SNS. SNS signs with a certificate that its own servers give.
type ses struct {
	client *http.Client

	mu    sync.Mutex
	certs map[string]*x509.Certificate // by address
}

func newSES() *ses {
	return &ses{certs: map[string]*x509.Certificate{}, client: &http.Client{
		Timeout:       5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// snsMessage is what SNS sends.
type snsMessage struct {
	Type, MessageId, TopicArn, Subject, Message, Timestamp, Token, SubscribeURL string //nolint:staticcheck // SNS' names
	SignatureVersion, Signature, SigningCertURL                                 string
}

// signed is the text that SNS signs.
func (m snsMessage) signed() string {
	fields := [][2]string{{"Message", m.Message}, {"MessageId", m.MessageId}}
	if m.Type == "Notification" {
		if m.Subject != "" {
			fields = append(fields, [2]string{"Subject", m.Subject})
		}
		fields = append(fields, [2]string{"Timestamp", m.Timestamp})
	} else {
		fields = append(fields, [2]string{"SubscribeURL", m.SubscribeURL}, [2]string{"Timestamp", m.Timestamp},
			[2]string{"Token", m.Token})
	}
	fields = append(fields, [2]string{"TopicArn", m.TopicArn}, [2]string{"Type", m.Type})
	var out strings.Builder
	for _, f := range fields {
		out.WriteString(f[0] + "\n" + f[1] + "\n")
	}
	return out.String()
}

func (s *ses) verify(ctx context.Context, _ *http.Request, body []byte) error {
	var m snsMessage
	if err := json.Unmarshal(body, &m); err != nil {
		return notSigned()
	}
	algorithm := map[string]x509.SignatureAlgorithm{"1": x509.SHA1WithRSA, "2": x509.SHA256WithRSA}[m.SignatureVersion]
	signature, err := base64.StdEncoding.DecodeString(m.Signature)
	if err != nil || algorithm == 0 {
		return notSigned()
	}
	cert, err := s.certificate(ctx, m.SigningCertURL)
	if err != nil {
		return err
	}
	now := time.Now()
	if now.Before(cert.NotBefore) || now.After(cert.NotAfter) ||
		cert.CheckSignature(algorithm, []byte(m.signed()), signature) != nil {
		return notSigned()
	}
	return nil
}

// snsHost are the servers of SNS, which alone are believed and asked.
var snsHost = regexp.MustCompile(`^sns\.[a-z0-9-]{3,30}\.amazonaws\.com(\.cn)?$`)

func ofSNS(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https" && u.User == nil && snsHost.MatchString(u.Host)
}

// maxCerts bounds the certificates in memory: SNS has one a region, and another now and then.
const maxCerts = 20

// certificate gives the certificate at an address of SNS.
func (s *ses) certificate(ctx context.Context, address string) (*x509.Certificate, error) {
	if !ofSNS(address) || !strings.HasSuffix(address, ".pem") {
		return nil, notSigned()
	}
	s.mu.Lock()
	cert, known := s.certs[address]
	s.mu.Unlock()
	if known {
		return cert, nil
	}
	text, err := s.get(ctx, address)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, notSigned()
	}
	if cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, notSigned()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.certs) >= maxCerts {
		clear(s.certs)
	}
	s.certs[address] = cert
	return cert, nil
}

// get asks a server of SNS.
func (s *ses) get(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, notSigned()
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "SNS does not answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, keyturn.Errorf(keyturn.KindUnavailable, "SNS answers %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxPart))
}

// sesMessage is what SES tells, as a notification or as an event.
type sesMessage struct {
	NotificationType, EventType string
	Mail                        struct {
		Source  string
		Headers []struct{ Name, Value string }
	}
	Bounce struct {
		BounceType, BounceSubType string
		BouncedRecipients         []struct{ EmailAddress, Action, Status, DiagnosticCode string }
	}
	Complaint struct {
		ComplaintFeedbackType string
		ComplainedRecipients  []struct{ EmailAddress string }
	}
	DeliveryDelay struct {
		DelayedRecipients []struct{ EmailAddress, Status, DiagnosticCode string }
	}
}

func (s *ses) reports(ctx context.Context, body []byte) ([]db.BounceReport, error) {
	var m snsMessage
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, notTheirs()
	}
	if m.Type == "SubscriptionConfirmation" && ofSNS(m.SubscribeURL) { // whoever made it knows the hook's secret
		_, err := s.get(ctx, m.SubscribeURL)
		return nil, err
	}
	if m.Type != "Notification" {
		return nil, nil
	}
	var told sesMessage
	if err := json.Unmarshal([]byte(m.Message), &told); err != nil {
		return nil, nil //nolint:nilerr // a text that SNS sends when the topic is set up
	}
	r := told.report()
	if r.Kind == "" {
		return nil, nil
	}
	texts := []string{told.Mail.Source}
	for _, h := range told.Mail.Headers {
		if naming[strings.ToLower(h.Name)] {
			texts = append(texts, h.Value)
		}
	}
	r.Refs = refsIn(texts...)
	return []db.BounceReport{r}, nil
}

// report is what is told of the one recipient.
func (m sesMessage) report() (r db.BounceReport) {
	switch m.NotificationType + m.EventType {
	case "Complaint":
		if r.Kind = keyturn.BounceComplaint; m.Complaint.ComplaintFeedbackType == "not-spam" {
			r.Kind = ""
		}
	case "DeliveryDelay":
		r.Kind = keyturn.BounceDelayed
		if to := m.DeliveryDelay.DelayedRecipients; len(to) > 0 {
			r.Recipient, r.Status, r.Diagnostic = to[0].EmailAddress, submatch(statusCode, to[0].Status), to[0].DiagnosticCode
		}
	case "Bounce":
		action := "failed"
		if to := m.Bounce.BouncedRecipients; len(to) > 0 {
			r.Recipient, r.Status = to[0].EmailAddress, submatch(statusCode, to[0].Status)
			r.Diagnostic = afterType(to[0].DiagnosticCode)
			if to[0].Action != "" {
				action = to[0].Action
			}
		}
		r.Kind = m.kind(action, r.Status)
	}
	return r
}

// kind is what SES makes of a report, where that says nothing itself.
func (m sesMessage) kind(action, status string) keyturn.BounceKind {
	switch {
	case status != "":
		return kindOf(strings.ToLower(action), status)
	case m.Bounce.BounceType == "Permanent" &&
		(m.Bounce.BounceSubType == "NoEmail" || strings.HasSuffix(m.Bounce.BounceSubType, "uppressed") ||
			m.Bounce.BounceSubType == "OnAccountSuppressionList"):
		return keyturn.BounceBadAddress
	case m.Bounce.BounceType == "Permanent":
		return keyturn.BounceRefused
	case m.Bounce.BounceType == "Transient":
		return keyturn.BounceUndeliverable
	}
	return keyturn.BounceUnknown
}

package bounce

import (
	"context"
	"encoding/json"
	"net/http"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// postmark is Postmark. It signs nothing: the secret in the hook's address is all there is. What it calls bounces has
// no header of ours, so that its setting "Include bounce content in webhook" must be on.
type postmark struct{}

func (postmark) verify(context.Context, *http.Request, []byte) error { return nil }

// postmarkKinds are its types; those that are not here tell of nothing that went wrong.
var postmarkKinds = map[string]keyturn.BounceKind{
	"HardBounce": keyturn.BounceBadAddress, "BadEmailAddress": keyturn.BounceBadAddress,
	"SpamNotification": keyturn.BounceRefused, "Blocked": keyturn.BounceRefused, "VirusNotification": keyturn.BounceRefused,
	"DMARCPolicy": keyturn.BounceRefused, "ManuallyDeactivated": keyturn.BounceRefused,
	"SoftBounce": keyturn.BounceUndeliverable, "DnsError": keyturn.BounceUndeliverable,
	"Transient": keyturn.BounceDelayed, "SpamComplaint": keyturn.BounceComplaint, "Unknown": keyturn.BounceUnknown,
}

func (postmark) reports(_ context.Context, body []byte) ([]db.BounceReport, error) {
	var m struct {
		RecordType string
		Type       string
		Email      string
		Details    string
		Content    string
		Metadata   map[string]string
	}
	if err := json.Unmarshal(body, &m); err != nil || m.RecordType == "" {
		return nil, notTheirs()
	}
	kind, known := postmarkKinds[m.Type]
	if m.RecordType != "Bounce" && m.RecordType != "SpamComplaint" || !known {
		return nil, nil
	}
	report, ok := Parse([]byte(m.Content))
	if !ok || !report.Kind.Lost() || kind == keyturn.BounceComplaint {
		report.Kind, report.Diagnostic, report.Recipient = kind, m.Details, m.Email
	}
	report.Refs = append(report.Refs, refsIn(m.Metadata["keyturn-ref"], m.Content)...)
	return []db.BounceReport{report}, nil
}

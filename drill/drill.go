// Package drill runs a merchant's integration through everything that a partner can do to it. The partner is the
// emulator, in this process; everything else is what Keyturn runs in production: the templates, the guarded client, the
// classification. A drill is one fulfillment: its request is rendered once and sent again, byte for byte, as a line's
// tries would be.
package drill

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/devstack/emulator"
	"keyturn.dev/keyturn/endpoint"
)

// Result is one line of the sheet.
type Result struct {
	Drill    string `json:"drill"`
	About    string `json:"about"`
	Expected string `json:"expected"`
	Happened string `json:"happened"`
	Passed   bool   `json:"passed"`
	Skipped  bool   `json:"skipped,omitempty"` // it means nothing for this integration
	Why      string `json:"why,omitempty"`     // of a failure, and what to do
}

// Sheet is what the drills found.
type Sheet struct {
	Integration string   `json:"integration"`
	Results     []Result `json:"results"`
	Passed      int      `json:"passed"`
	Failed      int      `json:"failed"`
	Skipped     int      `json:"skipped"`
}

const (
	partner = "drill"
	// timeout is short, so that the drills that wait for it are over soon.
	timeout = 3 * time.Second
	// maxReply is small, so that a reply without end is cut off well within the timeout, on a busy machine too.
	maxReply = 64 << 10
)

// Run plays all drills against an integration that passed endpoint.Check. Its addresses, timeout and networks are
// replaced by the emulator's; credentials, templates, paths, signature and error lists are what is tried. progress
// hears of each drill before it is run.
func Run(ctx context.Context, in keyturn.Integration, progress func(name string)) (*Sheet, error) {
	e := emulator.New(emulator.Config{TLSAddr: "127.0.0.1:0", ExpiredTLSAddr: "127.0.0.1:0"})
	if err := e.Start(); err != nil {
		return nil, err
	}
	defer func() { _ = e.Close() }()
	caller := endpoint.NewCaller(endpoint.Options{})
	defer caller.Close()
	r := &run{emulator: e, caller: caller}
	if err := r.point(in); err != nil {
		return nil, err
	}
	sheet := &Sheet{Integration: in.ID, Results: []Result{}}
	for _, d := range all {
		progress(d.name)
		result := Result{Drill: d.name, About: d.about, Expected: d.expected}
		if err := r.e().SetPartner(partner, r.settings); err != nil {
			return nil, err
		}
		f, err := r.fulfillment(ctx)
		if err == nil {
			err = d.play(f, &result)
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			result.Why = err.Error()
			sheet.Failed++
		case result.Skipped:
			sheet.Skipped++
		default:
			result.Passed = true
			sheet.Passed++
		}
		sheet.Results = append(sheet.Results, result)
	}
	return sheet, nil
}

// run is the emulator with the integration that points at it.
type run struct {
	emulator *emulator.Server
	caller   *endpoint.Caller
	in       keyturn.Integration
	create   keyturn.Operation // the definition that create is sent with
	own      bool              // it is the merchant's own, not Nexway's default
	settings emulator.Settings
	version  int64
}

func (r *run) e() *emulator.Server { return r.emulator }

// point makes a copy of the integration that calls the emulator, and an emulator that answers as the integration reads.
func (r *run) point(in keyturn.Integration) error {
	in = endpoint.WithDefaults(in)
	base, err := url.Parse(in.BaseURL)
	if err != nil {
		return err
	}
	for _, name := range []string{"create", "fallback"} {
		if def, ok := in.Operations[name]; ok && !r.own {
			r.create, r.own = def, true
		}
	}
	root := "/p/" + partner
	if r.own {
		root += "/custom" // any address below is the partner's
	}
	in.BaseURL, in.TestBaseURL, in.Status = r.emulator.URL()+path.Join(root, base.Path), "", ""
	in.Limits.Timeout, in.Limits.MaxReplyBytes = keyturn.Duration(timeout), maxReply
	in.AllowedNetworks = nil
	in.TLS = keyturn.TLS{}
	switch in.Auth.Type {
	case "basic":
		r.settings.Username, r.settings.Password = in.Auth.Username, keyturn.Secret(in.Auth.Password.Value)
	case "bearer":
		r.settings.Token = keyturn.Secret(in.Auth.Token.Value)
	case "oauth2ClientCredentials":
		r.settings.ClientID, r.settings.ClientSecret = in.Auth.ClientID, keyturn.Secret(in.Auth.ClientSecret.Value)
		in.Auth.TokenURL = r.emulator.URL() + "/p/" + partner + "/oauth/token"
	}
	if r.own {
		r.settings.Paths = map[string]string{}
		for _, name := range []string{
			"activationCode", "activationLink", "activationFileContent", "errorCode",
			"errorMessage", "successFlag",
		} {
			if p, ok := r.create.ResponsePaths[name]; ok {
				r.settings.Paths[name] = p.Path
			}
		}
		r.settings.ReplyFormat = r.create.ReplyFormat
		if r.settings.IDPath, err = idPath(in); err != nil {
			return err
		}
	}
	r.in = in
	if err := r.settings.Check(); err != nil {
		return keyturn.Errorf(keyturn.KindInvalid, "the emulator cannot answer in the shape of this integration: %w", err)
	}
	return nil
}

// idPath finds where the body of a create says which fulfillment it is for.
func idPath(in keyturn.Integration) (string, error) {
	d := order(uuid.NewString())
	req, err := endpoint.Render(in, "create", d)
	if err != nil {
		return "", err
	}
	var body any
	if err := json.Unmarshal(req.Body, &body); err != nil {
		return "", err
	}
	at := find(body, d.LicenseID, "")
	if at == "" {
		return "", keyturn.Errorf(keyturn.KindInvalid,
			"the body of create does not say which fulfillment it is for: a partner cannot tell a repeated request from a "+
				"new one, and issues twice; put {{.LicenseID}} into bodyTemplate")
	}
	return at, nil
}

func find(node any, text, at string) string {
	switch v := node.(type) {
	case string:
		if v == text {
			return strings.TrimPrefix(at, ".")
		}
	case map[string]any:
		for name, value := range v {
			if found := find(value, text, at+"."+name); found != "" {
				return found
			}
		}
	}
	return ""
}

// fulfillment is one line of a drill.
type fulfillment struct {
	*run
	ctx  context.Context //nolint:containedctx // of one drill
	data endpoint.Data
	req  endpoint.Request
	in   keyturn.Integration
}

func (r *run) fulfillment(ctx context.Context) (*fulfillment, error) {
	r.version++
	f := &fulfillment{run: r, ctx: ctx, in: r.in, data: order(uuid.NewString())}
	var err error
	f.req, err = endpoint.Render(f.in, "create", f.data)
	return f, err
}

// try is what became of one attempt.
type try struct {
	verdict endpoint.Verdict
	err     error
	took    time.Duration
}

// send makes one attempt with the request that was rendered first.
func (f *fulfillment) send() try {
	start := time.Now()
	reply, err := f.caller.Send(f.ctx, f.in, f.version, f.req)
	t := try{err: err, took: time.Since(start)}
	if err == nil {
		t.verdict = endpoint.Judge(f.in, "create", f.codes(), reply)
	}
	return t
}

// codes is how many codes an answer must bring: none where this integration reads none.
func (f *fulfillment) codes() int {
	if f.own && f.settings.Paths["activationCode"] == "" && f.settings.Paths["activationLink"] == "" &&
		f.settings.Paths["activationFileContent"] == "" {
		return 0
	}
	return 1
}

func (f *fulfillment) drill(name string) error { return f.emulator.SetDrill(partner, name) }

// issued are the keys that the partner made for this fulfillment.
func (f *fulfillment) issued() []string {
	for _, l := range f.emulator.Issued() {
		if l.FulfillmentID == f.data.LicenseID {
			return l.Keys
		}
	}
	return nil
}

// status is what the partner has this fulfillment's license for.
func (f *fulfillment) status() string {
	for _, l := range f.emulator.Issued() {
		if l.FulfillmentID == f.data.LicenseID {
			return l.Status
		}
	}
	return ""
}

func (t try) delivered() bool { return t.err == nil && t.verdict.Outcome == endpoint.Success }

// String says what happened in the words that operators read.
func (t try) String() string {
	switch {
	case t.err != nil:
		return fmt.Sprintf("%s: %s", keyturn.KindOf(t.err), t.err.Error())
	case t.verdict.Outcome == endpoint.Success:
		return "delivered"
	}
	return fmt.Sprintf("%s, %s: %s", t.verdict.Kind, strings.ToLower(string(t.verdict.Outcome)), t.verdict.Reason)
}

// order is a sample order for one fulfillment.
func order(id string) endpoint.Data {
	price := endpoint.Price{GrossPrice: "29.99", Currency: "EUR"}
	line := uuid.NewString()
	return endpoint.Data{
		LicenseID: id, Operation: "create", OperationExecutionID: id + "-create-0", RequestTimestamp: time.Now().UnixMilli(),
		Checkout: endpoint.Checkout{OrderID: "DRILL-1", LineItemID: line, Price: price},
		User: endpoint.User{
			ID: "user-1", Email: "ana@buyer.test", Country: "ES", Locale: "es-ES", FirstName: `Ana "Ñ"`,
			LastName: "Ruiz", City: "Sevilla", ZipCode: "41001",
		},
		Product: endpoint.Product{
			ID: "orbit-studio", Name: "Orbit Studio", PublisherProductID: "ORB-STU-1Y",
			LineItemID: line, Quantity: 1, Price: price,
		},
	}
}

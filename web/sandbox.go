package web

import (
	"bytes"
	"context"
	_ "embed"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/internal/throttle"
)

// SandboxSessions is the sandbox processor as its page needs it (payment.Sandbox).
type SandboxSessions interface {
	// Session gives the session behind an unguessable address. KindNotFound.
	Session(ctx context.Context, token string) (keyturn.SandboxSession, error)
	// Act does what a visitor chooses. KindRejected: the payment is declined, and the session stays open.
	Act(ctx context.Context, token string, a keyturn.SandboxAction) (keyturn.SandboxSession, error)
}

// SandboxConfig holds what the sandbox's payment page depends on.
type SandboxConfig struct {
	Sessions SandboxSessions
	DB       *db.DB // has the shop's name
	ShopName string // where the shop has none
	Logger   *slog.Logger
	Throttle *throttle.Throttle // of wrong addresses; nil: one that trusts no proxy
}

// NewSandbox returns the handler of all paths below /sandbox/: the page on which customers of development pay. It takes
// no money, and nobody has to prove anything, so it must not be reachable in production.
func NewSandbox(c SandboxConfig) http.Handler {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Throttle == nil {
		c.Throttle = &throttle.Throttle{}
	}
	p := &sandboxPages{
		pages:    &pages{Config: Config{DB: c.DB, ShopName: c.ShopName, Logger: c.Logger, Throttle: c.Throttle}},
		sessions: c.Sessions,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sandbox/pay/{token}", p.session)
	mux.HandleFunc("POST /sandbox/pay/{token}", p.act)
	mux.HandleFunc("/sandbox/", func(w http.ResponseWriter, r *http.Request) {
		p.fail(w, r, keyturn.Errorf(keyturn.KindNotFound, "there is no such page"))
	})
	return p.guard(mux)
}

type sandboxPages struct {
	*pages

	sessions SandboxSessions
}

// session shows what is to be paid. It changes nothing but what time has brought.
func (p *sandboxPages) session(w http.ResponseWriter, r *http.Request) {
	s, err := p.sessions.Session(r.Context(), r.PathValue("token"))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.show(w, r, http.StatusOK, s, "")
}

// act does what the pressed button says, and leads back to the shop. A declined payment can be tried again.
func (p *sandboxPages) act(w http.ResponseWriter, r *http.Request) {
	token, action := r.PathValue("token"), keyturn.SandboxAction(r.PostForm.Get("action"))
	switch action {
	case keyturn.SandboxPay, keyturn.SandboxPayLate, keyturn.SandboxDecline, keyturn.SandboxCancel:
	default:
		p.refuse(w, r, http.StatusBadRequest)
		return
	}
	s, err := p.sessions.Act(r.Context(), token, action)
	switch {
	case keyturn.KindOf(err) == keyturn.KindRejected:
		message := err.Error()
		if s, err = p.sessions.Session(r.Context(), token); err != nil {
			p.fail(w, r, err)
			return
		}
		p.show(w, r, http.StatusPaymentRequired, s, message)
	case err != nil:
		p.fail(w, r, err)
	// Both addresses are those that opened the session.
	case action == keyturn.SandboxCancel && s.Status == keyturn.AtProcessorOpen:
		http.Redirect(w, r, s.BackURL, http.StatusSeeOther)
	default:
		http.Redirect(w, r, s.ReturnURL, http.StatusSeeOther)
	}
}

//go:embed sandbox.html
var sandboxHTML string

var sandboxTemplate = template.Must(template.New("sandbox").Option("missingkey=error").Parse(sandboxHTML))

type sandboxView struct {
	Shop, Nonce, Message string
	CSS                  template.CSS
	Session              keyturn.SandboxSession
	Lines                []sandboxLineView
	Total                string
	Open, Late           bool
	State                string
}

type sandboxLineView struct {
	Name, UnitPrice string
	Quantity        int
}

// sandboxStates says where a session stands that is not open.
var sandboxStates = map[keyturn.ProcessorStatus]string{
	keyturn.AtProcessorProcessing: "The payment is on its way. It has not arrived yet.",
	keyturn.AtProcessorAuthorized: "The money is reserved. Nothing has been charged yet.",
	keyturn.AtProcessorCaptured:   "This has been paid.",
	keyturn.AtProcessorVoided:     "The money is not reserved any more. Nothing was charged.",
	keyturn.AtProcessorExpired:    "This session has ended. Nothing was charged.",
	keyturn.AtProcessorFailed:     "The payment has failed. Nothing was charged.",
}

func (p *sandboxPages) show(w http.ResponseWriter, r *http.Request, status int, s keyturn.SandboxSession,
	message string,
) {
	date := wordsFor("en").date
	v := sandboxView{
		Shop: p.readShop(r.Context()).Name, Nonce: nonceOf(r), CSS: template.CSS(pageCSS), //nolint:gosec // our own file
		Session: s, Total: date.money(s.Total).Text, Open: s.Status == keyturn.AtProcessorOpen,
		Late: s.AuthorizeAs != keyturn.CaptureWhenObtained, State: sandboxStates[s.Status], Message: message,
	}
	for _, l := range s.Lines {
		price, _ := keyturn.ParseMoney(l.UnitPrice, s.Total.Currency) // it was written by Money.String
		v.Lines = append(v.Lines, sandboxLineView{Name: l.Name, UnitPrice: date.money(price).Text, Quantity: l.Quantity})
	}
	var out bytes.Buffer
	if err := sandboxTemplate.Execute(&out, v); err != nil {
		p.Logger.Error("the sandbox's page could not be made", "kind", string(keyturn.KindInternal), "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	// Browsers apply form-action to where a form's answer leads, too, which is back to the shop.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+v.Nonce+"'; form-action 'self'"+
		originOf(s.ReturnURL)+originOf(s.BackURL)+"; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", "en")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // a reader who left does not matter
}

// originOf is the origin of an address as a source of a content policy, with a space before it.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return " " + u.Scheme + "://" + u.Host
}

package stripe

import (
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

//go:embed page.html
var pageHTML string

//go:embed control.html
var controlHTML string

var (
	pageTemplate    = template.Must(template.New("page").Parse(pageHTML))
	controlTemplate = template.Must(template.New("control").Parse(controlHTML))
)

// pageHandler serves the hosted payment page, on an origin of its own as Stripe does, and beside it a page for what
// people do in Stripe's dashboard and for the clock. Forms of other sites are refused.
func (s *Server) pageHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /c/pay/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.showPage(w, r.PathValue("id"), "")
	})
	mux.HandleFunc("POST /c/pay/{id}", s.postPage)
	mux.HandleFunc("GET /{$}", s.showControl)
	mux.HandleFunc("POST /{$}", s.postControl)
	mux.HandleFunc("GET /books", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		b := s.Books()
		_, _ = w.Write(marshal(object{"sessions": b.Sessions, "payments": b.Payments, "refunds": b.Refunds}))
	})
	return http.NewCrossOriginProtection().Handler(mux)
}

// shown is what the page shows of a session.
type shown struct {
	ID, Email, Total, Trouble, CancelURL string
	Open, Card, Debit, Manual            bool
	Lines                                []shownLine
	Numbers                              []number
}

type shownLine struct {
	Name, Price string
	Quantity    int64
}

type number struct{ Number, Says string }

var cardNumbers = []number{
	{CardGood, "is accepted"},
	{CardDeclined, "is declined"},
	{CardNoFunds, "has insufficient funds"},
	{CardDisputed, "is disputed as soon as it is charged"},
	{CardInquiry, "brings an inquiry"},
	{CardFraudWarning, "brings an early fraud warning"},
	{CardRefundLate, "its refunds take five minutes"},
	{CardRefundFails, "its refunds fail after an hour"},
}

func amountText(amount int64, currency string) string {
	if slices.Contains(zeroDecimal, currency) {
		return fmt.Sprintf("%d %s", amount, strings.ToUpper(currency))
	}
	digits := int64(100)
	width := 2
	if slices.Contains(threeDecimal, currency) {
		digits, width = 1000, 3
	}
	return fmt.Sprintf("%d.%0*d %s", amount/digits, width, amount%digits, strings.ToUpper(currency))
}

func (s *Server) showPage(w http.ResponseWriter, id, trouble string) {
	s.mu.Lock()
	s.passTime()
	r, ok := s.state.byID[id].(*session)
	if !ok {
		s.mu.Unlock()
		http.Error(w, "There is no such session.", http.StatusNotFound)
		return
	}
	v := shown{
		ID: r.ID, Email: r.Email, Total: amountText(r.Total, r.Currency), Trouble: trouble, CancelURL: r.CancelURL,
		Open: r.Status == "open", Card: slices.Contains(r.methods(), "card"),
		Debit: slices.Contains(r.methods(), "sepa_debit"), Manual: r.CaptureMethod == "manual", Numbers: cardNumbers,
	}
	for _, l := range r.Lines {
		v.Lines = append(v.Lines, shownLine{l.Name, amountText(l.UnitAmount, r.Currency), l.Quantity})
	}
	s.mu.Unlock()
	render(w, pageTemplate, v)
}

func render(w http.ResponseWriter, t *template.Template, v any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_ = t.Execute(w, v)
}

// postPage pays by the means of payment that the form names: card, sepa_debit.
func (s *Server) postPage(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, longestForm)
	back, err := s.Pay(r.PathValue("id"), Method{Kind: r.FormValue("method"), Number: r.FormValue("number")})
	switch {
	case errors.Is(err, ErrDeclined), keyturn.KindOf(err) == keyturn.KindConflict:
		s.showPage(w, r.PathValue("id"), err.Error())
	case err != nil:
		http.Error(w, err.Error(), http.StatusNotFound)
	default:
		http.Redirect(w, r, back, http.StatusSeeOther)
	}
}

func (s *Server) showControl(w http.ResponseWriter, _ *http.Request) {
	b := s.Books()
	slices.Reverse(b.Payments)
	slices.Reverse(b.Sessions)
	render(w, controlTemplate, map[string]any{
		"Now": s.Now().UTC().Format(time.RFC3339), "Payments": b.Payments[:min(len(b.Payments), 50)],
		"Sessions": b.Sessions[:min(len(b.Sessions), 50)],
	})
}

// postControl does what a button of the control page says.
func (s *Server) postControl(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, longestForm)
	var err error
	switch id := r.FormValue("payment"); r.FormValue("do") {
	case "advance":
		var by time.Duration
		if by, err = time.ParseDuration(r.FormValue("by")); err == nil {
			s.Advance(by)
		}
	case "dispute":
		_, err = s.Dispute(id)
	case "win", "lose":
		err = s.CloseDispute(r.FormValue("dispute"), r.FormValue("do") == "win")
	case "warn":
		err = s.Warn(id)
	case "refund":
		_, err = s.Refund(id, 1<<60)
	case "cancel":
		err = s.Cancel(id)
	default:
		err = errors.New("there is no such button")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

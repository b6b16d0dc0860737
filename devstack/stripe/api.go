package stripe

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// call is a request under way.
type call struct {
	*Server

	id        string // in its path
	args      args
	expand    []string
	key       string // of idempotency
	requestID string
	fault     Fault
}

// route is one thing that the API does.
type route struct {
	operation string // as faults and restricted keys name it
	method    string
	path      string // as a pattern of http.ServeMux
	takes     params
	do        func(*call) (object, *apiError)
}

var routes = []route{
	{"checkout.session.create", http.MethodPost, "/v1/checkout/sessions", sessionParams, (*call).createSession},
	{"checkout.session.list", http.MethodGet, "/v1/checkout/sessions", listParams(params{
		"payment_intent": {}, "status": oneOf("complete", "expired", "open"),
	}), (*call).listSessions},
	{"checkout.session.retrieve", http.MethodGet, "/v1/checkout/sessions/{id}", nil, (*call).retrieveSession},
	{"checkout.session.line_items", http.MethodGet, "/v1/checkout/sessions/{id}/line_items", params{
		"limit": {kind: integer}, "starting_after": {}, "ending_before": {},
	}, (*call).listLineItems},
	{"checkout.session.expire", http.MethodPost, "/v1/checkout/sessions/{id}/expire", nil, (*call).endSession},
	{"payment_intent.list", http.MethodGet, "/v1/payment_intents", listParams(nil), (*call).listIntents},
	{"payment_intent.retrieve", http.MethodGet, "/v1/payment_intents/{id}", nil, (*call).retrieveIntent},
	{"payment_intent.capture", http.MethodPost, "/v1/payment_intents/{id}/capture", params{
		"amount_to_capture": {kind: integer}, "final_capture": {kind: boolean}, "metadata": {kind: metadata},
	}, (*call).captureIntent},
	{"payment_intent.cancel", http.MethodPost, "/v1/payment_intents/{id}/cancel", params{
		"cancellation_reason": oneOf("abandoned", "duplicate", "fraudulent", "requested_by_customer"),
	}, (*call).cancelIntent},
	{"charge.list", http.MethodGet, "/v1/charges", listParams(params{"payment_intent": {}}), (*call).listCharges},
	{"charge.retrieve", http.MethodGet, "/v1/charges/{id}", nil, (*call).retrieveCharge},
	{"refund.create", http.MethodPost, "/v1/refunds", refundParams, (*call).createRefund},
	{
		"refund.list", http.MethodGet, "/v1/refunds", listParams(params{"payment_intent": {}, "charge": {}}),
		(*call).listRefunds,
	},
	{"refund.retrieve", http.MethodGet, "/v1/refunds/{id}", nil, (*call).retrieveRefund},
	{
		"dispute.list", http.MethodGet, "/v1/disputes", listParams(params{"payment_intent": {}, "charge": {}}),
		(*call).listDisputes,
	},
	{"dispute.retrieve", http.MethodGet, "/v1/disputes/{id}", nil, (*call).retrieveDispute},
	{"dispute.update", http.MethodPost, "/v1/disputes/{id}", disputeParams, (*call).updateDispute},
	{"radar.early_fraud_warning.list", http.MethodGet, "/v1/radar/early_fraud_warnings", listParams(params{
		"payment_intent": {}, "charge": {},
	}), (*call).listWarnings},
	{
		"radar.early_fraud_warning.retrieve", http.MethodGet, "/v1/radar/early_fraud_warnings/{id}", nil,
		(*call).retrieveWarning,
	},
	{
		"event.list", http.MethodGet, "/v1/events", listParams(params{"type": {}, "types": listOf(param{})}),
		(*call).listEvents,
	},
	{"event.retrieve", http.MethodGet, "/v1/events/{id}", nil, (*call).retrieveEvent},
	{"webhook_endpoint.create", http.MethodPost, "/v1/webhook_endpoints", endpointParams(true), (*call).createEndpoint},
	{"webhook_endpoint.list", http.MethodGet, "/v1/webhook_endpoints", params{
		"limit": {kind: integer}, "starting_after": {}, "ending_before": {},
	}, (*call).listEndpoints},
	{"webhook_endpoint.retrieve", http.MethodGet, "/v1/webhook_endpoints/{id}", nil, (*call).retrieveEndpoint},
	{
		"webhook_endpoint.update", http.MethodPost, "/v1/webhook_endpoints/{id}", endpointParams(false),
		(*call).updateEndpoint,
	},
	{"webhook_endpoint.delete", http.MethodDelete, "/v1/webhook_endpoints/{id}", nil, (*call).deleteEndpoint},
	{"account.retrieve", http.MethodGet, "/v1/account", nil, (*call).retrieveAccount},
	{"balance.retrieve", http.MethodGet, "/v1/balance", nil, (*call).retrieveBalance},
}

// Operations are the names of everything that the API does, as Call and Config.Restricted use them.
func Operations() (all []string) {
	for _, r := range routes {
		all = append(all, r.operation)
	}
	return all
}

func (s *Server) apiHandler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		takes := params{"expand": listOf(param{})}
		for name, p := range r.takes {
			takes[name] = p
		}
		r.takes = takes
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) { s.serve(w, req, &r) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) { s.serve(w, req, nil) })
	return mux
}

const longestForm = 256 << 10

// serve answers a request: whoever asks and what for is checked, then the idempotency key, then it is carried out.
func (s *Server) serve(w http.ResponseWriter, req *http.Request, r *route) {
	x := Exchange{
		Method: req.Method, Path: req.URL.Path, Query: req.URL.RawQuery, Version: req.Header.Get("Stripe-Version"),
		Key: req.Header.Get("Idempotency-Key"), RequestID: newID("req_"),
	}
	form, err := io.ReadAll(http.MaxBytesReader(w, req.Body, longestForm))
	if err != nil {
		return // whoever asked left, or sends no form
	}
	x.Form = string(form)
	refused := s.admit(req, r)
	if refused != nil {
		s.answer(w, &x, answerOf(s, refused), Fault(""))
		return
	}
	x.Operation = r.operation
	fault := s.faultOf(&x)
	if before := fault.instead(); before != nil {
		s.answer(w, &x, answerOf(s, before), fault)
		return
	}
	switch fault {
	case Never: // it never arrives
		<-s.leaves(req)
		panic(http.ErrAbortHandler)
	case Late: // it arrives when whoever asked has left
		release, refused := s.begin(&x)
		<-s.leaves(req)
		if refused == nil {
			a := s.carryOut(&x, r, req.PathValue("id"), fault)
			release()
			x.Status, x.Response = a.Status, a.Body
			s.keep(x)
		}
		panic(http.ErrAbortHandler)
	default:
	}
	release, refused := s.begin(&x)
	if refused != nil {
		s.answer(w, &x, answerOf(s, refused), fault)
		return
	}
	a := s.carryOut(&x, r, req.PathValue("id"), fault)
	release()
	s.answer(w, &x, a, fault)
}

// leaves is closed when whoever asked has left, or the server closes.
func (s *Server) leaves(req *http.Request) <-chan struct{} {
	left := make(chan struct{})
	go func() {
		defer close(left)
		select {
		case <-req.Context().Done():
		case <-s.ctx.Done():
		}
	}()
	return left
}

// admit checks who asks, and whether what is asked for exists.
func (s *Server) admit(req *http.Request, r *route) *apiError {
	key, bearer := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if user, _, basic := req.BasicAuth(); basic {
		key, bearer = user, true
	}
	denied, restricted := s.cfg.Restricted[key]
	switch {
	case !bearer || key == "":
		return &apiError{
			status: http.StatusUnauthorized, Type: invalidRequest, Message: "You did not provide an API key. You need to " +
				"provide your API key in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer " +
				"YOUR_SECRET_KEY').",
		}
	case key != s.cfg.Key && !restricted:
		return &apiError{
			status: http.StatusUnauthorized, Type: invalidRequest,
			Message: "Invalid API Key provided: " + key[:min(len(key), 8)] + "****",
		}
	case r == nil:
		return &apiError{
			status: http.StatusNotFound, Type: invalidRequest, Message: "Unrecognized request URL (" + req.Method + ": " +
				req.URL.Path + "). If you are trying to list objects, remove the trailing slash. If you are trying to " +
				"retrieve an object, make sure you passed a valid (non-empty) identifier in your code. This emulator knows " +
				"a part of Stripe's API alone.",
		}
	case slices.Contains(denied, r.operation):
		return &apiError{
			status: http.StatusForbidden, Type: invalidRequest,
			Message: "The provided key '" + key[:min(len(key), 8)] + "****' does not have the required permissions for this " +
				"endpoint on account '" + s.state.Account + "'. Having the permission for " + r.operation + " would allow this " +
				"request to continue.",
		}
	}
	if v := req.Header.Get("Stripe-Version"); v != "" && v != APIVersion {
		return refuse("", "", "Invalid Stripe API version: %s. This emulator speaks %s.", v, APIVersion)
	}
	if r.method == http.MethodPost && req.ContentLength != 0 &&
		!strings.HasPrefix(req.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return refuse("", "", "Invalid request: the body must be form-encoded.")
	}
	return nil
}

// carryOut does what a request asks for, or repeats what its idempotency key got before.
func (s *Server) carryOut(x *Exchange, r *route, id string, fault Fault) savedAnswer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passTime()
	if saved, e := s.saved(x); e != nil {
		return answerOf(s, e)
	} else if saved != nil {
		x.Replayed = true
		return *saved
	}
	form := x.Form
	if r.method == http.MethodGet {
		form = x.Query
	}
	a, e := parse(form, r.takes)
	var out object
	if e == nil {
		c := &call{
			Server: s, id: id, args: a, expand: a.texts("expand"), key: x.Key, requestID: x.RequestID,
			fault: fault,
		}
		if e = s.expandable(r, c.expand); e == nil && fault == Failed {
			e = fault.after()
		} else if e == nil {
			out, e = r.do(c)
		}
		if e == nil {
			s.expandAll(out, c.expand)
		}
		if e == nil && fault == FailedAfter {
			e = fault.after()
		}
	}
	answer := savedAnswer{Status: http.StatusOK}
	if e != nil {
		answer = answerOf(s, e)
	} else {
		answer.Body = marshal(out)
	}
	if e == nil || !e.unsaved {
		s.remember(x, answer)
	}
	return answer
}

func answerOf(s *Server, e *apiError) savedAnswer {
	return savedAnswer{Status: e.status, Body: marshal(object{"error": e.render(s)})}
}

func marshal(o object) json.RawMessage {
	text, err := json.MarshalIndent(o, "", "  ")
	if err != nil { // maps of what JSON knows can always be marshaled
		panic(err)
	}
	return text
}

// answer writes an answer, or loses it as the fault says.
func (s *Server) answer(w http.ResponseWriter, x *Exchange, a savedAnswer, fault Fault) {
	x.Status, x.Response = a.Status, a.Body
	s.keep(*x)
	if fault == Lost {
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Request-Id", x.RequestID)
	h.Set("Stripe-Version", APIVersion)
	h.Set("Date", s.Now().UTC().Format(http.TimeFormat))
	if x.Key != "" {
		h.Set("Idempotency-Key", x.Key)
	}
	if x.Replayed {
		h.Set("Idempotent-Replayed", "true")
	}
	body := []byte(a.Body)
	if fault == Cut {
		h.Set("Connection", "close")
		w.WriteHeader(a.Status)
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(body)
}

// Exchange is a request and its answer, or an event that was sent: a line of Config.Exchanges. Authorization is left
// out.
type Exchange struct {
	Time      time.Time       `json:"at"`
	Operation string          `json:"operation,omitempty"`
	Method    string          `json:"method,omitempty"`
	Path      string          `json:"path,omitempty"`
	Query     string          `json:"query,omitempty"`
	Version   string          `json:"version,omitempty"` // header Stripe-Version
	Key       string          `json:"key,omitempty"`     // header Idempotency-Key
	Form      string          `json:"form,omitempty"`
	RequestID string          `json:"requestId,omitempty"`
	Fault     Fault           `json:"fault,omitempty"`
	Replayed  bool            `json:"replayed,omitempty"` // from its idempotency key
	Status    int             `json:"status,omitempty"`   // also of an answer that is lost
	Response  json.RawMessage `json:"response,omitempty"`
	Event     json.RawMessage `json:"event,omitempty"` // of a webhook; then nothing of the above is there
}

// keep writes an exchange for whoever checks it.
func (s *Server) keep(x Exchange) {
	if s.cfg.Exchanges == nil {
		return
	}
	x.Time = time.Now().UTC()
	line, err := json.Marshal(x)
	if err != nil {
		panic(err)
	}
	s.exchangeMu.Lock()
	defer s.exchangeMu.Unlock()
	_, _ = s.cfg.Exchanges.Write(append(line, '\n'))
}

package emulator

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// call is one request to a partner on its way through the emulator.
type call struct {
	s        *Server
	p        *partner
	settings Settings // as they were when the request arrived
	w        http.ResponseWriter
	r        *http.Request
	route    route
	body     []byte
	ids      ids
	entry    Entry
	drill    drill
	left     sync.Once
}

// servePartner answers everything that is not the control page.
func (s *Server) servePartner(w http.ResponseWriter, r *http.Request) {
	rt := parseRoute(r.URL.Path)
	p, err := s.partner(rt.partner)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	c := &call{s: s, p: p, settings: p.get(), w: w, r: r, route: rt}
	if id := c.settings.Cancels[r.URL.RequestURI()]; id != "" {
		c.route.op, c.route.method, c.route.lookupID = opCancel, http.MethodPost, id
	}
	if c.route.shape == "" {
		c.route.shape = c.settings.Shape
	}
	if c.route.shape == "" {
		c.route.shape = shapeFlat
	}
	c.entry = Entry{
		Partner: p.name, Method: r.Method, URL: r.URL.RequestURI(), Host: r.Host, Op: c.route.op,
		AuthUser: c.claimedUser(),
	}
	if c.route.op == opToken {
		c.left.Do(func() {}) // not a call that limits are about
	} else {
		p.gauge.enter()
		defer c.leave()
	}
	c.serve()
}

// leave takes the call out of the gauge, once.
func (c *call) leave() { c.left.Do(c.p.gauge.leave) }

func (c *call) serve() {
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	if err != nil {
		if tooLong := new(http.MaxBytesError); !errors.As(err, &tooLong) {
			return // the caller went away in the middle of its request
		}
		c.answer(c.failure(http.StatusRequestEntityTooLarge, "BODY_TOO_LARGE", "the body is larger than 1 MiB"))
		return
	}
	if !c.s.cfg.Cheap {
		sum := sha256.Sum256(body)
		c.entry.BodySHA256 = hex.EncodeToString(sum[:])
	}
	c.body = body
	isObject := c.readIDs()
	if c.drill, err = chooseDrill(c); err != nil {
		c.answer(c.failure(http.StatusBadRequest, "UNKNOWN_DRILL", err.Error()))
		return
	}
	if c.drill.silent && c.drill.refuse != nil { // down: not even the caller's identity is looked at
		c.process()
		return
	}
	if rep := c.refuseRequest(isObject); rep != nil {
		c.answer(*rep)
		return
	}
	if !c.wait(c.latency()) {
		return // nothing was issued and nobody is there to be told
	}
	c.process()
}

func (c *call) latency() time.Duration {
	if c.settings.Latency > 0 {
		return time.Duration(c.settings.Latency)
	}
	return c.s.cfg.Latency
}

// refuseRequest is nil for a request that a partner would work on.
func (c *call) refuseRequest(isObject bool) *reply {
	var rep reply
	switch {
	case c.route.op == "":
		rep = c.failure(http.StatusNotFound, "NO_SUCH_ROUTE", "POST licenses/new, licenses/cancel, dynamic?id= and so on")
	case c.r.Method != c.route.method:
		rep = c.failure(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED", "use "+c.route.method)
		rep.header = http.Header{"Allow": {c.route.method}}
	case c.route.op == opToken:
		return nil // proves who the caller is by itself
	default:
		if refusal := c.refuseCaller(); refusal != nil {
			return refusal
		}
		return c.refuseBody(isObject)
	}
	return &rep
}

func (c *call) refuseBody(isObject bool) *reply {
	var rep reply
	switch {
	case !isObject:
		rep = c.failure(http.StatusBadRequest, "NOT_JSON", "the body must be one JSON object")
	case c.route.dynamic && c.r.URL.Query().Get("id") == "":
		rep = c.failure(http.StatusBadRequest, "MISSING_ID", "the query must have an id")
	case !c.route.dynamic && c.entry.FulfillmentID == "":
		rep = c.failure(http.StatusBadRequest, "MISSING_FULFILLMENT_ID", "the body must have a fulfillmentId")
	default:
		return nil
	}
	return &rep
}

// answer journals and sends a reply that leaves the ledger unchanged.
func (c *call) answer(rep reply) {
	c.entry.StatusSent = rep.status
	if err := c.s.record(&c.entry); err != nil {
		rep = c.failure(http.StatusInternalServerError, "JOURNAL", "the emulator cannot write its journal")
	}
	sendPlain(c, rep)
}

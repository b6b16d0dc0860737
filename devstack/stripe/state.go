package stripe

import (
	"slices"
	"strings"
	"time"
)

// state is everything that the emulator knows. Records hold what matters; their render methods give them Stripe's
// shape. In each list the newest record is the last one.
type state struct {
	Offset    time.Duration // of its clock
	Account   string
	Sessions  []*session
	Intents   []*intent
	Charges   []*charge
	Refunds   []*refund
	Disputes  []*dispute
	Warnings  []*warning
	Events    []*event
	Endpoints []*endpoint
	Keys      map[string]*savedAnswer // of idempotency
	Due       []due                   // what time will bring

	byID map[string]record
}

// record is an object that has an ID.
type record interface {
	id() string
	created() int64
	kind() string
	render(s *Server) object
}

// object is what is told of a record, in Stripe's shape.
type object = map[string]any

func newState() state {
	return state{
		Account: newID("acct_"), Intents: []*intent{}, Keys: map[string]*savedAnswer{}, byID: map[string]record{},
	}
}

// index finds records by their IDs after they were read from a file.
func (st *state) index() {
	st.byID = map[string]record{}
	for _, all := range [][]record{
		records(st.Sessions), records(st.Intents), records(st.Charges), records(st.Refunds), records(st.Disputes),
		records(st.Warnings), records(st.Events), records(st.Endpoints),
	} {
		for _, r := range all {
			st.byID[r.id()] = r
		}
	}
}

func records[R record](list []R) []record {
	all := make([]record, len(list))
	for i, r := range list {
		all[i] = r
	}
	return all
}

// add stores a record.
func add[R record](st *state, list *[]R, r R) R {
	*list = append(*list, r)
	st.byID[r.id()] = r
	return r
}

// find gives the record of an ID, or Stripe's 404.
func find[R record](s *Server, what, id string) (R, *apiError) {
	r, ok := s.state.byID[id].(R)
	if !ok {
		return r, missing(what, id)
	}
	return r, nil
}

func (s *Server) sessionOf(i *intent) *session {
	r, _ := s.state.byID[i.Session].(*session)
	return r
}

func (s *Server) chargeOf(i *intent) *charge {
	r, _ := s.state.byID[i.LatestCharge].(*charge)
	return r
}

func (s *Server) intentOf(c *charge) *intent {
	r, _ := s.state.byID[c.Intent].(*intent)
	return r
}

// due is something that time brings to a record.
type due struct {
	At time.Time
	// Do: expire-session, expire-charge, settle, settle-refund, deliver
	Do string
	ID string // of the record

	Endpoint string    `json:",omitempty"` // of a webhook
	Delivery *Delivery `json:",omitempty"`
	Try      int       `json:",omitempty"`
}

// later has something happen after a while.
func (s *Server) later(after time.Duration, d due) {
	d.At = s.now().Add(after)
	at, _ := slices.BinarySearchFunc(s.state.Due, d, func(a, b due) int {
		if a.At.After(b.At) {
			return 1
		}
		return -1 // in the order of scheduling at the same time
	})
	s.state.Due = slices.Insert(s.state.Due, at, d)
}

func (s *Server) now() time.Time { return time.Now().Add(s.state.Offset) }

func (s *Server) unix() int64 { return s.now().Unix() }

// Now is the time by the emulator's clock.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

// Advance moves the clock on, and has everything happen that this brings, in order.
func (s *Server) Advance(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	until := s.now().Add(by)
	for len(s.state.Due) > 0 && !s.state.Due[0].At.After(until) {
		s.state.Offset += max(s.state.Due[0].At.Sub(s.now()), 0) // each thing happens at its own time
		s.passTime()
	}
	s.state.Offset += max(until.Sub(s.now()), 0)
	s.passTime()
}

// passTime does what is due.
func (s *Server) passTime() {
	for len(s.state.Due) > 0 && !s.state.Due[0].At.After(s.now()) {
		d := s.state.Due[0]
		s.state.Due = s.state.Due[1:]
		switch r := s.state.byID[d.ID].(type) {
		case *session:
			s.expireSession(r)
		case *charge:
			if d.Do == "settle" {
				s.settle(r)
			} else {
				s.expireCharge(r)
			}
		case *refund:
			s.settleRefund(r)
		case *event:
			s.deliver(r, d)
		}
	}
}

func isLive(key string) bool { return strings.Contains(key, "_live_") }

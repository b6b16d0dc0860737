package stripe

// Payment is what became of a PaymentIntent, by the emulator's books.
type Payment struct {
	ID         string            `json:"id"`
	Session    string            `json:"session,omitempty"`
	Status     string            `json:"status"` // of the PaymentIntent
	Currency   string            `json:"currency"`
	Amount     int64             `json:"amount"`
	Authorized int64             `json:"authorized"` // money that is blocked now
	Captured   int64             `json:"captured"`
	Refunded   int64             `json:"refunded"` // pending refunds count, failed ones do not
	Refunds    int               `json:"refunds"`
	Disputed   bool              `json:"disputed,omitempty"`
	Dispute    string            `json:"dispute,omitempty"` // one that is open
	Metadata   map[string]string `json:"metadata,omitempty"`
}

// Session is a Checkout Session, by the emulator's books.
type Session struct {
	ID        string            `json:"id"`
	Status    string            `json:"status"`
	Intent    string            `json:"paymentIntent,omitempty"`
	Reference string            `json:"clientReferenceId,omitempty"`
	Created   int64             `json:"created"`
	Currency  string            `json:"currency"`
	Total     int64             `json:"total"`
	Metadata  map[string]string `json:"metadata,omitempty"`
}

// Refund is a refund, by the emulator's books.
type Refund struct {
	ID       string            `json:"id"`
	Intent   string            `json:"paymentIntent"`
	Status   string            `json:"status"`
	Amount   int64             `json:"amount"`
	Currency string            `json:"currency"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Books are all of them, the oldest first.
type Books struct {
	Sessions []Session `json:"sessions"`
	Payments []Payment `json:"payments"`
	Refunds  []Refund  `json:"refunds"`
}

// Books is what became of everything.
func (s *Server) Books() Books {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passTime()
	var b Books
	for _, r := range s.state.Sessions {
		b.Sessions = append(b.Sessions, Session{
			ID: r.ID, Status: r.Status, Intent: r.Intent, Reference: r.ClientReferenceID, Created: r.Created,
			Currency: r.Currency, Total: r.Total, Metadata: r.Metadata,
		})
	}
	refunds := map[string]int{}
	for _, r := range s.state.Refunds {
		b.Refunds = append(b.Refunds, Refund{
			ID: r.ID, Intent: r.Intent, Status: r.Status, Amount: r.Amount, Currency: r.Currency, Metadata: r.Metadata,
		})
		refunds[r.Intent]++
	}
	disputes := map[string]string{}
	for _, d := range s.state.Disputes {
		if d.open() {
			disputes[d.Intent] = d.ID
		}
	}
	for _, i := range s.state.Intents {
		p := Payment{
			ID: i.ID, Session: i.Session, Status: i.Status, Currency: i.Currency, Amount: i.Amount, Authorized: i.Capturable,
			Captured: i.Received, Refunds: refunds[i.ID], Metadata: i.Metadata, Dispute: disputes[i.ID],
		}
		if ch := s.chargeOf(i); ch != nil {
			p.Refunded, p.Disputed = ch.Refunded, ch.Disputed
		}
		b.Payments = append(b.Payments, p)
	}
	return b
}

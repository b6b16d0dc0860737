package web_test

import (
	"net/http"
	"net/url"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// mailDown is why an e-mail does not go out.
var mailDown = db.StepFailure{Failure: keyturn.Failure{Kind: keyturn.KindUnavailable, Message: "no answer"}}

// unsent is an order whose key is in hand and whose e-mail did not go out.
func (s *stage) unsent(change func(*keyturn.Product)) order {
	s.t.Helper()
	s.product(change, someKeys[0])
	o := s.order()
	o.claim(0)
	o.send(0, &mailDown, false)
	return o
}

// cameBack is an order whose e-mail with the key came back.
func (s *stage) cameBack(change func(*keyturn.Product)) order {
	s.t.Helper()
	s.product(change, someKeys[0])
	o := s.order()
	o.deliver(0)
	o.comesBack(0)
	return o
}

// gives is the page that answers another address for an order's first line.
func (s *stage) gives(o order, address string) sight {
	return s.page(http.MethodPost, o.path+"/lines/"+o.lines[0]+"/address", url.Values{"email": {address}})
}

// troubleScenes are those of an order that something is wrong with, or that ends in a refund.
var troubleScenes = []scene{
	{
		name: "order-mail-late", title: "The e-mail does not go out", says: "The page offers the key in its place.",
		play: func(s *stage) sight { return s.sees(s.unsent(nil)) },
	},
	{
		name: "order-mail-late-never", title: "The e-mail does not go out, and the page does not show keys",
		says: "The product has pageKeys: never.",
		play: func(s *stage) sight {
			return s.sees(s.unsent(func(p *keyturn.Product) { p.PageKeys = keyturn.PageKeysNever }))
		},
	},
	{
		name: "order-opened-here", title: "Delivered on the page", says: "The customer has opened the key that was late.",
		play: func(s *stage) sight {
			o := s.unsent(nil)
			s.presses(o, 0, "keys")
			return s.sees(o)
		},
	},
	{
		name: "order-came-back", title: "The e-mail came back", says: "The page asks for another address.",
		play: func(s *stage) sight { return s.sees(s.cameBack(nil)) },
	},
	{
		name: "order-address-wrong", title: "No e-mail address", says: "What is given in place of the address is none.",
		play: func(s *stage) sight { return s.gives(s.cameBack(nil), "emma") },
	},
	{
		name: "order-address-given", title: "Another address was given", says: "The same key goes there.",
		play: func(s *stage) sight { return s.gives(s.cameBack(nil), "new@mail.example") },
	},
	{
		name: "order-address-asked", title: "Another address was given, and a person looks at it",
		says: "The product has pageKeys: never.",
		play: func(s *stage) sight {
			o := s.cameBack(func(p *keyturn.Product) { p.PageKeys = keyturn.PageKeysNever })
			return s.gives(o, "new@mail.example")
		},
	},
	{
		name: "order-late", title: "Late", says: "The maker of the product did not answer; it is asked again.",
		play: func(s *stage) sight { return s.sees(s.lateOrder(fromPartner, 1)) },
	},
	{
		name: "order-late-refundable", title: "Late, and the customer may stop waiting",
		says: "The product has customerMayRefund.",
		play: func(s *stage) sight { return s.sees(s.lateOrder(refundable, 3)) },
	},
	{
		name: "order-refund-question", title: "Stop waiting?", says: "Nothing is decided before the customer confirms.",
		play: func(s *stage) sight { return s.presses(s.lateOrder(refundable, 3), 0, "refund") },
	},
	{
		name: "order-waiting", title: "Out of stock", says: "The line waits for keys.",
		play: func(s *stage) sight {
			o := onRequest()(s)
			o.claim(0)
			return s.sees(o)
		},
	},
	{
		name: "order-held", title: "On hold", says: "A person of the shop looks into it.",
		play: func(s *stage) sight {
			o := onRequest(someKeys[0])(s)
			until := opening.Add(26 * time.Hour)
			o.decide(0, keyturn.Resolution{Action: keyturn.ActionHold, Until: &until})
			return s.sees(o)
		},
	},
	{
		name: "order-overdue", title: "Past its deadline", says: "The money goes back next, unless the key comes now.",
		play: func(s *stage) sight {
			o := s.lateOrder(fromPartner, 1)
			s.later(73 * time.Hour)
			return s.sees(o)
		},
	},
	{
		name: "order-refunding", title: "Refund under way", says: "The line was given up.",
		play: func(s *stage) sight {
			o := s.lateOrder(fromPartner, 1)
			o.decide(0, keyturn.Resolution{Action: keyturn.ActionRefund})
			return s.sees(o)
		},
	},
	{
		name: "order-refunded", title: "Refunded", says: "The money is on its way to the customer's bank.",
		play: func(s *stage) sight {
			o := s.lateOrder(fromPartner, 1)
			o.decide(0, keyturn.Resolution{Action: keyturn.ActionRefund})
			o.refunded(0)
			return s.sees(o)
		},
	},
	{
		name: "order-partly-refunded", title: "Partly refunded", says: "One item was delivered, the other refunded.",
		play: func(s *stage) sight {
			s.product(nil, someKeys[0])
			s.product(func(p *keyturn.Product) {
				p.ID, p.Name, p.Image = "studio", "Orbit Studio", keyturn.Image{Data: icon(s.t, 128, 166, 43, 34)}
				fromPartner(p)
			})
			o := s.order(line("editor", 1), line("studio", 1))
			o.deliver(0)
			o.call(1, db.CallResult{Failed: &partnerDown})
			o.decide(1, keyturn.Resolution{Action: keyturn.ActionRefund})
			o.refunded(1)
			return s.sees(o)
		},
	},
	{
		name: "order-free-canceled", title: "Cancelled, and nothing was paid", says: "There is nothing to give back.",
		play: func(s *stage) sight {
			s.product(fromPartner)
			free := line("editor", 1)
			free.GrossPrice = "0.00"
			o := s.order(free)
			o.call(0, db.CallResult{Failed: &partnerDown})
			o.decide(0, keyturn.Resolution{Action: keyturn.ActionRefund})
			o.refunded(0)
			return s.sees(o)
		},
	},
	{
		name: "order-canceling", title: "The order is being cancelled", says: "The shop takes back what was delivered.",
		play: func(s *stage) sight {
			o := onRequest(someKeys[0])(s)
			o.deliver(0)
			require.NoError(s.t, s.db.CancelOrder(s.t.Context(), o.id, "asked for"))
			return s.sees(o)
		},
	},
	{
		name: "order-nothing-to-show", title: "Nothing to show", says: "A button of an older page: the key is not there.",
		play: func(s *stage) sight { return s.presses(onRequest(someKeys[0])(s), 0, "keys") },
	},
	{
		name: "order-erased", title: "No such page", says: "The address is wrong, or the customer was erased.",
		play: func(s *stage) sight {
			o := onRequest(someKeys[0])(s)
			o.deliver(0)
			_, err := s.db.EraseCustomer(s.t.Context(), "", "user-1", "ops")
			require.NoError(s.t, err)
			return s.sees(o)
		},
	},
	{
		name: "order-refused", title: "Not accepted", says: "A form that no page of ours has.",
		play: func(s *stage) sight {
			o := s.lateOrder(refundable, 1)
			return s.page(http.MethodPost, o.path+"/lines/"+o.lines[0]+"/refund", url.Values{"decision": {"?"}})
		},
	},
	{
		name: "order-not-shown", title: "The database does not answer", says: "The page says that nothing is lost.",
		play: func(s *stage) sight {
			o := onRequest(someKeys[0])(s)
			s.exec(`ALTER TABLE orders RENAME TO elsewhere`)
			return s.sees(o)
		},
	},
}

// tries has an order's first line ask the partner, unless nobody may ask any more.
func (s *stage) tries(o order) {
	s.t.Helper()
	ctx := s.t.Context()
	c, _, _, err := s.db.BeginCall(ctx, o.lines[0], func(keyturn.Integration) time.Duration { return time.Second },
		func(db.CallFacts) ([]byte, error) {
			return []byte(`{"method":"POST","url":"https://partner.test"}`), nil
		})
	require.NoError(s.t, err)
	if c == nil {
		return
	}
	_, err = s.db.FinishCall(ctx, o.lines[0], db.CallResult{
		Attempt: c.Attempt, UnitNo: c.UnitNo, Sent: true, Troubled: c.Troubled, Probe: c.Probe, Failed: &partnerDown,
	}, nil)
	require.NoError(s.t, err)
}

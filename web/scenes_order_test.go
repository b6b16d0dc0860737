package web_test

import (
	"net/http"
	"net/url"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// Keys of scenes.
var someKeys = []string{
	"ORBIT-7K2M-QX4D-9VTA", "ORBIT-3H8N-ZR6P-1WLE", "ORBIT-5C9B-UJ2F-8GSY", "ORBIT-2T4W-KM7X-6DQN",
	"ORBIT-9P1V-BE5H-3RZC", "ORBIT-6L3Y-XA8S-4UJT", "ORBIT-8D7G-WN1K-5FMP", "ORBIT-4Q6R-CV9Z-2HBX",
	"ORBIT-1S5T-LP3E-7YKW", "ORBIT-7U8A-DG4M-9NRJ", "ORBIT-3X2C-FH6V-1TQB", "ORBIT-5Z9K-MW7L-8PES",
}

// longKey is a licence of several lines.
const longKey = `-----BEGIN ORBIT LICENCE-----
owner 4711, 5 seats, until 2027-03-04
Q29uZ3JhdHVsYXRpb25zLCB5b3UgcmVhZCBCYXNl
NjQuIFRoZXJlIGlzIG5vIGxpY2VuY2UgaGVyZS4=
-----END ORBIT LICENCE-----`

func onRequest(keys ...string) func(s *stage) order {
	return func(s *stage) order {
		s.product(nil, keys...)
		return s.order()
	}
}

// fromPartner has a product come from a partner.
func fromPartner(p *keyturn.Product) { p.Sources = fromEndpoint }

func refundable(p *keyturn.Product) { p.Sources, p.CustomerMayRefund = fromEndpoint, true }

// given is an order whose partner has given this, delivered.
func (s *stage) given(r db.CallResult) order {
	s.t.Helper()
	s.product(func(p *keyturn.Product) {
		fromPartner(p)
		p.URLToInstructions, p.URLToDownload = "https://orbit.example/start", "https://orbit.example/download"
	})
	o := s.order()
	o.call(0, r)
	o.send(0, nil, true)
	return o
}

// lateOrder is an order whose partner has failed so many times.
func (s *stage) lateOrder(change func(*keyturn.Product), times int) order {
	s.t.Helper()
	s.product(change)
	o := s.order()
	for i := range times {
		if i > 0 {
			s.later(2 * time.Hour)
		}
		o.call(0, db.CallResult{Failed: &partnerDown})
	}
	return o
}

// orderScenes are those of an order that is on its way or has arrived.
var orderScenes = []scene{
	{
		name: "order-preparing", title: "Being prepared", says: "The order has just come in.",
		play: func(s *stage) sight { return s.sees(onRequest(someKeys[0])(s)) },
	},
	{
		name: "order-by-hand", title: "Prepared by hand", says: "A person of the shop supplies the key.",
		play: func(s *stage) sight {
			s.product(func(p *keyturn.Product) { p.Sources = byHand })
			return s.sees(s.order())
		},
	},
	{
		name: "order-sending", title: "On its way", says: "The key is the customer's, and its e-mail is being sent.",
		play: func(s *stage) sight {
			o := onRequest(someKeys[0])(s)
			o.claim(0)
			return s.sees(o)
		},
	},
	{
		name: "order-delivered", title: "Delivered", says: "The e-mail went out; the key is shown on request.",
		play: func(s *stage) sight {
			s.product(func(p *keyturn.Product) {
				p.URLToInstructions, p.URLToDownload = "https://orbit.example/start", "https://orbit.example/download"
			}, someKeys...)
			o := s.order()
			o.deliver(0)
			return s.sees(o)
		},
	},
	{
		name: "order-key-shown", title: "A key is shown", says: "The customer has pressed “Show my key”.",
		play: func(s *stage) sight {
			o := onRequest(someKeys[0])(s)
			o.deliver(0)
			return s.presses(o, 0, "keys")
		},
	},
	{
		name: "order-keys-shown", title: "Many keys are shown", says: "They can be copied or saved together.",
		play: func(s *stage) sight {
			s.product(nil, someKeys...)
			o := s.order(line("editor", 12))
			o.deliver(0)
			return s.presses(o, 0, "keys")
		},
	},
	{
		name: "order-keys-always", title: "Keys that are always shown", says: "The product has pageKeys: always.",
		play: func(s *stage) sight {
			s.product(func(p *keyturn.Product) { p.PageKeys = keyturn.PageKeysAlways }, someKeys...)
			o := s.order(line("editor", 2))
			o.deliver(0)
			return s.sees(o)
		},
	},
	{
		name: "order-keys-never", title: "Keys that the page does not show", says: "The product has pageKeys: never.",
		play: func(s *stage) sight {
			s.product(func(p *keyturn.Product) { p.PageKeys = keyturn.PageKeysNever }, someKeys[0])
			o := s.order()
			o.deliver(0)
			return s.sees(o)
		},
	},
	{
		name: "order-long-key", title: "A licence of several lines", says: "It is shown and copied as it is.",
		play: func(s *stage) sight {
			return s.presses(s.given(db.CallResult{Codes: []keyturn.Secret{longKey}}), 0, "keys")
		},
	},
	{
		name: "order-link", title: "An activation link", says: "The maker of the product gave a link instead of a key.",
		play: func(s *stage) sight {
			return s.presses(s.given(db.CallResult{Links: []string{"https://orbit.example/activate?code=7K2MQX4D9VTA"}}), 0,
				"keys")
		},
	},
	{
		name: "order-file", title: "A file", says: "The maker of the product gave a licence file.",
		play: func(s *stage) sight {
			return s.presses(s.given(db.CallResult{Files: []db.File{{
				Name: "orbit-editor.lic", ContentType: "application/x-orbit-licence", Data: []byte(longKey),
			}}}), 0, "keys")
		},
	},
	{
		name: "order-several", title: "Several items", says: "Two are delivered, one is late, one waits for stock.",
		image: "order-page.png",
		play: func(s *stage) sight {
			return s.sees(s.several())
		},
	},
	{
		name: "order-several-shown", title: "All keys are shown", says: "The customer has pressed “Show all my keys”.",
		play: func(s *stage) sight { return s.page(http.MethodPost, s.several().path+"/keys", url.Values{}) },
	},
	{
		name: "order-large", title: "A large order", says: "Lines are counted by what became of them, and stand on pages.",
		play: func(s *stage) sight {
			s.product(nil, someKeys...)
			var lines []keyturn.LineItem
			for range 202 {
				lines = append(lines, line("editor", 1))
			}
			o := s.order(lines...)
			for i := range 3 {
				o.deliver(199 + i)
			}
			return s.page(http.MethodGet, o.path+"?page=2", nil)
		},
	},
	{
		name: "order-sent-again", title: "Sent again", says: "The customer has had the e-mail sent once more.",
		play: func(s *stage) sight {
			o := onRequest(someKeys[0])(s)
			o.deliver(0)
			return s.presses(o, 0, "resend")
		},
	},
	{
		name: "order-sent-often", title: "Sent again too often", says: "Three times a day are enough.",
		play: func(s *stage) sight {
			o := onRequest(someKeys[0])(s)
			o.deliver(0)
			for range 3 {
				s.presses(o, 0, "resend")
			}
			return s.presses(o, 0, "resend")
		},
	},
	{
		name: "order-recalled", title: "A recalled key", says: "The key leaked, and the customer got another one.",
		play: func(s *stage) sight {
			o := onRequest(someKeys[:2]...)(s)
			o.deliver(0)
			s.replaces(o)
			return s.presses(o, 0, "keys")
		},
	},
	{
		name: "order-renewed", title: "A renewal", says: "The licence has a new term, and its key stays.",
		play: func(s *stage) sight {
			o := s.renewal()
			o.call(0, db.CallResult{})
			o.send(0, nil, true)
			return s.sees(o)
		},
	},
	{
		name: "order-renewing-late", title: "A renewal that is late", says: "The maker of the product did not answer.",
		play: func(s *stage) sight {
			o := s.renewal()
			o.call(0, db.CallResult{Failed: &partnerDown})
			return s.sees(o)
		},
	},
}

// several is an order of two products that are delivered, one that is late and one that waits for stock.
func (s *stage) several() order {
	s.t.Helper()
	s.product(nil, someKeys...)
	s.product(func(p *keyturn.Product) {
		p.ID, p.Name, p.Image = "fonts", "Orbit Fonts", keyturn.Image{Data: icon(s.t, 128, 26, 107, 60)}
	})
	s.product(func(p *keyturn.Product) {
		p.ID, p.Name, p.Image = "studio", "Orbit Studio", keyturn.Image{Data: icon(s.t, 128, 166, 43, 34)}
		refundable(p)
	})
	s.product(func(p *keyturn.Product) {
		p.ID, p.Name, p.Sources = "render", "Orbit Render", []keyturn.Source{{Type: keyturn.SourcePool, Pool: "render"}}
		p.Image = keyturn.Image{Data: icon(s.t, 128, 138, 75, 0)}
	})
	o := s.order(line("editor", 2), line("fonts", 1), line("studio", 1), line("render", 1))
	o.deliver(0)
	o.deliver(1)
	o.call(2, db.CallResult{Failed: &partnerDown})
	o.claim(3)
	return o
}

// replaces gives the order's customer another key for one that leaked.
func (s *stage) replaces(o order) {
	s.t.Helper()
	ctx := s.t.Context()
	require.NoError(s.t, s.db.OweReplacements(ctx, o.lines[0], nil, "leaked", "ops"))
	n, err := s.db.ReplaceOwed(ctx, 10, s.render)
	require.NoError(s.t, err)
	require.Equal(s.t, 1, n)
}

// renewal is an order that renews the licence of an earlier one for a year.
func (s *stage) renewal() order {
	s.t.Helper()
	first := s.given(db.CallResult{Codes: []keyturn.Secret{"ORBIT-7K2M-QX4D-9VTA"}})
	s.later(24 * time.Hour)
	ends := opening.AddDate(1, 0, 0)
	return s.order(keyturn.LineItem{
		ProductID: "editor", Quantity: 1, GrossPrice: "19.99", Operation: keyturn.OpRenew, LicenseID: first.lines[0],
		ExpiresAt: &ends,
	})
}

package web_test

import (
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// lineMails are the scenes of e-mails about an order's line.
var lineMails = []scene{
	{
		name: "mail-key", title: "The key", says: "The product has no text of its own.",
		play: func(s *stage) sight {
			s.product(func(p *keyturn.Product) {
				p.URLToInstructions, p.URLToDownload = "https://orbit.example/start", "https://orbit.example/download"
			}, someKeys[0])
			s.order().deliver(0)
			return s.letter()
		},
	},
	{
		name: "mail-keys-face", title: "Several keys, from a shop with a logo and a color", says: "shop.logo and shop.color.",
		play: func(s *stage) sight {
			s.dress(keyturn.Shop{Color: "#7a1fa2", Logo: keyturn.Image{Data: icon(s.t, 120, 122, 31, 162)}})
			s.product(nil, someKeys...)
			s.order(line("editor", 3)).deliver(0)
			return s.letter()
		},
	},
	{
		name: "mail-own-words", title: "A product's own words", says: "email.text, in each language.",
		play: func(s *stage) sight {
			s.product(func(p *keyturn.Product) {
				p.Email.Subject = s.in("Welcome to {PROGRAM_NAME}, {FNAME}", "Bienvenue dans {PROGRAM_NAME}, {FNAME}",
					"Willkommen bei {PROGRAM_NAME}, {FNAME}")
				p.Email.Text = s.in("Welcome aboard! Your key:\n\n{KEY}\n\nOur first lesson is free: https://orbit.example/learn",
					"Bienvenue à bord\u00a0! Votre clé\u00a0:\n\n{KEY}\n\nLa première leçon est gratuite\u00a0: https://orbit.example/learn",
					"Willkommen an Bord! Ihr Schlüssel:\n\n{KEY}\n\nDie erste Lektion ist gratis: https://orbit.example/learn")
			}, someKeys[0])
			s.order().deliver(0)
			return s.letter()
		},
	},
	{
		name: "mail-long-key", title: "A licence of several lines", says: "It keeps its lines.",
		play: func(s *stage) sight {
			s.given(db.CallResult{Codes: []keyturn.Secret{longKey}})
			return s.letter()
		},
	},
	{
		name: "mail-link", title: "An activation link", says: "The maker of the product gave a link instead of a key.",
		play: func(s *stage) sight {
			s.given(db.CallResult{Links: []string{"https://orbit.example/activate?code=7K2MQX4D9VTA"}})
			return s.letter()
		},
	},
	{
		name: "mail-file", title: "An attached file", says: "The maker of the product gave a licence file.",
		play: func(s *stage) sight {
			s.given(db.CallResult{Files: []db.File{{
				Name: "orbit-editor.lic", ContentType: "application/x-orbit-licence", Data: []byte(longKey),
			}}})
			return s.letter()
		},
	},
	{
		name: "mail-on-page", title: "A file that no e-mail can carry", says: "The e-mail leads to the order's page.",
		play: func(s *stage) sight {
			s.given(db.CallResult{Files: []db.File{{Name: "orbit-fonts.zip", Data: make([]byte, 9<<20)}}})
			return s.letter()
		},
	},
	{
		name: "mail-replaced", title: "Another key for one that was recalled", says: "The old one is marked.",
		play: func(s *stage) sight {
			o := onRequest(someKeys[:2]...)(s)
			o.deliver(0)
			s.replaces(o)
			return s.letter()
		},
	},
	{
		name: "mail-renewed", title: "A renewal", says: "The licence has a new term, and its key stays.",
		play: func(s *stage) sight {
			o := s.renewal()
			o.call(0, db.CallResult{})
			o.send(0, nil, true)
			return s.letter()
		},
	},
	{
		name: "mail-out-of-stock", title: "Not delivered: out of stock", says: "The money goes back.",
		play: func(s *stage) sight {
			o := onRequest()(s)
			o.claim(0)
			s.later(73 * time.Hour)
			o.claim(0)
			o.refunded(0)
			return s.letter()
		},
	},
	{
		name: "mail-refunded", title: "Not delivered: the maker of the product could not give a key",
		says: "The money goes back.",
		play: func(s *stage) sight {
			o := s.lateOrder(fromPartner, 1)
			s.later(73 * time.Hour)
			s.tries(o)
			o.refunded(0)
			return s.letter()
		},
	},
	{
		name: "mail-asked", title: "Cancelled on request", says: "The money goes back.",
		play: func(s *stage) sight {
			o := s.lateOrder(fromPartner, 1)
			o.decide(0, keyturn.Resolution{Action: keyturn.ActionRefund})
			o.refunded(0)
			return s.letter()
		},
	},
	{
		name: "mail-free", title: "Not delivered, and nothing was paid", says: "There is nothing to give back.",
		play: func(s *stage) sight {
			s.product(fromPartner)
			free := line("editor", 1)
			free.GrossPrice = "0.00"
			o := s.order(free)
			o.call(0, db.CallResult{Failed: &partnerDown})
			s.later(73 * time.Hour)
			s.tries(o)
			o.refunded(0)
			return s.letter()
		},
	},
}

// confirmed is the confirmation of an order by a link that change makes.
func confirmed(change func(*stage, *keyturn.CheckoutLink)) func(s *stage) sight {
	return func(s *stage) sight {
		s.product(nil, someKeys...)
		s.buys(func(l *keyturn.CheckoutLink) {
			if change != nil {
				change(s, l)
			}
		})
		return s.letter()
	}
}

// paidLate pays a session that counts as expired here: its processor was slow.
func (s *stage) paidLate(change func(*stage, *keyturn.CheckoutLink)) (pay string) {
	s.t.Helper()
	id, _, at := s.begun(change)
	s.exec(`UPDATE payments SET status = 'EXPIRED', ended_at = now() WHERE link_id = $1`, id)
	s.exec(`UPDATE checkout_links SET status = 'OPEN' WHERE id = $1`, id)
	pay = s.paymentOf(id)
	s.pays(at, "pay")
	_, err := s.desk.Look(s.t.Context(), pay)
	require.NoError(s.t, err)
	return pay
}

// saleMails are the scenes of e-mails about an order of a checkout link and its payment.
var saleMails = []scene{
	{
		name: "mail-confirmation", title: "Confirmation", says: "With what the customer agreed to.",
		play: confirmed(choice),
	},
	{
		name: "mail-confirmation-several", title: "Confirmation of several items", says: "And how they are charged.",
		play: confirmed(func(s *stage, l *keyturn.CheckoutLink) {
			second := l.LineItems[0]
			second.Name, second.UnitPrice = s.in("Orbit Fonts", "Orbit Polices", "Orbit Schriften"), "19.90"
			l.LineItems = append(l.LineItems, second)
		}),
	},
	{
		name: "mail-confirmation-withdrawal", title: "Confirmation with a right of withdrawal",
		says: "The shop offers fourteen days.",
		play: func(s *stage) sight {
			s.offersWithdrawal()
			return confirmed(nil)(s)
		},
	},
	{
		name: "mail-confirmation-paid", title: "Confirmation of what is paid", says: "The link has capture: atOnce.",
		play: confirmed(func(_ *stage, l *keyturn.CheckoutLink) { l.Capture = keyturn.CaptureAtOnce }),
	},
	{
		name: "mail-confirmation-free", title: "Confirmation of what costs nothing", says: "Nothing was paid.",
		play: confirmed(func(_ *stage, l *keyturn.CheckoutLink) { l.LineItems[0].UnitPrice = "0.00" }),
	},
	{
		name: "mail-payment-refused", title: "The payment was refused", says: "The page is open again.",
		play: func(s *stage) sight {
			id, _, at := s.begun(scripted("settles-not"))
			s.pays(at, "pay")
			s.later(2 * time.Minute)
			pay := s.paymentOf(id)
			_, err := s.desk.Look(s.t.Context(), pay)
			require.NoError(s.t, err)
			s.paymentMails(pay)
			return s.letter()
		},
	},
	{
		name: "mail-uncharged", title: "Not delivered, and not charged", says: "The same can be ordered again.",
		play: func(s *stage) sight {
			s.unchargedOrder()
			return s.letter()
		},
	},
	{
		name: "mail-no-order", title: "A payment that came too late", says: "It was never taken.",
		play: func(s *stage) sight {
			pay := s.paidLate(nil)
			_, err := s.desk.Void(s.t.Context(), pay)
			require.NoError(s.t, err)
			s.paymentMails(pay)
			return s.letter()
		},
	},
	{
		name: "mail-no-order-returned", title: "A payment that came too late and goes back", says: "It was taken.",
		play: func(s *stage) sight {
			pay := s.paidLate(scripted("cannot-authorize"))
			_, err := s.desk.GiveBack(s.t.Context(), pay)
			require.NoError(s.t, err)
			s.paymentMails(pay)
			return s.letter()
		},
	},
	{
		name: "mail-corrected", title: "More was charged than was told", says: "It goes back.",
		play: func(s *stage) sight {
			s.product(nil, someKeys...)
			o, pay := s.buys(func(l *keyturn.CheckoutLink) { l.LineItems = append(l.LineItems, l.LineItems[0]) })
			o.decide(1, keyturn.Resolution{Action: keyturn.ActionRefund})
			o.refunded(1)
			sum := keyturn.Money{Minor: 9980, Currency: "EUR"}
			_, err := s.db.Reconcile(s.t.Context(), pay, keyturn.ProcessorState{
				Status: keyturn.AtProcessorCaptured, Authorized: sum, Captured: sum,
			}, db.ByProcessor, func(db.Accepted) ([]byte, error) { return nil, nil })
			require.NoError(s.t, err)
			s.paymentMails(pay)
			return s.letter()
		},
	},
	{
		name: "mail-order-page", title: "The order's page again", says: "It was asked for on the used link.",
		play: func(s *stage) sight {
			s.product(nil, someKeys...)
			id, page := s.checkoutLink(nil)
			s.pays(s.ordersAndPays(page), "pay")
			pay := s.paymentOf(id)
			s.paymentMails(pay)
			require.NoError(s.t, s.db.SendOrderPage(s.t.Context(), s.db.LinkToken(id)))
			s.paymentMails(pay)
			return s.letter()
		},
	},
	{
		name: "mail-withdrawal", title: "A withdrawal has arrived", says: "With its date and time, as the law wants.",
		play: func(s *stage) sight {
			s.offersWithdrawal()
			o, pay := s.soldAndDelivered()
			s.withdraws(o)
			s.paymentMails(pay)
			return s.letter()
		},
	},
	{
		name: "mail-withdrawn", title: "The money goes back after a withdrawal", says: "The keys have stopped working.",
		play: func(s *stage) sight {
			s.offersWithdrawal()
			o, pay := s.soldAndDelivered()
			s.withdraws(o)
			s.paymentMails(pay)
			o.refunded(0)
			return s.letter()
		},
	},
	{
		name: "mail-withdrawn-uncharged", title: "Withdrawn before it was charged", says: "Nothing is taken.",
		play: func(s *stage) sight {
			s.product(nil, someKeys[0])
			o, pay := s.buys(nil)
			s.withdraws(o)
			s.paymentMails(pay)
			_, err := s.desk.Void(s.t.Context(), pay)
			require.NoError(s.t, err)
			o.refunded(0)
			s.paymentMails(pay)
			return s.letter()
		},
	},
}

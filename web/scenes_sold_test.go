package web_test

import (
	"net/http"
	"net/url"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// offersWithdrawal has the shop offer fourteen days in which customers may withdraw.
func (s *stage) offersWithdrawal() {
	s.t.Helper()
	s.dress(keyturn.Shop{Checkout: keyturn.CheckoutSettings{Withdrawal: keyturn.WithdrawalOffered}})
}

// soldAndDelivered is an order by a link, delivered and charged.
func (s *stage) soldAndDelivered() (o order, pay string) {
	s.t.Helper()
	s.product(nil, someKeys...)
	o, pay = s.buys(nil)
	o.claim(0)
	s.captured(o, 0)
	o.send(0, nil, true)
	return o, pay
}

// withdraws withdraws from an order's contract, which its lines follow.
func (s *stage) withdraws(o order) {
	s.t.Helper()
	ctx := s.t.Context()
	require.NoError(s.t, s.db.Withdraw(ctx, o.path[len("/o/"):]))
	for _, l := range o.lines {
		_, err := s.db.Review(ctx, l)
		require.NoError(s.t, err)
	}
}

// unchargedOrder is an order by a link whose line was given up before anything was charged.
func (s *stage) unchargedOrder() (o order, pay string) {
	s.t.Helper()
	ctx := s.t.Context()
	s.product(fromPartner)
	o, pay = s.buys(nil)
	o.call(0, db.CallResult{Failed: &partnerDown})
	s.later(73 * time.Hour)
	s.tries(o)
	_, err := s.desk.Void(ctx, pay)
	require.NoError(s.t, err)
	o.refunded(0)
	s.paymentMails(pay)
	return o, pay
}

// unconfirmed is an order by a link whose confirmation came back, before its key is in hand.
func (s *stage) unconfirmed() (o order, pay string) {
	s.t.Helper()
	s.product(nil, someKeys...)
	o, pay = s.buys(nil)
	s.comesBack(s.letter().ref)
	return o, pay
}

// soldScenes are those of an order that a checkout link made.
var soldScenes = []scene{
	{
		name: "sold-late", title: "Late, and not charged yet", says: "The money is authorized alone.",
		play: func(s *stage) sight {
			s.product(refundable)
			o, _ := s.buys(nil)
			o.call(0, db.CallResult{Failed: &partnerDown})
			return s.sees(o)
		},
	},
	{
		name: "sold-stop-question", title: "Stop waiting for what is not charged?", says: "There is nothing to refund.",
		play: func(s *stage) sight {
			s.product(refundable)
			o, _ := s.buys(nil)
			o.call(0, db.CallResult{Failed: &partnerDown})
			return s.presses(o, 0, "refund")
		},
	},
	{
		name: "sold-capturing", title: "The payment is being completed", says: "The key is in hand, the money is next.",
		play: func(s *stage) sight {
			s.product(nil, someKeys[0])
			o, _ := s.buys(nil)
			o.claim(0)
			return s.sees(o)
		},
	},
	{
		name: "sold-uncharged", title: "Cancelled and not charged", says: "The same can be ordered again.",
		play: func(s *stage) sight {
			o, _ := s.unchargedOrder()
			return s.sees(o)
		},
	},
	{
		name: "sold-came-back", title: "The confirmation came back",
		says: "The page asks for another address before the key is sent.",
		play: func(s *stage) sight {
			o, _ := s.unconfirmed()
			return s.sees(o)
		},
	},
	{
		name: "sold-delivered", title: "Delivered, with a right of withdrawal", says: "The shop offers fourteen days.",
		play: func(s *stage) sight {
			s.offersWithdrawal()
			o, _ := s.soldAndDelivered()
			return s.sees(o)
		},
	},
	{
		name: "sold-withdraw-question", title: "Withdraw from the contract?", says: "Keys stop working, money goes back.",
		play: func(s *stage) sight {
			s.offersWithdrawal()
			o, _ := s.soldAndDelivered()
			return s.page(http.MethodPost, o.path+"/withdrawal", url.Values{})
		},
	},
	{
		name: "sold-withdraw-some-question", title: "Withdraw from what is not delivered?",
		says: "The customer agreed to immediate delivery, which ends the right.",
		play: func(s *stage) sight {
			s.product(nil, someKeys[0])
			o, _ := s.buys(nil)
			return s.page(http.MethodPost, o.path+"/withdrawal", url.Values{})
		},
	},
	{
		name: "sold-withdrawn", title: "Withdrawn", says: "The refund is under way.",
		play: func(s *stage) sight {
			s.offersWithdrawal()
			o, _ := s.soldAndDelivered()
			s.withdraws(o)
			return s.sees(o)
		},
	},
	{
		name: "sold-withdrawn-uncharged", title: "Withdrawn before it was charged", says: "Nothing is taken.",
		play: func(s *stage) sight {
			s.product(nil, someKeys[0])
			o, pay := s.buys(nil)
			s.withdraws(o)
			_, err := s.desk.Void(s.t.Context(), pay)
			require.NoError(s.t, err)
			o.refunded(0)
			return s.sees(o)
		},
	},
}

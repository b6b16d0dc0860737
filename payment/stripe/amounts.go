package stripe

import (
	"strings"

	"keyturn.dev/keyturn"
)

// Stripe counts most currencies in the minor unit of ISO 4217, as we do, and some otherwise
// (docs.stripe.com/currencies). What is in none of these lists cannot be paid by Stripe.
const (
	sameUnits = `AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BIF BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CLP CNY
		COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR JMD JPY
		KES KGS KHR KMF KRW KYD KZT LAK LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR
		NZD PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLE SOS SRD SZL THB TJS TOP TRY TTD TWD
		TZS UAH USD UYU UZS VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW`
	hundredfold  = "ISK UGX"             // no minor unit, counted as if there were a hundred of them in one
	hundredth    = "MGA"                 // counted without its minor unit
	threeDecimal = "BHD JOD KWD OMR TND" // the last digit must be 0
)

// unit is how Stripe counts a currency: its number is ours times times, divided by per, and ours must be a multiple of
// step.
type unit struct{ times, per, step int64 }

var units = func() map[string]unit {
	m := map[string]unit{}
	for codes, u := range map[string]unit{
		sameUnits: {1, 1, 1}, hundredfold: {100, 1, 1}, hundredth: {1, 100, 100}, threeDecimal: {1, 1, 10},
	} {
		for code := range strings.FieldsSeq(codes) {
			m[code] = u
		}
	}
	return m
}()

// largest is the largest amount that Stripe takes, in its own units.
const largest = 99_999_999

// leastOf is the smallest amount that Stripe charges, in our minor units, where it says one
// (docs.stripe.com/currencies#minimum-and-maximum-charge-amounts).
var leastOf = map[string]int64{
	"AED": 200, "AUD": 50, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1500, "DKK": 250, "EUR": 50, "GBP": 30, "HKD": 400,
	"HUF": 17500, "INR": 50, "JPY": 50, "MXN": 1000, "MYR": 200, "NOK": 300, "NZD": 50, "PLN": 200, "RON": 200,
	"SEK": 300, "SGD": 50, "THB": 1000, "USD": 50,
}

// amount gives a sum as Stripe counts it. KindInvalid for one that Stripe cannot take.
func amount(m keyturn.Money) (int64, error) {
	u, ok := units[m.Currency]
	switch {
	case !ok:
		return 0, keyturn.Errorf(keyturn.KindInvalid, "must be in a currency that Stripe takes, not in %s", m.Currency)
	case m.Minor%u.step != 0 && u.per > 1:
		return 0, keyturn.Errorf(keyturn.KindInvalid, "must have no fractions in %s at Stripe", m.Currency)
	case m.Minor%u.step != 0:
		return 0, keyturn.Errorf(keyturn.KindInvalid, "must end in 0 in %s at Stripe, which takes two digits after the point",
			m.Currency)
	case m.Minor < 0 || m.Minor > largest*u.per/u.times:
		return 0, keyturn.Errorf(keyturn.KindInvalid, "must be at most %s at Stripe",
			keyturn.Money{Minor: largest * u.per / u.times, Currency: m.Currency})
	}
	return m.Minor * u.times / u.per, nil
}

// money gives what Stripe counts as a sum of ours. A currency that we do not know stays as it is, so that it equals no
// sum of ours.
func money(n int64, currency string) keyturn.Money {
	code := strings.ToUpper(currency)
	u, ok := units[code]
	if !ok {
		return keyturn.Money{Minor: n, Currency: code}
	}
	if n*u.per%u.times != 0 { // of a unit that we do not have: it equals no sum of ours either
		return keyturn.Money{Minor: n, Currency: code + "/100"}
	}
	return keyturn.Money{Minor: n * u.per / u.times, Currency: code}
}

// CheckSum is payment.Processor's.
func (x Processor) CheckSum(m keyturn.Money) error {
	_, err := amount(m)
	return err
}

// CheckTotal is payment.Processor's.
func (x Processor) CheckTotal(m keyturn.Money) error {
	if _, err := amount(m); err != nil {
		return err
	}
	if least := leastOf[m.Currency]; m.Minor > 0 && m.Minor < least {
		return keyturn.Errorf(keyturn.KindInvalid, "must be at least %s %s, the least that Stripe charges",
			keyturn.Money{Minor: least, Currency: m.Currency}, m.Currency)
	}
	return nil
}

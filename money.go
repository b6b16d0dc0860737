package keyturn

import (
	"fmt"
	"strconv"
	"strings"
)

// Money is an amount in the currency's minor unit: 2999 is 29.99 EUR, and 2999 JPY is 2999 yen. There are no floats.
type Money struct {
	Minor    int64
	Currency string // ISO 4217, three capitals
}

// maxMinor keeps every sum over an order's lines inside an int64.
const maxMinor = 1_000_000_000_000

// minorDigits lists the ISO 4217 currencies; all that are not named here with another number have two digits.
var minorDigits = func() map[string]int {
	m := map[string]int{}
	for digits, codes := range map[int]string{
		0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
		3: "BHD IQD JOD KWD LYD OMR TND",
		4: "CLF UYW",
		2: `AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC
			CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD
			KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO
			NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL
			THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG`,
	} {
		for code := range strings.FieldsSeq(codes) {
			m[code] = digits
		}
	}
	return m
}()

// ValidCurrency says whether the code is an ISO 4217 currency that is in use.
func ValidCurrency(code string) bool { _, ok := minorDigits[code]; return ok }

// ParseMoney reads a decimal string such as "29.99" in a currency. It refuses signs, exponents, more digits after the
// point than the currency has, other than zeros, and amounts above ten thousand million.
func ParseMoney(text, currency string) (Money, error) {
	digits, ok := minorDigits[currency]
	if !ok {
		return Money{}, Errorf(KindInvalid, "must be an amount in an ISO 4217 currency, not in %q", currency)
	}
	whole, frac, hasPoint := strings.Cut(text, ".")
	bad := whole == "" || (hasPoint && frac == "") || len(whole) > 15
	for _, r := range whole + frac {
		bad = bad || r < '0' || r > '9'
	}
	if bad {
		return Money{}, Errorf(KindInvalid, "must be a decimal string such as \"29.99\"")
	}
	if len(frac) > digits && len(frac) <= 15 { // 29.9900 EUR is 29.99 EUR
		frac = frac[:digits] + strings.TrimRight(frac[digits:], "0")
	}
	if len(frac) > digits {
		return Money{}, Errorf(KindInvalid, "must have at most %d digits after the point in %s", digits, currency)
	}
	minor, err := strconv.ParseInt(whole+frac+strings.Repeat("0", digits-len(frac)), 10, 64)
	if err != nil || minor > maxMinor {
		return Money{}, Errorf(KindInvalid, "must be at most %s", Money{maxMinor, currency})
	}
	return Money{minor, currency}, nil
}

// String is the decimal string with all digits of the currency: "29.90", "2999".
func (m Money) String() string {
	digits := minorDigits[m.Currency]
	if digits == 0 {
		return strconv.FormatInt(m.Minor, 10)
	}
	text := fmt.Sprintf("%0*d", digits+1, m.Minor)
	return text[:len(text)-digits] + "." + text[len(text)-digits:]
}

package stripe

import (
	"slices"
	"strings"
)

// Stripe's special currencies: amounts without minor units, amounts with three decimals of which the last is 0, and
// amounts that have two decimals for the API and none in fact.
var (
	zeroDecimal = []string{
		"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf",
	}
	threeDecimal = []string{"bhd", "jod", "kwd", "omr", "tnd"}
	wholeOnly    = []string{"isk", "ugx"}
)

// wholeAmount refuses a fraction that the currency does not have.
func wholeAmount(param string, amount int64, currency string) *apiError {
	if slices.Contains(threeDecimal, currency) && amount%10 != 0 {
		return refuse("invalid_charge_amount", param, "Amounts in %s must be rounded to the nearest "+
			"ten.", strings.ToUpper(currency))
	}
	if slices.Contains(wholeOnly, currency) && amount%100 != 0 {
		return refuse("invalid_charge_amount", param, "Amounts in %s must be whole: the last two digits are 00.",
			strings.ToUpper(currency))
	}
	return nil
}

// smallest is the least that can be charged. Stripe's minimum depends on the day's rates; this one on digits alone.
func smallest(currency string) int64 {
	switch {
	case slices.Contains(zeroDecimal, currency):
		return 50
	case slices.Contains(threeDecimal, currency):
		return 150
	}
	return 50
}

package payment

import (
	"strconv"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

// script is the trouble that a checkout link asks of the sandbox, in its additionalData under "sandbox": words with
// spaces or commas between them.
type script struct {
	captureLost     bool          // capture-lost: the first capture is made, and its answer is lost
	captureRefused  bool          // capture-refused: the bank refuses the capture for good
	captureFails    int           // capture-fails-3: the first three captures do nothing and answer nothing
	runsOutIn       time.Duration // runs-out-in:90s: the authorization ends after that time
	settles         time.Duration // settles:60s: the means of payment takes that time
	settlesNot      bool          // settles-not: it takes time, and fails then
	paysOtherAmount bool          // pays-other-amount: the customer pays one minor unit more than was asked for
	cannotAuthorize bool          // cannot-authorize: the means of payment is charged at once
	refund          []string      // refund-fails-3, refund-declined: what a payment's reference asks of its refunds
}

const longestScript = 30 * 24 * time.Hour

// parseScript reads the words. KindRejected for one that the sandbox does not know.
func parseScript(text string) (script, error) {
	var s script
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		name, value, hasValue := strings.Cut(word, ":")
		d, err := time.ParseDuration(value)
		known := !hasValue || err == nil && d > 0 && d <= longestScript
		switch {
		case word == "capture-lost":
			s.captureLost = true
		case word == "capture-refused":
			s.captureRefused = true
		case word == "settles-not":
			s.settlesNot = true
		case word == "pays-other-amount":
			s.paysOtherAmount = true
		case word == "cannot-authorize":
			s.cannotAuthorize = true
		case name == "runs-out-in" && hasValue:
			s.runsOutIn = d
		case name == "settles" && hasValue:
			s.settles = d
		case strings.HasPrefix(word, "capture-fails-"):
			s.captureFails, err = strconv.Atoi(strings.TrimPrefix(word, "capture-fails-"))
			known = err == nil && s.captureFails > 0
		case word == "refund-declined" || failsTimes.FindString(word) == word:
			s.refund = append(s.refund, word)
		default:
			known = false
		}
		if !known || len(s.refund) > 1 {
			return s, refused("the sandbox does not know the trouble %q", word)
		}
	}
	return s, nil
}

// CheckScript says whether the sandbox knows every word of a link's additionalData.sandbox.
func CheckScript(text string) error {
	_, err := parseScript(text)
	return err
}

// paid is what the customer pays of a sum.
func (s script) paid(sum keyturn.Money) keyturn.Money {
	if s.paysOtherAmount {
		sum.Minor++
	}
	return sum
}

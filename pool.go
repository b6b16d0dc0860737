package keyturn

import (
	"regexp"
	"regexp/syntax"
	"time"
	"unicode"
)

// Pool is a stock of keys that were made beforehand.
type Pool struct {
	ID        string `json:"id"`
	Name      string `json:"name,omitempty"`
	Threshold int    `json:"threshold,omitempty"` // operations are alerted when fewer keys are left
	Currency  string `json:"currency,omitempty"`  // only for orders in this currency
	Pattern   string `json:"pattern,omitempty"`   // regular expression (RE2) that each whole key must match
	// a key that expires is given to nobody when less than this is left
	MinValidity Duration `json:"minValidity,omitempty"`
	// operations are alerted when the stock lasts no longer at the recent pace
	ForecastHorizon Duration `json:"forecastHorizon,omitempty"`
	ServePerSecond  int      `json:"servePerSecond,omitempty"` // new stock serves waiting lines at this pace; 0: at once
}

const (
	maxPattern  = 500
	maxValidity = 10 * 365 * 24 * time.Hour
)

// Check says what is wrong with the pool.
func (p Pool) Check() error {
	var bad Problems
	bad.Check(ValidID(p.ID), "id", "must be 1 to 64 letters, digits, '.', '_', ':' or '-'")
	bad.Check(cleanText(p.Name, 0, 200), "name", "must be at most 200 printable characters")
	bad.Check(p.Threshold >= 0 && p.Threshold <= 1_000_000_000, "threshold", "must be between 0 and 1000000000")
	bad.Check(p.Currency == "" || ValidCurrency(p.Currency), "currency", "must be an ISO 4217 currency such as EUR")
	bad.Check(p.MinValidity >= 0 && time.Duration(p.MinValidity) <= maxValidity, "minValidity", "must be between 0 and %s",
		Duration(maxValidity))
	bad.Check(p.ForecastHorizon >= 0 && time.Duration(p.ForecastHorizon) <= maxValidity, "forecastHorizon",
		"must be between 0 and %s", Duration(maxValidity))
	bad.Check(p.ServePerSecond >= 0 && p.ServePerSecond <= 100_000, "servePerSecond", "must be between 0 and 100000")
	p.checkPattern(&bad)
	return bad.Err("the pool is not valid")
}

func (p Pool) checkPattern(bad *Problems) {
	if p.Pattern == "" {
		return
	}
	if len(p.Pattern) > maxPattern {
		bad.Addf("pattern", "must be at most %d characters", maxPattern)
		return
	}
	parsed, err := syntax.Parse(p.Pattern, syntax.Perl)
	if err != nil {
		bad.Addf("pattern", "must be a regular expression (RE2): %s", err.Error())
		return
	}
	prog, err := syntax.Compile(parsed.Simplify())
	bad.Check(err == nil && canMatch(prog), "pattern", "can match no key: whatever is imported would be refused")
}

// MustMatch is the pattern that every key of the pool matches as a whole; nil: any text. A stored pool's compiles.
func (p Pool) MustMatch() *regexp.Regexp {
	if p.Pattern == "" {
		return nil
	}
	r, err := regexp.Compile(`\A(?:` + p.Pattern + `)\z`)
	if err != nil { // checked when the pool was applied
		return regexp.MustCompile(`[^\x00-\x{10FFFF}]`)
	}
	return r
}

// canMatch says whether some text that may be a key matches the program. It walks through the program's instructions:
// what asserts the text's begin cannot follow a character, and nothing can follow what asserts its end.
func canMatch(prog *syntax.Prog) bool {
	type at struct {
		pc           uint32
		begun, ended bool
	}
	seen := map[at]bool{}
	todo := []at{{pc: uint32(prog.Start)}} //nolint:gosec // a program's start is an index
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[s] {
			continue
		}
		seen[s] = true
		in := prog.Inst[s.pc]
		next := at{in.Out, s.begun, s.ended}
		switch in.Op {
		case syntax.InstMatch:
			if s.begun {
				return true
			}
			continue
		case syntax.InstFail:
			continue
		case syntax.InstAlt, syntax.InstAltMatch:
			todo = append(todo, at{in.Arg, s.begun, s.ended})
		case syntax.InstEmptyWidth:
			assert := syntax.EmptyOp(in.Arg) //nolint:gosec // that is what the argument of this instruction is
			if s.begun && assert&(syntax.EmptyBeginText|syntax.EmptyBeginLine) != 0 {
				continue
			}
			next.ended = s.ended || assert&(syntax.EmptyEndText|syntax.EmptyEndLine) != 0
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			if s.ended || (in.Op == syntax.InstRune || in.Op == syntax.InstRune1) && controlOnly(in.Rune) {
				continue
			}
			next.begun = true
		case syntax.InstCapture, syntax.InstNop:
		}
		todo = append(todo, next)
	}
	return false
}

// controlOnly says that a class of characters has only those that no key may have. Runes are the ends of its ranges, or
// one character.
func controlOnly(runes []rune) bool {
	if len(runes) == 1 {
		return unicode.IsControl(runes[0])
	}
	for i := 0; i+1 < len(runes); i += 2 {
		if !unicode.IsControl(runes[i]) || !unicode.IsControl(runes[i+1]) {
			return false
		}
	}
	return true
}

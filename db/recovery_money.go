package db

import (
	"cmp"
	"maps"
	"slices"

	"keyturn.dev/keyturn"
)

// MoneyApart is what a payment provider has in a currency that a restored database does not. Sums are decimal.
type MoneyApart struct {
	Provider string `json:"provider"`
	Currency string `json:"currency"`
	// Captured and Authorized are of payments that are here: they are asked for.
	Captured   string `json:"captured"`
	Authorized string `json:"authorized"`
	Refunded   string `json:"refunded"` // of lines and payments that are here, or are not: none is refunded again
	// Unknown are of payments that are not here: what was captured of them and is not back, and what is blocked.
	UnknownCaptured   string `json:"unknownCaptured"`
	UnknownAuthorized string `json:"unknownAuthorized"`
	GivenBack         string `json:"givenBack"` // of what is not here
	LetGo             string `json:"letGo"`
}

// MissingMoney is a payment that its provider has and the database does not.
type MissingMoney struct {
	keyturn.MadePayment

	Left keyturn.Money // that was captured and is not back
}

// Missing are the payments of which the provider has money, or has it blocked, and that the database does not have.
func (c BooksCompared) Missing(refunds []keyturn.MadeRefund) (missing []MissingMoney) {
	back := map[string]int64{}
	for _, r := range refunds {
		if !r.Failed {
			back[r.Reference] += r.Amount.Minor
		}
	}
	for _, m := range c.Unknown {
		left := m.Captured
		left.Minor = max(left.Minor-back[m.Reference], 0)
		if left.Minor > 0 || m.Authorized.Minor > 0 {
			missing = append(missing, MissingMoney{m, left})
		}
	}
	return missing
}

// Apart sums up what a provider has that the database does not, by currency. given and let are what was given back of
// what is missing, and let go.
func (c BooksCompared) Apart(provider string, missing []MissingMoney, given, let []keyturn.Money) []MoneyApart {
	type sums struct{ captured, authorized, refunded, unknown, blocked, given, let int64 }
	by := map[string]*sums{}
	of := func(m keyturn.Money) *sums {
		if by[m.Currency] == nil {
			by[m.Currency] = &sums{}
		}
		return by[m.Currency]
	}
	for _, p := range c.Behind {
		of(p.Captured).captured += p.Captured.Minor
		of(p.Authorized).authorized += p.Authorized.Minor
	}
	for _, r := range c.Refunds {
		of(r.Amount).refunded += r.Amount.Minor
	}
	for _, m := range missing {
		of(m.Left).unknown += m.Left.Minor
		of(m.Authorized).blocked += m.Authorized.Minor
	}
	for _, m := range given {
		of(m).given += m.Minor
	}
	for _, m := range let {
		of(m).let += m.Minor
	}
	var out []MoneyApart
	for _, currency := range slices.SortedFunc(maps.Keys(by), cmp.Compare) {
		s, text := by[currency], func(minor int64) string { return keyturn.Money{Minor: minor, Currency: currency}.String() }
		out = append(out, MoneyApart{
			Provider: provider, Currency: currency, Captured: text(s.captured), Authorized: text(s.authorized),
			Refunded: text(s.refunded), UnknownCaptured: text(s.unknown), UnknownAuthorized: text(s.blocked),
			GivenBack: text(s.given), LetGo: text(s.let),
		})
	}
	return out
}

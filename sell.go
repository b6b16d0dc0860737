package keyturn

import "slices"

// SellRule says what becomes of an order for a product that nothing can deliver at the moment.
type SellRule string

// The rules, from the strictest to the most lenient.
const (
	SellRefuse SellRule = "refuse" // the order is refused before anything of it is stored
	SellWarn   SellRule = "warn"   // it is accepted, and the answer says what is wrong. The default
	SellAllow  SellRule = "allow"  // it is accepted, and nothing is said
)

// ShowStock says whether a page that sells the product shows how many keys are left.
type ShowStock string

// The choices of ShowStock.
const (
	ShowStockNever ShowStock = "never"
	ShowStockLow   ShowStock = "low" // when few are left. The default
)

// Sell says how a product is sold while it cannot be delivered at once. A source that can deliver makes it all void.
type Sell struct {
	WhenEmpty       SellRule  `json:"whenEmpty,omitempty"`       // its pools have too few keys: refuse or warn
	WhenPartnerDown SellRule  `json:"whenPartnerDown,omitempty"` // its partner does not answer: refuse, warn or allow
	ShowStock       ShowStock `json:"showStock,omitempty"`
}

// WithDefaults fills in what the merchant left out.
func (s Sell) WithDefaults() Sell {
	if s.WhenEmpty == "" {
		s.WhenEmpty = SellWarn
	}
	if s.WhenPartnerDown == "" {
		s.WhenPartnerDown = SellWarn
	}
	if s.ShowStock == "" {
		s.ShowStock = ShowStockLow
	}
	return s
}

// check says what is wrong with the rules of a product with these sources.
func (s Sell) check(sources []Source) error {
	var bad Problems
	has := func(kind func(SourceType) bool) bool {
		return slices.ContainsFunc(sources, func(s Source) bool { return kind(s.Type) })
	}
	bad.Check(slices.Contains([]SellRule{"", SellRefuse, SellWarn}, s.WhenEmpty), "whenEmpty", "must be refuse or warn")
	bad.Check(slices.Contains([]SellRule{"", SellRefuse, SellWarn, SellAllow}, s.WhenPartnerDown), "whenPartnerDown",
		"must be refuse, warn or allow")
	bad.Check(slices.Contains([]ShowStock{"", ShowStockNever, ShowStockLow}, s.ShowStock), "showStock",
		"must be never or low")
	bad.Check(s.WhenEmpty != SellRefuse || has(SourceType.HasPool), "whenEmpty",
		"refuse needs a source of type pool: nothing else can be empty")
	bad.Check(s.WhenPartnerDown != SellRefuse || has(SourceType.HasIntegration), "whenPartnerDown",
		"refuse needs a source of type endpoint: no other is watched")
	return bad.Err("the rules of selling are not valid")
}

// Shortage is why nothing can deliver a product at the moment.
type Shortage string

// The shortages.
const (
	ShortageStock   Shortage = "OUT_OF_STOCK"
	ShortagePartner Shortage = "PARTNER_DOWN"
)

// Sellable says what becomes of an order that these of the product's sources could serve. short tells of one source
// that it cannot deliver now, and why; empty: it can. One source that can deliver is enough. Otherwise the most lenient
// rule decides, because its source is the one that is waited for.
func (s Sell) Sellable(sources []Source, short func(Source) Shortage) (SellRule, Shortage) {
	rule, why := SellRefuse, Shortage("")
	s = s.WithDefaults()
	order := []SellRule{SellRefuse, SellWarn, SellAllow}
	for _, source := range sources {
		missing, its := short(source), s.WhenEmpty
		switch missing {
		case "":
			return SellAllow, ""
		case ShortagePartner:
			its = s.WhenPartnerDown
		case ShortageStock:
		}
		if why == "" || slices.Index(order, its) > slices.Index(order, rule) {
			rule, why = its, missing
		}
	}
	return rule, why
}

// Warning tells of a line that was accepted although nothing can deliver it at the moment, or of an address whose
// e-mails came back.
type Warning struct {
	Location  string   `json:"location" doc:"The field, such as lineItems[0].productId."`
	ProductID string   `json:"productId,omitempty"`
	Shortage  Shortage `json:"shortage,omitempty" enum:"OUT_OF_STOCK,PARTNER_DOWN"`
	Message   string   `json:"message"`
}

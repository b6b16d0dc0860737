package intake

import (
	"slices"
	"strings"

	"keyturn.dev/keyturn"
)

// Link gives the checkout link as it is stored, by the rules of Order. What CheckoutLink.Check refuses of it cannot be
// sold.
func Link(l keyturn.CheckoutLink) keyturn.CheckoutLink {
	l.Currency = strings.ToUpper(strings.TrimSpace(l.Currency))
	l.Provider = strings.TrimSpace(l.Provider)
	l.Locale = locale(l.Locale)
	if l.ExpiresAt != nil {
		end := l.ExpiresAt.UTC()
		l.ExpiresAt = &end
	}
	l.Customer = customer(l.Customer)
	l.LineItems = slices.Clone(l.LineItems)
	for i := range l.LineItems {
		l.LineItems[i] = linkLine(l.LineItems[i], l.Currency)
	}
	l.Offers.OnVisit, l.Offers.OnLeave = slices.Clone(l.Offers.OnVisit), slices.Clone(l.Offers.OnLeave)
	for _, some := range [][]keyturn.LinkOffer{l.Offers.OnVisit, l.Offers.OnLeave} {
		for i := range some {
			some[i].Headline, some[i].Text = oneLine(some[i].Headline, " "), oneLine(some[i].Text, " ")
			some[i].LineItem = linkLine(some[i].LineItem, l.Currency)
		}
	}
	return l
}

func linkLine(l keyturn.LinkLine, currency string) keyturn.LinkLine {
	l.Name, l.Description, l.SKU = oneLine(l.Name, " "), oneLine(l.Description, " "), oneLine(l.SKU, " ")
	l.LicenseID = strings.TrimSpace(l.LicenseID)
	l.Operation = keyturn.OperationName(strings.ToLower(strings.TrimSpace(string(l.Operation))))
	l.TrialContext = strings.ToUpper(strings.TrimSpace(l.TrialContext))
	for _, price := range []*string{&l.UnitPrice, &l.ListPrice} {
		*price = strings.TrimSpace(*price)
		if sum, err := keyturn.ParseMoney(*price, currency); err == nil {
			*price = sum.String()
		}
	}
	return l
}

package checkout

import (
	"strconv"

	"keyturn.dev/keyturn"
)

// CheckPrices says which prices of a link its provider cannot take. A price or provider that is wrong by itself is not
// its business. KindInvalid, with each field.
func (k *Desk) CheckPrices(l keyturn.CheckoutLink) error {
	processor, ok := k.Processors[l.Provider]
	if !ok {
		return nil
	}
	var bad keyturn.Problems
	check := func(at, price string) {
		if unit, err := keyturn.ParseMoney(price, l.Currency); err == nil {
			bad.Merge(at, processor.CheckSum(unit))
		}
	}
	total := keyturn.Money{Currency: l.Currency}
	for i, line := range l.LineItems {
		check("lineItems["+strconv.Itoa(i)+"].unitPrice", line.UnitPrice)
		if unit, err := keyturn.ParseMoney(line.UnitPrice, l.Currency); err == nil {
			total.Minor += unit.Minor * int64(line.Quantity.Value)
		}
	}
	for list, offers := range map[string][]keyturn.LinkOffer{"onVisit": l.Offers.OnVisit, "onLeave": l.Offers.OnLeave} {
		for i, o := range offers {
			check("offers."+list+"["+strconv.Itoa(i)+"].lineItem.unitPrice", o.LineItem.UnitPrice)
		}
	}
	err := bad.Err("the provider cannot take the prices")
	if err == nil && total.Minor > 0 {
		bad.Merge("total", processor.CheckTotal(total))
		err = bad.Err("the provider cannot take the sum")
	}
	return err
}

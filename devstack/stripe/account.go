package stripe

func (c *call) retrieveAccount() (object, *apiError) {
	return object{
		"id": c.state.Account, "object": "account", "type": "standard", "country": "DE", "default_currency": "eur",
		"charges_enabled": true, "details_submitted": true, "payouts_enabled": true, "email": "shop@keyturn.test",
		"capabilities": object{"card_payments": "active", "link_payments": "active", "sepa_debit_payments": "active"},
	}, nil
}

func (c *call) retrieveBalance() (object, *apiError) {
	sums := map[string]int64{}
	for _, ch := range c.state.Charges {
		sums[ch.Currency] += ch.AmountCaptured - ch.Refunded
	}
	available := []object{}
	for currency, sum := range sums {
		available = append(available, object{"amount": sum, "currency": currency})
	}
	return object{"object": "balance", "livemode": c.live, "available": available, "pending": []object{}}, nil
}

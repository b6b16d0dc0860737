package keyturn

// Pool is a stock of keys that were made beforehand.
type Pool struct {
	ID        string `json:"id"`
	Name      string `json:"name,omitempty"`
	Threshold int    `json:"threshold,omitempty"` // operations are alerted when fewer keys are left
	Currency  string `json:"currency,omitempty"`  // only for orders in this currency
}

// Check says what is wrong with the pool.
func (p Pool) Check() error {
	var bad Problems
	bad.Check(ValidID(p.ID), "id", "must be 1 to 64 letters, digits, '.', '_', ':' or '-'")
	bad.Check(cleanText(p.Name, 0, 200), "name", "must be at most 200 printable characters")
	bad.Check(p.Threshold >= 0 && p.Threshold <= 1_000_000_000, "threshold", "must be between 0 and 1000000000")
	bad.Check(p.Currency == "" || ValidCurrency(p.Currency), "currency", "must be an ISO 4217 currency such as EUR")
	return bad.Err("the pool is not valid")
}

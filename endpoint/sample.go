package endpoint

// samples are two orders that templates are tried with: one with every value and one with only those that every order
// has. Their values contain what breaks naive templates.
func samples(op string) []Data {
	discount := DiscountedPrice{
		DiscountedGrossPrice: "15.5", DiscountedNetPrice: "12.92", DiscountRate: "0.2",
		DiscountID: "d-1", DiscountCode: "SPRING",
	}
	price := Price{GrossPrice: "19.5", Currency: "EUR", DiscountedPrice: &discount}
	minimal := Data{
		LicenseID: "5b0f6c1e-2d0a-4a57-9c7e-0d2f1a7b9e31", Operation: op,
		OperationExecutionID: "b3f0c6de-91d4-4a0e-8a53-2c3d4e5f6071",
		RequestTimestamp:     1781514000000,
		Checkout: Checkout{
			OrderID: "SO-2201", LineItemID: "c4b7d7a0-55c1-4d4e-8f53-6b0f7f3f2a10",
			Price: Price{GrossPrice: "20", Currency: "EUR"},
		},
		User: User{ID: "usr-31", Email: "ana@buyer.test", Country: "ES", Locale: "es-ES"},
		Product: Product{
			ID: "orbit-studio", Name: `Orbit "Studio"`, LineItemID: "c4b7d7a0-55c1-4d4e-8f53-6b0f7f3f2a10", Quantity: 1,
			Price: Price{GrossPrice: "20", Currency: "EUR"},
		},
	}
	full := minimal
	full.Checkout = Checkout{
		OrderID: "SO-2201", LineItemID: minimal.Checkout.LineItemID, SubscriptionID: "e2a90d0c-8f6e-4c2f-9a0b-7c1d2e3f4a5b",
		CartExternalContext: "eyJyZWYiOiJzcHJpbmctMjYifQ", TrialContext: "CREATION", Price: price,
		StoreExternalContext: "store",
		AffiliateID:          "aff-1", ResellerID: "res-1", BillingPlanID: "plan-1", ProductUsageID: "use-1",
	}
	full.User = User{
		ID: "usr-31", Email: "ana@buyer.test", Country: "ES", Locale: "es-ES", FirstName: `Ana "Ñ" \ 😀`,
		LastName:    "Ruiz\tGil",
		CompanyName: "Ruiz & <Co>", CompanyIdentifier: "ESB12345678", Street: "Calle 1", City: "Sevilla", ZipCode: "41001",
	}
	full.Product = Product{
		ID: "orbit-studio", Name: `Orbit "Studio"`, PublisherProductID: "ORB-STU-1Y", PublisherFulfillmentID: "pf-1",
		LineItemID: minimal.Checkout.LineItemID, ExternalContext: "line:studio", StartTimestamp: 1781514000000,
		ExpirationTimestamp: 1813036000000, Quantity: 2, ActivationLink: "https://partner.test/a/1",
		PriceFunctionParameters: map[string]string{"seats": "3"}, Variables: map[string]string{"region": "EU"}, Price: price,
	}
	full.AdditionalData = map[string]List{"activationCode": {"ORB-1111-2222"}, "publisherLicenseID": {"L-77"}}
	return []Data{full, minimal}
}

func sampleName(d Data) string {
	if d.User.FirstName == "" {
		return "that has only the required values"
	}
	return "that has every value"
}

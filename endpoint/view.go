package endpoint

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"keyturn.dev/keyturn"
)

// view is what a template sees of Data: the same names, but no value in it has a method, because text/template lets an
// author call every exported method of every value it reaches. Prices are int64 or float64 here, so that printf and the
// comparisons work on them. Embedding the private twins keeps their fields without offering the twin itself.
type view struct {
	LicenseID            string          `json:"licenseId"`
	Operation            string          `json:"operation"`
	OperationExecutionID string          `json:"operationExecutionId,omitempty"`
	RequestTimestamp     int64           `json:"requestTimestamp,omitempty"`
	Checkout             checkoutView    `json:"checkout"`
	User                 User            `json:"user"`
	Product              productView     `json:"product"`
	AdditionalData       map[string]List `json:"additionalData,omitempty"`
}

type (
	checkout     Checkout
	checkoutView struct {
		checkout
		Price priceView `json:"price"`
	}
	product     Product
	productView struct {
		product
		Price priceView `json:"price"`
	}
	priceView struct {
		GrossPrice      any           `json:"grossPrice"`
		Currency        string        `json:"currency"`
		DiscountedPrice *discountView `json:"discountedPrice,omitempty"`
	}
	discountView struct {
		DiscountedGrossPrice any    `json:"discountedGrossPrice"`
		DiscountedNetPrice   any    `json:"discountedNetPrice"`
		DiscountRate         any    `json:"discountRate"`
		DiscountID           string `json:"discountId,omitempty"`
		DiscountCode         string `json:"discountCode,omitempty"`
	}
)

func (d Data) view() (view, error) {
	v := view{
		LicenseID: d.LicenseID, Operation: d.Operation, OperationExecutionID: d.OperationExecutionID,
		RequestTimestamp: d.RequestTimestamp, User: d.User,
		Checkout:       checkoutView{checkout: checkout(d.Checkout)},
		Product:        productView{product: product(d.Product)},
		AdditionalData: make(map[string]List, 2*len(d.AdditionalData)),
	}
	var err1, err2 error
	v.Checkout.Price, err1 = d.Checkout.Price.view()
	v.Product.Price, err2 = d.Product.Price.view()
	if err1 != nil || err2 != nil {
		return view{}, keyturn.Errorf(keyturn.KindInternal, "a price of the request is not a decimal")
	}
	// Response paths are named in camelCase (activationCode), the context in PascalCase (ActivationCode): offer both.
	for name, list := range d.AdditionalData {
		v.AdditionalData[name] = list
	}
	for name, list := range d.AdditionalData {
		first, size := utf8.DecodeRuneInString(name)
		title := string(unicode.ToUpper(first)) + name[size:]
		if _, taken := d.AdditionalData[title]; !taken {
			v.AdditionalData[title] = list
		}
	}
	return v, nil
}

func (p Price) view() (priceView, error) {
	v := priceView{Currency: p.Currency}
	var err error
	if v.GrossPrice, err = p.GrossPrice.number(); err != nil || p.DiscountedPrice == nil {
		return v, err
	}
	d := discountView{DiscountID: p.DiscountedPrice.DiscountID, DiscountCode: p.DiscountedPrice.DiscountCode}
	if d.DiscountedGrossPrice, err = p.DiscountedPrice.DiscountedGrossPrice.number(); err != nil {
		return v, err
	}
	if d.DiscountedNetPrice, err = p.DiscountedPrice.DiscountedNetPrice.number(); err != nil {
		return v, err
	}
	d.DiscountRate, err = p.DiscountedPrice.DiscountRate.number()
	v.DiscountedPrice = &d
	return v, err
}

func (d Decimal) number() (any, error) {
	text, ok := d.shortest()
	if !ok {
		return nil, strconv.ErrSyntax
	}
	if strings.Contains(text, ".") {
		return strconv.ParseFloat(text, 64)
	}
	return strconv.ParseInt(text, 10, 64)
}

package emulator

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// ids is what the emulator reads from a request. Partners name these fields as they like, so several places are tried:
// Nexway's default body first.
type ids struct {
	body     map[string]any
	products []string // every product ID in sight, for drills
	quantity int
	held     string // a key that the customer already has, sent with renewals
}

var (
	idPlaces      = []string{"fulfillmentId", "licenseId", "LicenseID", "fulfillment_id", "ref", "reference"}
	orderPlaces   = []string{"checkout.orderId", "orderId", "order.id", "order", "order_id"}
	linePlaces    = []string{"checkout.lineItemId", "product.lineItemId", "lineItemId", "lineId", "line_item_id"}
	unitPlaces    = []string{"unit", "unitIndex", "product.unitIndex"}
	productPlaces = []string{
		"product.publisherProductId", "product.id", "publisherProductId", "productId", "sku",
		"product",
	}
	quantityPlaces = []string{"product.quantity", "quantity"}
	heldPlaces     = []string{"activationCode", "existingCode", "additionalData.activationCode", "licenseKey"}
)

const maxQuantity = 10_000 // keys in one answer

// readIDs fills the entry and the ids of a call from its body, query and headers. It is false if the body is not a JSON
// object.
func (c *call) readIDs() bool {
	c.ids.quantity = 1
	c.entry.FulfillmentID = c.route.lookupID
	ok := c.decodeBody()
	b := c.ids.body
	places := idPlaces
	if c.settings.IDPath != "" {
		places = []string{c.settings.IDPath}
	}
	setFirst(&c.entry.FulfillmentID, b, places)
	setFirst(&c.entry.OrderID, b, orderPlaces)
	setFirst(&c.entry.LineItemID, b, linePlaces)
	setFirst(&c.entry.Unit, b, unitPlaces)
	setFirst(&c.ids.held, b, heldPlaces)
	for _, place := range productPlaces {
		if text := textAt(b, place); text != "" {
			c.ids.products = append(c.ids.products, text)
		}
	}
	if c.route.dynamic {
		c.readDynamicIDs()
	}
	if len(c.ids.products) > 0 {
		c.entry.ProductID = c.ids.products[0]
	}
	for _, place := range quantityPlaces {
		if n, err := strconv.Atoi(textAt(b, place)); err == nil && n > 0 {
			c.ids.quantity = min(n, maxQuantity)
			break
		}
	}
	if c.route.op == opFromBody {
		c.entry.Op = opCreate
		if op := operations[textAt(b, "operation")]; op != "" {
			c.entry.Op = op
		}
	}
	return ok
}

// readDynamicIDs: a dynamic URL promises only ?id=; who sends more is deduplicated by it.
func (c *call) readDynamicIDs() {
	c.ids.quantity = 1 // data is one value
	c.ids.products = append([]string{c.r.URL.Query().Get("id")}, c.ids.products...)
	if c.entry.FulfillmentID == "" {
		c.entry.FulfillmentID = c.r.Header.Get("Idempotency-Key")
	}
}

func (c *call) decodeBody() bool {
	body := c.body
	if c.r.Method == http.MethodGet || c.route.op == opToken || (c.route.dynamic && len(bytes.TrimSpace(body)) == 0) {
		return true
	}
	if !json.Valid(body) { // Decode below would accept what follows the first value
		return c.route.dynamic
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber() // a signature covers numbers as they were written
	return d.Decode(&c.ids.body) == nil && c.ids.body != nil || c.route.dynamic
}

func setFirst(target *string, body map[string]any, places []string) {
	for _, place := range places {
		if *target != "" {
			return
		}
		*target = textAt(body, place)
	}
}

// textAt returns the scalar at a dotted place as text, "" if there is none. A list with one element counts as that
// element.
func textAt(body map[string]any, place string) string {
	var v any = body
	for word := range strings.SplitSeq(place, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[word]
	}
	if list, ok := v.([]any); ok && len(list) == 1 {
		v = list[0]
	}
	return scalarText(v)
}

// scalarText writes a value as signatures want it: numbers plainly and without trailing zeros.
func scalarText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return plainNumber(v.String())
	}
	return ""
}

func plainNumber(text string) string {
	if strings.ContainsAny(text, "eE") {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return text
		}
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	if !strings.Contains(text, ".") {
		return text
	}
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

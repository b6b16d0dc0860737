package web

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

// view is the template's data. Its texts are plain: the template escapes them.
type view struct {
	Lang, Title string
	Shop        shopView
	Nonce       string
	CSS         template.CSS
	Script      template.JS
	Label       map[string]string // the template's own words

	Refresh  int    // seconds until the page looks for news; 0: it does not
	State    string // a hash of what the page says, to find out whether there are news
	Revealed bool
	Now      string // by which times are near or far
	Times    string // the formats of times, for the script

	Notice  string
	Text    string // of a page without an order
	Order   *orderView
	Confirm *confirmView
}

// orderView is an order with one page of its lines.
type orderView struct {
	ID, Total, Summary, Lead string // Lead is what follows the first sentence of the summary
	Hello                    string
	Ordered                  part
	Counts                   []string // of a large order
	Lines                    []lineView
	Pages                    *pagesView
	Final                    bool
	Sold                     *soldView // of an order that a checkout link made
	ShowAll, ShowAllLink     string    // the button that reveals all
	Returned                 *returnedView
}

type pagesView struct {
	Here           string
	Previous, Next string // links
}

type lineView struct {
	Anchor, Product, Operation, Quantity, Price string
	Image                                       *imageView
	Situation                                   situation
	Status                                      string
	Story                                       []phrase
	Show, ShowLink                              string // the button that reveals, and where it leads
	Again, AgainLink                            string // the button that has the e-mail sent again
	Refund, RefundLink                          string
	Instructions, Download                      string // links of the product
	Keys                                        *keysView
	Address                                     *addressView // the form for another one
}

// keysView holds the keys that a customer asked to see. Only answers to a POST contain it.
type keysView struct {
	Codes    []codeView
	Replaced []string // no longer valid
	Links    []linkView
	Files    []fileView
	Hide     string
	List     string // where several codes are got as a file; empty: there is one
}

type linkView struct {
	URL   string
	HTTPS bool // it may be followed, not only read
}

// codeView is a key: a block of several lines, a link to follow, or neither.
type codeView struct {
	Text        string
	Block, Link bool
}

type fileView struct{ Label, Link string }

// answer is the result of a POST, shown on the order page beside the current status.
type answer struct {
	status  int                        // 0: 200
	notice  string                     // in the customer's language
	line    string                     // the line it is about
	given   string                     // an address that is none
	keys    map[string]db.Deliverables // by fulfillment ID
	confirm bool
	// withdraw: ask whether the customer wants to withdraw from the contract
	withdraw bool
}

// quiet says that the page answers nothing.
func (a answer) quiet() bool {
	return a.status == 0 && a.notice == "" && a.line == "" && a.keys == nil && !a.confirm && !a.withdraw
}

const (
	fastRefresh = 5  // seconds, while an order is young and things happen
	slowRefresh = 30 // later on
	youth       = 3 * time.Minute
	// manyLines is the number of lines from which the page sums them up in a sentence.
	manyLines = 10
)

// viewOf builds the order page. Only a page without an answer refreshes itself: keys, a question or an answer must not
// vanish.
func (p *pages) viewOf(token string, page db.CustomerPage, a answer) view {
	w := wordsFor(page.Locale)
	v := view{
		Lang: w.lang, Title: w.title + " " + page.OrderID, Label: labels(w), Notice: a.notice,
		Revealed: a.keys != nil, Now: page.Now.Format(time.RFC3339), Times: w.date.localTimes(),
	}
	o := &orderView{
		ID: page.OrderID, Total: w.date.money(page.Price).Text, Ordered: w.date.on(page.CreatedAt), Final: page.Final(),
		Counts: counts(w, page.Counts),
	}
	var more bool
	if o.Summary, o.Lead, more = strings.Cut(summary(w, page), ". "); more {
		o.Summary += "."
	}
	if page.FirstName != "" {
		o.Hello = say(w.hello, values{"name": text(page.FirstName)}).String()
	}
	if page.Pages > 1 {
		o.Pages = &pagesView{Here: say(w.pages.page,
			values{"n": text(strconv.Itoa(page.Page)), "all": text(strconv.Itoa(page.Pages))}).String()}
		if page.Page > 1 {
			o.Pages.Previous = pageLink(token, page.Page-1)
		}
		if page.Page < page.Pages {
			o.Pages.Next = pageLink(token, page.Page+1)
		}
	}
	hidden, asks := 0, false
	for _, l := range page.Lines {
		lv := p.lineOf(w, token, l, page.Now)
		if keys, shown := a.keys[l.FulfillmentID]; shown {
			lv.Keys = keysOf(w, token, l, keys, pageLink(token, page.Page)+"#"+lv.Anchor)
			lv.Show, lv.ShowLink = "", ""
		}
		if lv.Show != "" && l.Status == keyturn.LineDelivered {
			hidden++
		}
		if lv.Address != nil {
			asks = true
			if l.FulfillmentID == a.line {
				lv.Address.Value = a.given
			}
		}
		if l.FulfillmentID == a.line && a.confirm {
			v.Confirm = confirmOf(w, token, l, page.Page)
		}
		o.Lines = append(o.Lines, lv)
	}
	if o.Returned = p.returnedOf(w, token, page.Returned, asks, a); o.Returned != nil && o.Returned.Address != nil {
		asks = true
	}
	if hidden > 1 {
		o.ShowAll, o.ShowAllLink = w.action.showAll, "/o/"+url.PathEscape(token)+"/keys"
		if page.Page > 1 {
			o.ShowAllLink += "?page=" + strconv.Itoa(page.Page)
		}
	}
	o.Sold = soldOf(w, token, page)
	if a.withdraw {
		v.Confirm = confirmWithdrawal(w, token, page)
	}
	if v.Confirm != nil { // a question stands alone
		v.Title = v.Confirm.Question
	}
	v.Order = o
	quiet := a.quiet()
	if !o.Final && quiet && !asks { // nothing is to vanish while somebody fills it in
		v.Refresh = slowRefresh
		if page.Now.Sub(page.CreatedAt) < youth {
			v.Refresh = fastRefresh
		}
	}
	if quiet {
		said, _ := json.Marshal(o) //nolint:errchkjson // texts and numbers always marshal
		sum := sha256.Sum256(said)
		v.State = hex.EncodeToString(sum[:12])
	}
	return v
}

func (p *pages) lineOf(w *words, token string, l db.CustomerLine, now time.Time) lineView {
	at := situationOf(l)
	v := lineView{
		Anchor: lineAnchor(l.FulfillmentID), Product: l.Product.Name, Quantity: strconv.Itoa(l.Quantity),
		Price:     w.date.money(l.Price).Text,
		Situation: at, Status: w.status[at], Story: story(w, l, now), Image: viewOfImage(l.Product.Image),
	}
	v.Operation = w.operation[l.Operation] // a create has no word: it is the usual one
	if l.MayReveal {
		v.Show, v.ShowLink = w.action.showKey, lineLink(token, l.FulfillmentID, "keys")
		if l.Product.Units(l.Quantity) > 1 {
			v.Show = w.action.showKeys
		}
		if l.Product.PageKeys == keyturn.PageKeysAlways && l.Status == keyturn.LineDelivered {
			v.Show, v.ShowLink = "", "" // they are there
		}
		v.Instructions, v.Download = l.Product.URLToInstructions, l.Product.URLToDownload
	}
	if l.MaySendAgain && p.RenderKeys != nil {
		v.Again, v.AgainLink = w.action.sendAgain, lineLink(token, l.FulfillmentID, "resend")
	}
	v.Address = p.addressOf(w, token, l)
	if l.MayRefund && p.Resolve != nil {
		v.Refund, v.RefundLink = w.action.refund, lineLink(token, l.FulfillmentID, "refund")
		if l.Price.Minor == 0 || l.Unpaid {
			v.Refund = w.action.refundFree
		}
	}
	return v
}

func keysOf(w *words, token string, l db.CustomerLine, d db.Deliverables, hide string) *keysView {
	v := &keysView{Hide: hide}
	if l.Product.PageKeys == keyturn.PageKeysAlways {
		v.Hide = ""
	}
	if len(d.Codes) > 1 {
		v.List = lineLink(token, l.FulfillmentID, "list")
	}
	for _, link := range d.Links {
		v.Links = append(v.Links, linkView{URL: link, HTTPS: strings.HasPrefix(link, "https://")})
	}
	for _, code := range d.Codes {
		key := code.Reveal()
		v.Codes = append(v.Codes, codeView{Text: key, Block: strings.Contains(key, "\n"), Link: keyturn.KeyIsLink(key)})
	}
	for _, code := range d.Replaced {
		v.Replaced = append(v.Replaced, code.Reveal())
	}
	for i, f := range d.Files {
		v.Files = append(v.Files, fileView{
			Label: say(w.action.download, values{"name": text(fileName(f.Name))}).String(),
			Link:  "/o/" + url.PathEscape(token) + "/files/" + l.FulfillmentID + "/" + strconv.Itoa(i+1),
		})
	}
	return v
}

// summary is one sentence about the whole order.
func summary(w *words, p db.CustomerPage) string {
	switch {
	case p.Canceling && p.Status != keyturn.OrderCanceled:
		return w.orderCancel
	case p.Status == keyturn.OrderCompleted && cameBack(p) > 0:
		return say(w.address.summary, ofKeys(cameBack(p))).String()
	case p.Status == keyturn.OrderPartialCompleted && p.Counts.Trouble == 0:
		return w.underWay
	}
	return w.summary[p.Status]
}

// counts sums up the lines of a large order by status.
func counts(w *words, c keyturn.LineCounts) []string {
	if c.Total < manyLines {
		return nil
	}
	var out []string
	for _, x := range []struct {
		n        int
		sentence string
	}{
		{c.Delivered, w.counts.delivered},
		{c.Total - c.Trouble - c.Delivered - c.Canceling - c.Canceled, w.counts.underWay},
		{c.Trouble, w.counts.late},
		{c.Canceling, w.counts.canceling},
		{c.Canceled, w.counts.canceled},
	} {
		if x.n > 0 {
			out = append(out, say(x.sentence, values{"n": text(strconv.Itoa(x.n))}).String())
		}
	}
	return out
}

func labels(w *words) map[string]string {
	return map[string]string{
		"order": w.order, "ordered": w.ordered, "total": w.total, "items": w.items, "quantity": w.quantity,
		"keepLink": w.keepLink, "zone": w.zone, "library": w.library.All,
		"pages": w.pages.nav, "previous": w.pages.previous, "next": w.pages.next, "yourKeys": w.action.yourKeys,
		"copy":    w.action.copyKey,
		"copyAll": w.action.copyAll, "saveList": w.action.saveList,
		"copied": w.action.copied, "replaced": w.action.replaced, "link": w.action.link, "hide": w.action.hide,
		"instructions": w.action.instructions,
		"download":     w.action.downloadProduct,
	}
}

// failure is a page without an order.
func failure(w *words, title, text string) view {
	return view{Lang: w.lang, Title: title, Text: text, Label: labels(w)}
}

func pageLink(token string, page int) string {
	link := "/o/" + url.PathEscape(token)
	if page > 1 {
		link += "?page=" + strconv.Itoa(page)
	}
	return link
}

func lineLink(token, fulfillmentID, action string) string {
	return "/o/" + url.PathEscape(token) + "/lines/" + fulfillmentID + "/" + action
}

func lineAnchor(fulfillmentID string) string { return "line-" + fulfillmentID }

// pageNumber reads ?page=; the default is 1.
func pageNumber(r *http.Request) (int, bool) {
	given := r.URL.Query().Get("page")
	if given == "" {
		return 1, true
	}
	n, err := strconv.Atoi(given)
	return n, err == nil && n >= 1
}

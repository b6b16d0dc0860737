package web

import (
	_ "embed"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
)

var (
	//go:embed library.html
	libraryHTML string
	//go:embed library.css
	libraryCSS string

	libraryTemplate = template.Must(template.New("library").Option("missingkey=error").Parse(libraryHTML + shopHTML))
)

// libraryView is the template's data. Its texts are plain: the template escapes them.
type libraryView struct {
	Lang, Title, Nonce string
	Shop               shopView
	CSS                template.CSS
	W                  *libraryWords
	Zone               string // names the zone of the times

	Notice       string
	Texts        []string
	Button, Link string // a form of one button
	Ask          *libraryAskView
	List         *libraryListView
	Receipt      *receiptView
}

// libraryAskView is the form in which an address is given.
type libraryAskView struct{ Label, Email, Wrong, Submit string }

// libraryListView is one page of orders.
type libraryListView struct {
	Until       phrase
	Orders      []libraryOrderView
	First, Next string // links
}

type libraryOrderView struct {
	ID, Link, Receipt string
	Summary           string
	Ordered           part
	Money             []string
	Lines             []libraryLineView
	More              string // how many lines only the order's page has
}

type libraryLineView struct {
	Product, Operation, Quantity, Price string
	Image                               *imageView
	Situation                           situation
	Status                              string
	License                             string
	Term                                phrase
	Show, ShowLink                      string // where the keys are shown
	Instructions, Download              string
	Files                               []fileView
}

// receiptView is what was paid for an order and what went back.
type receiptView struct {
	Order, Ordered, For string
	Lines               []receiptLine
	Sums                []receiptSum
	More                string
	Back                string
}

type receiptLine struct{ Name, Quantity, Price, Refund string }

type receiptSum struct{ Label, Amount string }

// renderLibrary writes a page of the library.
func (p *pages) renderLibrary(w http.ResponseWriter, r *http.Request, status int, v libraryView) {
	words := libraryWordsOf(r)
	p.readShop(r.Context())
	v.Lang, v.W, v.Zone, v.Shop, v.Nonce = words.lang, &words.library, words.zone, p.shopView(words.lang), nonceOf(r)
	v.CSS = template.CSS(pageCSS + libraryCSS) //nolint:gosec // our own files
	p.write(w, status, v.Lang, libraryTemplate, v)
}

func libraryAsk(w *words) libraryView {
	l := &w.library
	return libraryView{Title: l.Title, Texts: []string{l.Ask}, Ask: &libraryAskView{Label: l.Email, Submit: l.Submit}}
}

func (p *pages) libraryList(w *words, page db.LibraryPage, later bool) libraryView {
	l := &w.library
	list := &libraryListView{Until: say(l.Until, values{"by": w.date.until(page.Until, page.Now)})}
	if later {
		list.First = libraryOrders
	}
	if page.NextCursor != "" {
		list.Next = libraryOrders + "?after=" + url.QueryEscape(page.NextCursor)
	}
	for _, o := range page.Orders {
		list.Orders = append(list.Orders, libraryOrderOf(w, o))
	}
	v := libraryView{Title: l.Title, List: list}
	if len(list.Orders) == 0 {
		v.Texts = []string{l.Nothing}
	}
	return v
}

func libraryOrderOf(w *words, o db.LibraryOrder) libraryOrderView {
	v := libraryOrderView{
		ID: o.OrderID, Link: pageLink(o.PageToken, 1), Receipt: "/library/receipts/" + url.PathEscape(o.OrderID),
		Ordered: w.date.on(o.CreatedAt),
	}
	v.Summary, _, _ = strings.Cut(summary(w, o.CustomerPage), ". ")
	v.Summary = strings.TrimSuffix(v.Summary, ".") + "."
	for _, s := range sumsOf(w, o) {
		v.Money = append(v.Money, s.Label+" "+s.Amount)
	}
	for _, line := range o.Lines {
		v.Lines = append(v.Lines, libraryLineOf(w, o, line))
	}
	v.More = moreLines(w, o)
	return v
}

func moreLines(w *words, o db.LibraryOrder) string {
	more := o.Counts.Total - len(o.Lines)
	if more <= 0 {
		return ""
	}
	return say(w.library.More, values{"n": text(strconv.Itoa(more))}).String()
}

// libraryFiles is how many files of a line have a button of their own; the order's page has all.
const libraryFiles = 5

func libraryLineOf(w *words, o db.LibraryOrder, l db.CustomerLine) libraryLineView {
	at := situationOf(l)
	v := libraryLineView{
		Product: l.Product.Name, Operation: w.operation[l.Operation], Quantity: strconv.Itoa(l.Quantity),
		Price: w.date.money(l.Price).Text, Situation: at, Status: w.status[at], Image: viewOfImage(l.Product.Image),
	}
	if c, ok := o.Licenses[l.FulfillmentID]; ok {
		v.License, v.Term = c.ID, termOf(w, c, o.Now)
	}
	if !l.MayReveal {
		return v
	}
	v.Show, v.ShowLink = w.library.ToKeys, orderLinkOf(o, l)
	v.Instructions, v.Download = l.Product.URLToInstructions, l.Product.URLToDownload
	for n := 1; n <= min(o.Files[l.FulfillmentID], libraryFiles); n++ {
		v.Files = append(v.Files, fileView{
			Label: say(w.library.File, values{"n": text(strconv.Itoa(n))}).String(),
			Link:  "/o/" + url.PathEscape(o.PageToken) + "/files/" + l.FulfillmentID + "/" + strconv.Itoa(n),
		})
	}
	return v
}

func orderLinkOf(o db.LibraryOrder, l db.CustomerLine) string {
	return pageLink(o.PageToken, (l.Position-1)/db.CustomerPageLines+1) + "#" + lineAnchor(l.FulfillmentID)
}

// termOf says where a licence stands and until when it runs.
func termOf(w *words, c db.LibraryLicense, now time.Time) phrase {
	l := &w.library
	if c.Status == keyturn.LicenseRunning && c.ExpiresAt != nil {
		return say(l.RunningUntil, values{"by": w.date.until(*c.ExpiresAt, now)})
	}
	return say(l.Licenses[c.Status], nil)
}

// sumsOf are what was paid for an order and what became of it.
func sumsOf(w *words, o db.LibraryOrder) []receiptSum {
	l := &w.library
	sums := []receiptSum{{w.total, w.date.money(o.Price).Text}}
	switch {
	case o.Price.Minor == 0:
	case o.Uncharged && o.Paid.Minor == 0:
		sums = append(sums, receiptSum{l.NotCharged, ""})
	case o.Unpaid:
		sums = append(sums, receiptSum{l.NotYetCharged, ""})
	default:
		sums = append(sums, receiptSum{l.Paid, w.date.money(o.Paid).Text})
	}
	if o.Refunded.Minor > 0 {
		sums = append(sums, receiptSum{l.Refunded, w.date.money(o.Refunded).Text})
	}
	if o.Returning.Minor > 0 {
		sums = append(sums, receiptSum{l.Returning, w.date.money(o.Returning).Text})
	}
	return sums
}

func libraryReceiptOf(w *words, o db.LibraryOrder) libraryView {
	l := &w.library
	c := o.Customer
	v := &receiptView{
		Order: o.OrderID, Ordered: w.date.on(o.CreatedAt).Text, Sums: sumsOf(w, o), Back: libraryOrders,
		More: moreLines(w, o),
		For: joined(", ", c.CompanyName, joined(" ", c.FirstName, c.LastName), c.Street, joined(" ", c.ZipCode, c.City),
			c.Country, c.CompanyIdentifier),
	}
	for _, line := range o.Lines {
		r := receiptLine{
			Name: line.Product.Name, Quantity: strconv.Itoa(line.Quantity), Price: w.date.money(line.Price).Text,
		}
		if line.RefundedAt != nil && line.Refund.Minor > 0 {
			r.Refund = say(l.RefundedOn, values{
				"amount": w.date.money(line.Refund), "when": w.date.on(*line.RefundedAt),
			}).String()
		}
		v.Lines = append(v.Lines, r)
	}
	return libraryView{Title: l.Receipt + " " + o.OrderID, Receipt: v}
}

// joined joins the texts that are not empty.
func joined(separator string, texts ...string) string {
	var some []string
	for _, t := range texts {
		if t != "" {
			some = append(some, t)
		}
	}
	return strings.Join(some, separator)
}

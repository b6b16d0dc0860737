package mail

import (
	"embed"
	"fmt"
	"html/template"
	"strconv"
	"strings"

	"keyturn.dev/keyturn"
)

//go:embed templates/*.html
var templateFiles embed.FS

var pages = template.Must(template.ParseFS(templateFiles, "templates/*.html"))

// frame surrounds the merchant's or our own text. Its fields are plain text except HTML.
type frame struct {
	Lang       string
	Title      string
	Face       face
	Greeting   string
	Notice     string        // stands first, where a mailbox shows it whatever it cuts off
	Text       string        // the body of the text part
	HTML       template.HTML // the body of the HTML part, escaped already
	Paragraphs []string      // or the body of the HTML part as plain text
	Details    string
	Colon      string // between a label and its value
	Rows       []row
	Sections   []section
	Button     *button
	PageLabel  string
	Page       string
	PageHref   string
	Signature  string
	Seller     string
	Footer     []row // without a label: the value is a link
}

// row is one line of the order's details. Href makes the value a link.
type row struct{ Label, Value, Href string }

// section stands below the details: plain text, or somebody's words in a quotation.
type section struct{ Heading, Text, Quote string }

// button is a link that stands out, after the sentence that leads to it. Without Href it is only read.
type button struct{ Lead, Label, Link, Href string }

func newFrame(w *words, c Content) frame {
	f := frame{
		Lang: w.lang, Face: faceOf(c), Greeting: w.helloNobody, Details: w.details, Colon: w.colon, PageLabel: w.page,
		Page: oneLine(c.OrderPage), PageHref: webURL(c.OrderPage), Signature: w.signature, Seller: seller(c.Envelope),
		Footer: footer(w, c.Shop),
	}
	if name := oneLine(c.Customer.FirstName + " " + c.Customer.LastName); name != "" {
		f.Greeting = fmt.Sprintf(w.hello, name)
	}
	add := func(label, value string) {
		if value = oneLine(value); value != "" {
			f.Rows = append(f.Rows, row{Label: label, Value: value})
		}
	}
	add(w.order, c.OrderID)
	if !c.OrderedAt.IsZero() {
		add(w.ordered, w.Day(c.OrderedAt))
	}
	add(w.product, c.ProductName)
	if c.Quantity > 0 {
		add(w.quantity, strconv.Itoa(c.Quantity))
	}
	if c.TotalPrice.Currency != "" {
		f.Rows = append(f.Rows, row{Label: w.total, Value: w.Money(c.TotalPrice)})
	}
	if c.ValidUntil != nil {
		f.Rows = append(f.Rows, row{Label: w.validUntil, Value: w.LastDay(*c.ValidUntil)})
	}
	for _, key := range c.Replaced {
		add(w.replaced, key)
	}
	return f
}

// composeParagraphs is compose of a frame whose body is its paragraphs.
func (f frame) composeParagraphs(e Envelope, subject string) (Message, error) {
	f.Text = strings.Join(f.Paragraphs, "\n\n")
	return f.compose(e, subject, nil)
}

// compose renders both parts into a message.
func (f frame) compose(e Envelope, subject string, files []Attachment) (Message, error) {
	f.Title = oneLine(subject)
	html, err := executePage("frame.html", f)
	if err != nil {
		return Message{}, err
	}
	return compose(e, subject, f.text(), html, files)
}

func (f frame) text() string {
	var out strings.Builder
	if f.Notice != "" {
		out.WriteString(f.Notice + "\n" + f.Page + "\n\n")
	}
	out.WriteString(f.Greeting + "\n\n" + f.Text + "\n")
	if len(f.Rows) > 0 {
		out.WriteString("\n" + f.Details + "\n")
		for _, r := range f.Rows {
			out.WriteString("  " + r.Label + f.Colon + r.Value + "\n")
		}
	}
	for _, s := range f.Sections {
		out.WriteString("\n" + s.Heading + "\n")
		if s.Text != "" {
			out.WriteString(s.Text + "\n")
		}
		if s.Quote != "" {
			out.WriteString("> " + s.Quote + "\n")
		}
	}
	if f.Button != nil {
		out.WriteString("\n" + f.Button.Lead + "\n" + f.Button.Link + "\n")
	}
	if f.Page != "" {
		out.WriteString("\n" + f.PageLabel + "\n" + f.Page + "\n")
	}
	out.WriteString("\n" + f.Signature + "\n" + f.Seller + "\n")
	for i, r := range f.Footer {
		if i == 0 {
			out.WriteString("\n")
		}
		out.WriteString(r.Label + f.Colon + r.Value + "\n")
	}
	return out.String()
}

func executePage(name string, data any) (string, error) {
	var out strings.Builder
	if err := pages.ExecuteTemplate(&out, name, data); err != nil {
		return "", keyturn.Errorf(keyturn.KindInternal, "the mail's frame does not render: %w", err)
	}
	return out.String(), nil
}

func seller(e Envelope) string {
	_, domain, _ := strings.Cut(e.From, "@")
	return firstNonEmpty(oneLine(e.SenderName), domain)
}

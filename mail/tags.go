package mail

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"keyturn.dev/keyturn"
)

// tagList has every substitution tag, as merchants know them from Noventiq's portal.
var tagList = []string{
	"KEY", "PARENT_KEY", "ORDER_ID", "PRICEGROUP_ID", "PROGRAM_NAME", "PROGRAM_SHORT", "QUANTITY",
	"PRICE_ONE_DUPLICATE", "PRICE_ALL_DUPLICATES", "FULLNAME", "FNAME", "LNAME", "LICENSE_FOR",
	"EMAIL", "PHONE", "COMPANY", "COUNTRY", "CITY", "ZIP", "ADDRESS", "URL", "URL_FULL", "DATE", "ADDINFO_TEXT",
}

var tagNames = func() map[string]bool {
	set := make(map[string]bool, len(tagList))
	for _, name := range tagList {
		set[name] = true
	}
	return set
}()

// tagLike matches whatever a merchant may have meant as a tag; Check examines it more closely.
var tagLike = regexp.MustCompile(`\{\s*([A-Za-z][A-Za-z0-9_]*)\s*\}`)

// maxTag exceeds the length of the longest tag with its braces.
const maxTag = 32

// splitTags cuts text into literals and tags and passes them on in order. Only exact known tags are tags. Replacements
// are not searched again, so a customer named "{KEY}" gets no key.
func splitTags(text string, literal, tag func(string)) {
	start := 0
	for i := 0; i < len(text); {
		open := strings.IndexByte(text[i:], '{')
		if open < 0 {
			break
		}
		open += i
		i = open + 1
		end := strings.IndexByte(text[open:min(len(text), open+maxTag)], '}')
		if end > 0 && tagNames[text[open+1:open+end]] {
			literal(text[start:open])
			tag(text[open+1 : open+end])
			start = open + end + 1
			i = start
		}
	}
	literal(text[start:])
}

// expand replaces the tags of text by plain values. Several keys begin on a line of their own, so that the first one
// does not stand apart from the others.
func expand(text string, values map[string]string) string {
	var out strings.Builder
	midLine := false
	splitTags(text, func(s string) {
		out.WriteString(s)
		if s != "" {
			midLine = !strings.HasSuffix(s, "\n")
		}
	}, func(name string) {
		value := values[name]
		if midLine && name == "KEY" && strings.Contains(value, "\n") {
			out.WriteString("\n")
		}
		out.WriteString(value)
		midLine = true
	})
	return out.String()
}

// tagValues returns the value of every tag as plain text: one line each, except {KEY}.
func tagValues(w *words, c Content) map[string]string {
	who := c.Customer
	full := strings.TrimSpace(who.FirstName + " " + who.LastName)
	owner := c.LicenseFor
	if owner == "" {
		owner = joinNonEmpty(", ", full, who.Email, who.Phone, who.Company)
	}
	values := map[string]string{
		"PARENT_KEY": c.ParentKey, "ORDER_ID": c.OrderID, "PRICEGROUP_ID": c.ProductID,
		"PROGRAM_NAME": c.ProductName, "PROGRAM_SHORT": firstNonEmpty(c.ProductShort, c.ProductName),
		"QUANTITY": strconv.Itoa(c.Quantity), "FULLNAME": full, "FNAME": who.FirstName,
		"LNAME": who.LastName, "LICENSE_FOR": owner, "EMAIL": who.Email, "PHONE": who.Phone, "COMPANY": who.Company,
		"COUNTRY": who.Country, "CITY": who.City, "ZIP": who.Zip, "ADDRESS": who.Address, "URL": c.InstructionsURL,
		"URL_FULL": c.DownloadURL, "DATE": w.Day(c.Date), "ADDINFO_TEXT": c.AdditionalInfo,
	}
	for name, value := range values {
		values[name] = oneLine(value)
	}
	values["PRICE_ONE_DUPLICATE"], values["PRICE_ALL_DUPLICATES"] = w.price(c.UnitPrice), w.price(c.TotalPrice)
	var keys []string
	separator := "\n"
	for _, k := range keyLines(c) {
		keys = append(keys, k.Text)
		if k.Block {
			separator = "\n\n"
		}
	}
	values["KEY"] = strings.Join(keys, separator)
	return values
}

// keyLine is one line of the value of {KEY}, or a block of several. Href makes it a link in HTML.
type keyLine struct {
	Text, Href string
	Block      bool
}

// keyLines is the value of {KEY}: the keys unchanged or, for a product without keys, what the customer activates it
// with, so that a template with {KEY} suits every kind of deliverable.
func keyLines(c Content) []keyLine {
	var lines []keyLine
	for _, key := range c.Keys {
		line := keyLine{Text: key, Block: strings.Contains(key, "\n")}
		if keyturn.KeyIsLink(key) {
			line.Href = key
		}
		lines = append(lines, line)
	}
	if len(lines) > 0 {
		return lines
	}
	for _, link := range c.Links {
		lines = append(lines, keyLine{Text: oneLine(link), Href: webURL(link)})
	}
	if len(lines) > 0 {
		return lines
	}
	for _, a := range c.Attachments {
		lines = append(lines, keyLine{Text: fileName(a.Name)})
	}
	return lines
}

// webURL returns a link that may be followed: http or https. Others are shown as text only.
func webURL(link string) string {
	if strings.HasPrefix(link, "https://") || strings.HasPrefix(link, "http://") {
		return oneLine(link)
	}
	return ""
}

// maxValue is the longest value of a tag, in bytes; longer ones are cut.
const maxValue = 2000

// oneLine makes a value safe where a line break has a meaning: control characters, line separators and runs of white
// space become one space, except spaces that do not break; bidirectional marks and invalid UTF-8 are dropped.
func oneLine(value string) string {
	value = strings.ToValidUTF8(value, "\uFFFD")
	value = strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Bidi_Control, r):
			return -1
		case r == '\u00a0', r == '\u202f':
			return r
		case unicode.IsControl(r), unicode.IsSpace(r), r == '\u2028', r == '\u2029':
			return ' '
		}
		return r
	}, value)
	words := strings.FieldsFunc(strings.TrimSpace(value), func(r rune) bool { return r == ' ' })
	return cut(strings.Join(words, " "), maxValue)
}

// cut shortens text to at most n bytes at a character boundary and marks the cut.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	n -= len("…")
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}

func (w *words) price(m keyturn.Money) string {
	if m.Currency == "" {
		return ""
	}
	return w.Money(m)
}

func joinNonEmpty(separator string, parts ...string) string {
	var kept []string
	for _, p := range parts {
		if strings.TrimSpace(p) != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, separator)
}

func firstNonEmpty(a, b string) string {
	if strings.TrimSpace(a) != "" {
		return a
	}
	return b
}

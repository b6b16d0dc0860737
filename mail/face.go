package mail

import (
	"html/template"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// face is how the shop looks in the HTML part.
type face struct {
	Logo          string // its address; empty: the name stands in its place
	Width, Height int    // at which it is shown
	Color         template.CSS
	Ink           template.CSS // on that color
	Light         bool         // the mail has colors of the merchant's own, which fit a light ground alone
}

// The largest size at which a logo is shown, in pixels.
const (
	maxLogoWidth  = 240
	maxLogoHeight = 60
)

const plainColor = "#1a4fd6" // of a shop without a color

var colorPattern = regexp.MustCompile(`^#[0-9A-Fa-f]{6}$`)

func faceOf(c Content) face {
	color := c.Shop.Color
	if !colorPattern.MatchString(color) {
		color = plainColor
	}
	f := face{
		Color: template.CSS(color), Ink: template.CSS(inkOn(color)), //nolint:gosec // a color by its pattern
		Logo: webURL(c.Shop.Logo.URL),
	}
	f.Width, f.Height = within(c.Shop.Logo.Width, c.Shop.Logo.Height)
	if f.Width == 0 {
		f.Logo = ""
	}
	return f
}

// within scales a picture down to the largest size at which it is shown.
func within(width, height int) (int, int) {
	if width < 1 || height < 1 {
		return 0, 0
	}
	if width > maxLogoWidth {
		width, height = maxLogoWidth, max(height*maxLogoWidth/width, 1)
	}
	if height > maxLogoHeight {
		width, height = max(width*maxLogoHeight/height, 1), maxLogoHeight
	}
	return width, height
}

// inkOn is white or black: what reads better on a color. Its contrast is at least 4.5 to 1 (WCAG 2.1, 1.4.3).
func inkOn(color string) string {
	if contrastWhite(color) >= 4.5 {
		return "#ffffff"
	}
	return "#000000"
}

// contrastWhite is the contrast of a color with white (WCAG 2.1, relative luminance).
func contrastWhite(color string) float64 {
	luminance := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		channel, _ := strconv.ParseUint(color[1+2*i:3+2*i], 16, 8) // two hexadecimal digits
		luminance += weight * linear(float64(channel)/255)
	}
	return 1.05 / (luminance + 0.05)
}

func linear(c float64) float64 {
	if c <= 0.04045 {
		return c / 12.92
	}
	return math.Pow((c+0.055)/1.055, 2.4)
}

// ownColors says whether a merchant's HTML sets colors, which a dark ground would make unreadable.
func ownColors(html string) bool {
	lower := strings.ToLower(html)
	return strings.Contains(lower, "color") || strings.Contains(lower, "background")
}

// footer is what stands below every mail: who sells, whom to ask, and the legal texts.
func footer(w *words, s Shop) []row {
	var out []row
	for _, r := range []row{
		{w.orders.seller, s.Seller, ""},
		{w.orders.contact, s.Contact, contactLink(s.Contact)},
		{w.orders.terms, s.Terms, webURL(s.Terms)},
		{w.privacy, s.Privacy, webURL(s.Privacy)},
		{w.imprint, s.Imprint, webURL(s.Imprint)},
	} {
		if r.Value = oneLine(r.Value); r.Value != "" {
			out = append(out, r)
		}
	}
	return out
}

// contactLink is where a contact leads: to a page, or a new e-mail.
func contactLink(contact string) string {
	if CheckAddress(contact) == nil {
		return "mailto:" + contact
	}
	return webURL(contact)
}

// Package local writes dates and amounts as readers of a language do, for pages and e-mails.
package local

import (
	"strconv"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

// Format is one language's way. Its formats of times take {clock}, {weekday}, {day}, {month} and {year}.
type Format struct {
	Weekdays [7]string // from Sunday
	Months   [12]string
	First    string // the first day of a month

	Date  string    // a day
	Full  string    // a moment, wherever in a sentence
	Past  string    // a moment that has been
	At    [3]string // a moment to come: today, in the next days, later
	By    [3]string // the same as a limit
	Point string    // between the units and the cents of an amount
	Group string    // between the thousands
}

// Space keeps what stands around it on one line.
const Space = "\u00a0"

// zone follows every clock time, because nobody knows the reader's time zone.
const zone = "UTC"

func (f *Format) fill(format string, t time.Time) string {
	t = t.UTC()
	day := strconv.Itoa(t.Day())
	if t.Day() == 1 {
		day = f.First
	}
	return strings.NewReplacer(
		"{clock}", t.Format("15:04")+Space+zone, "{weekday}", f.Weekdays[t.Weekday()], "{day}", day,
		"{month}", f.Months[t.Month()-1], "{year}", strconv.Itoa(t.Year()),
	).Replace(format)
}

// Day writes the day of a moment, in UTC.
func (f *Format) Day(t time.Time) string { return f.fill(f.Date, t) }

// LastDay writes the last day on which something is valid that ends at t: a term that ends as 2032 begins is valid
// until 31 December 2031.
func (f *Format) LastDay(t time.Time) string { return f.Day(t.Add(-1)) }

// Moment writes a moment in a sentence that has its own preposition.
func (f *Format) Moment(t time.Time) string { return f.fill(f.Full, t) }

// Since writes a past moment.
func (f *Format) Since(t time.Time) string { return f.fill(f.Past, t) }

// When writes a future moment as briefly as is unambiguous: the weekday alone for the next six days.
func (f *Format) When(t, now time.Time) string { return f.fill(f.At[distance(t, now)], t) }

// Until writes a deadline as briefly as is unambiguous.
func (f *Format) Until(t, now time.Time) string { return f.fill(f.By[distance(t, now)], t) }

func distance(t, now time.Time) int {
	today := now.UTC().Truncate(24 * time.Hour)
	switch days := t.UTC().Truncate(24*time.Hour).Sub(today) / (24 * time.Hour); {
	case days == 0:
		return 0
	case days > 0 && days < 7:
		return 1
	}
	return 2
}

// Money writes an amount with its currency: 1,234.50 EUR.
func (f *Format) Money(m keyturn.Money) string {
	whole, cents, hasCents := strings.Cut(m.String(), ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + f.Group + whole[i:]
	}
	if hasCents {
		whole += f.Point + cents
	}
	return whole + Space + m.Currency
}

// Languages are those that pages and e-mails speak, by keyturn.PageLanguages.
var Languages = map[string]*Format{"en": english, "fr": french, "de": german}

var english = &Format{
	Weekdays: [7]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"},
	Months: [12]string{
		"January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
		"November", "December",
	},
	First: "1", Date: "{day} {month} {year}", Full: "{day} {month} {year}, {clock}",
	Past: "on {weekday} {day} {month} {year} at {clock}", Point: ".", Group: ",",
	At: [3]string{"at {clock}", "on {weekday} at {clock}", "on {day} {month} {year} at {clock}"},
	By: [3]string{"{clock} today", "{weekday} {clock}", "{day} {month} {year}, {clock}"},
}

var french = &Format{
	Weekdays: [7]string{"dimanche", "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi"},
	Months: [12]string{
		"janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre",
		"novembre", "décembre",
	},
	First: "1er", Date: "{day} {month} {year}", Full: "{day} {month} {year} à {clock}",
	Past: "le {weekday} {day} {month} {year} à {clock}", Point: ",", Group: "\u202f",
	At: [3]string{"à {clock}", "{weekday} à {clock}", "le {day} {month} {year} à {clock}"},
	By: [3]string{"aujourd’hui à {clock}", "{weekday} à {clock}", "le {day} {month} {year} à {clock}"},
}

var german = &Format{
	Weekdays: [7]string{"Sonntag", "Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag"},
	Months: [12]string{
		"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober",
		"November", "Dezember",
	},
	First: "1", Date: "{day}. {month} {year}", Full: "{day}. {month} {year}, {clock}",
	Past: "am {weekday}, dem {day}. {month} {year}, um {clock}", Point: ",", Group: ".",
	At: [3]string{"um {clock}", "am {weekday} um {clock}", "am {day}. {month} {year} um {clock}"},
	By: [3]string{"heute um {clock}", "{weekday} um {clock}", "zum {day}. {month} {year} um {clock}"},
}

package web

import (
	"strconv"
	"strings"
	"time"

	"keyturn.dev/keyturn"
)

// dateWords formats times in one language. Its formats take {clock}, {weekday}, {day}, {month} and {year}.
type dateWords struct {
	weekdays [7]string // from Sunday
	months   [12]string

	day   string    // a date: of an order
	past  string    // a moment that has been
	at    [3]string // a moment to come: today, in the next days, later
	by    [3]string // the same as a limit
	point string    // between the units and the cents of an amount
}

// zone follows every clock time, because the page does not know its reader's time zone.
const zone = "UTC"

func (d dateWords) fill(format string, t time.Time) part {
	t = t.UTC()
	return part{Datetime: t.Format(time.RFC3339), Text: strings.NewReplacer(
		"{clock}", t.Format("15:04")+"\u00a0"+zone, "{weekday}", d.weekdays[t.Weekday()], "{day}", strconv.Itoa(t.Day()),
		"{month}", d.months[t.Month()-1], "{year}", strconv.Itoa(t.Year()),
	).Replace(format)}
}

// on formats a date.
func (d dateWords) on(t time.Time) part {
	p := d.fill(d.day, t)
	p.Datetime = t.UTC().Format(time.DateOnly)
	return p
}

// since formats a past moment.
func (d dateWords) since(t time.Time) part { return d.fill(d.past, t) }

// when formats a future moment as briefly as is unambiguous: the weekday alone for the next six days.
func (d dateWords) when(t, now time.Time) part { return d.fill(d.at[distance(t, now)], t) }

// until formats a deadline.
func (d dateWords) until(t, now time.Time) part { return d.fill(d.by[distance(t, now)], t) }

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

// money formats an amount.
func (d dateWords) money(m keyturn.Money) part {
	return text(strings.Replace(m.String(), ".", d.point, 1) + "\u00a0" + m.Currency)
}

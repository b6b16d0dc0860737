package web

import (
	"encoding/json"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/local"
)

// dateWords writes times and amounts of the page in one language, machine-readable where the page can say it.
type dateWords struct{ *local.Format }

func timed(t time.Time, as, text string) part {
	return part{Datetime: t.UTC().Format(time.RFC3339), As: as, Text: text}
}

// localTimes are the formats with which the script writes times in the reader's time zone.
func (d dateWords) localTimes() string {
	text, _ := json.Marshal(map[string]any{ //nolint:errchkjson // texts always marshal
		"weekdays": d.Weekdays, "months": d.Months, "first": d.First, "past": d.Past, "at": d.At, "by": d.By,
	})
	return string(text)
}

// on formats a date.
func (d dateWords) on(t time.Time) part {
	return part{Datetime: t.UTC().Format(time.DateOnly), Text: d.Day(t)}
}

// since formats a past moment.
func (d dateWords) since(t time.Time) part { return timed(t, "past", d.Since(t)) }

// when formats a future moment as briefly as is unambiguous: the weekday alone for the next six days.
func (d dateWords) when(t, now time.Time) part { return timed(t, "at", d.When(t, now)) }

// until formats a deadline.
func (d dateWords) until(t, now time.Time) part { return timed(t, "by", d.Until(t, now)) }

// money formats an amount.
func (d dateWords) money(m keyturn.Money) part { return text(d.Money(m)) }

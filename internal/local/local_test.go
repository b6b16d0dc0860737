package local

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestTimesReadNaturally(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.October, 7, 11, 5, 0, 0, time.UTC) // a Wednesday
	paris := time.FixedZone("CEST", 2*60*60)
	for _, tc := range []struct {
		t              time.Time
		en, fr, de, by string
	}{
		{time.Date(2026, 10, 7, 16, 20, 0, 0, paris), "at 14:20 UTC", "à 14:20 UTC", "um 14:20 UTC", "14:20 UTC today"},
		{
			time.Date(2026, 10, 9, 14, 0, 0, 0, time.UTC), "on Friday at 14:00 UTC", "vendredi à 14:00 UTC",
			"am Freitag um 14:00 UTC", "Friday 14:00 UTC",
		},
		{
			time.Date(2026, 10, 13, 23, 59, 0, 0, time.UTC), "on Tuesday at 23:59 UTC", "mardi à 23:59 UTC",
			"am Dienstag um 23:59 UTC", "Tuesday 23:59 UTC",
		},
		{
			time.Date(2026, 10, 14, 0, 0, 0, 0, time.UTC), "on 14 October 2026 at 00:00 UTC", "le 14 octobre 2026 à 00:00 UTC",
			"am 14. Oktober 2026 um 00:00 UTC", "14 October 2026, 00:00 UTC",
		},
		{
			time.Date(2026, 10, 1, 23, 0, 0, 0, time.UTC), "on 1 October 2026 at 23:00 UTC", "le 1er octobre 2026 à 23:00 UTC",
			"am 1. Oktober 2026 um 23:00 UTC", "1 October 2026, 23:00 UTC",
		},
	} {
		require.Equal(t, tc.en, spaced(english.When(tc.t, now)))
		require.Equal(t, tc.fr, spaced(french.When(tc.t, now)))
		require.Equal(t, tc.de, spaced(german.When(tc.t, now)))
		require.Equal(t, tc.by, spaced(english.Until(tc.t, now)))
	}
	require.Equal(t, "7 October 2026", english.Day(now))
	require.Equal(t, "31 décembre 2031", french.LastDay(time.Date(2032, 1, 1, 0, 0, 0, 0, time.UTC)))
	require.Equal(t, "7. Oktober 2026, 11:05 UTC", spaced(german.Moment(now)))
	require.Equal(t, "am Mittwoch, dem 7. Oktober 2026, um 11:05 UTC", spaced(german.Since(now)))
}

func TestAmountsReadNaturally(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		m          keyturn.Money
		en, fr, de string
	}{
		{keyturn.Money{Minor: 0, Currency: "EUR"}, "0.00 EUR", "0,00 EUR", "0,00 EUR"},
		{keyturn.Money{Minor: 2999, Currency: "EUR"}, "29.99 EUR", "29,99 EUR", "29,99 EUR"},
		{keyturn.Money{Minor: 123450, Currency: "EUR"}, "1,234.50 EUR", "1 234,50 EUR", "1.234,50 EUR"},
		{keyturn.Money{Minor: 2999, Currency: "JPY"}, "2,999 JPY", "2 999 JPY", "2.999 JPY"},
		{keyturn.Money{Minor: 1234567890, Currency: "KWD"}, "1,234,567.890 KWD", "1 234 567,890 KWD", "1.234.567,890 KWD"},
	} {
		require.Equal(t, tc.en, spaced(english.Money(tc.m)))
		require.Equal(t, tc.fr, spaced(french.Money(tc.m)))
		require.Equal(t, tc.de, spaced(german.Money(tc.m)))
		require.NotContains(t, french.Money(tc.m), " ", "an amount does not break")
	}
}

// Every language that pages and e-mails speak has every format.
func TestNoLanguageIsSilent(t *testing.T) {
	t.Parallel()
	require.Len(t, Languages, len(keyturn.PageLanguages))
	for _, lang := range keyturn.PageLanguages {
		v := reflect.ValueOf(*Languages[lang])
		for i := range v.NumField() {
			if field := v.Field(i); field.Kind() == reflect.Array {
				for j := range field.Len() {
					require.NotEmpty(t, field.Index(j).String(), "%s %s %d", lang, v.Type().Field(i).Name, j)
				}
			} else {
				require.NotEmpty(t, field.String(), "%s %s", lang, v.Type().Field(i).Name)
			}
		}
	}
}

// spaced makes no-break spaces ordinary ones.
func spaced(s string) string { return strings.NewReplacer("\u00a0", " ", "\u202f", " ").Replace(s) }

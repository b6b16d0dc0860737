package web

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
			time.Date(2026, 10, 6, 23, 0, 0, 0, time.UTC), "on 6 October 2026 at 23:00 UTC", "le 6 octobre 2026 à 23:00 UTC",
			"am 6. Oktober 2026 um 23:00 UTC", "6 October 2026, 23:00 UTC",
		},
	} {
		plain := func(p part) string {
			require.Equal(t, tc.t.UTC().Format(time.RFC3339), p.Datetime)
			return spaced(p.Text)
		}
		require.Equal(t, tc.en, plain(english.date.when(tc.t, now)))
		require.Equal(t, tc.fr, plain(french.date.when(tc.t, now)))
		require.Equal(t, tc.de, plain(german.date.when(tc.t, now)))
		require.Equal(t, tc.by, plain(english.date.until(tc.t, now)))
	}
	require.Equal(t, part{Text: "7 October 2026", Datetime: "2026-10-07"}, english.date.on(now))
	require.Equal(t, "am Mittwoch, dem 7. Oktober 2026, um 11:05 UTC", spaced(german.date.since(now).Text))
	require.Equal(t, "1234,50 EUR", spaced(french.date.money(keyturn.Money{Minor: 123450, Currency: "EUR"}).Text))
	require.Equal(t, "2999 JPY", spaced(german.date.money(keyturn.Money{Minor: 2999, Currency: "JPY"}).Text))
}

// Every language has a word for everything that the others have words for.
func TestNoLanguageIsSilent(t *testing.T) {
	t.Parallel()
	for _, w := range languages {
		for _, s := range []situation{
			isPreparing, isSending, isRetrying, isMailLate, isWaiting, isHeld, isDelivered,
			isCapturing, isCanceling, isCancelingFree, isCanceled, isCanceledFree,
		} {
			require.NotEmpty(t, w.status[s], "%s %s", w.lang, s)
		}
		for _, s := range keyturn.OrderStatuses {
			require.NotEmpty(t, w.summary[s], "%s %s", w.lang, s)
		}
		for name, word := range labels(w) {
			require.NotEmpty(t, word, "%s %s", w.lang, name)
		}
		for _, group := range []any{w.text, w.action, w.notice, w.fail, w.counts, w.pages, w.date} {
			requireWords(t, w.lang, group)
		}
	}
}

// requireWords looks into every field, so that a new sentence cannot be forgotten in a language.
func requireWords(t *testing.T, lang string, group any) {
	t.Helper()
	v := reflect.ValueOf(group)
	for i := range v.NumField() {
		field := v.Field(i)
		for j := range max(1, length(field)) {
			if field.Kind() == reflect.Array {
				require.NotEmpty(t, field.Index(j).String(), "%s %s %d", lang, v.Type().Field(i).Name, j)
			} else {
				require.NotEmpty(t, field.String(), "%s %s", lang, v.Type().Field(i).Name)
			}
		}
	}
}

func length(v reflect.Value) int {
	if v.Kind() == reflect.Array {
		return v.Len()
	}
	return 1
}

// spaced makes no-break spaces ordinary ones.
func spaced(s string) string { return strings.ReplaceAll(s, "\u00a0", " ") }

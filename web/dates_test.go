package web

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

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
		for _, group := range []any{w.text, w.action, w.notice, w.fail, w.counts, w.pages} {
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

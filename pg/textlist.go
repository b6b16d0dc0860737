package pg

import "strings"

// TextList writes constants as an SQL list without parentheses. Values that are not constants are arguments instead.
func TextList[T ~string](values ...T) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = "'" + strings.ReplaceAll(string(v), "'", "''") + "'"
	}
	return strings.Join(quoted, ", ")
}

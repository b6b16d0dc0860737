package pg

import (
	"strings"
	"unicode"
)

// snakeCase is the column that a struct field is read from unless a db tag names another: OrderID is order_id,
// HTTPStatus is http_status. So the domain's types need no tags of the database.
func snakeCase(field string) string {
	var b strings.Builder
	letters := []rune(field)
	for i, r := range letters {
		if i > 0 && unicode.IsUpper(r) &&
			(!unicode.IsUpper(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

package pg

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFieldsAreReadFromSnakeCaseColumns(t *testing.T) {
	for field, column := range map[string]string{
		"ID": "id", "OrderID": "order_id", "HTTPStatus": "http_status", "CreatedAt": "created_at", "At": "at",
		"DurationMs": "duration_ms", "LastHTTPStatus": "last_http_status", "Sha256Sum": "sha256_sum",
	} {
		require.Equal(t, column, snakeCase(field))
	}
}

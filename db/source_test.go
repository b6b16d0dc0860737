package db

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// A new line needs the first step of its product's source, whatever the type.
func TestNewLineNeedsTheFirstStepOfItsSource(t *testing.T) {
	s := newShop(t)
	for _, info := range keyturn.SourceTypes {
		src := keyturn.Source{Type: info.Type}
		switch info.Field {
		case "pool":
			src.Pool = "keys"
		case "integration":
			src.Integration = "acme"
		case "url":
			src.URL = "https://shop.test/generate"
		}
		product := "of-" + string(info.Type)
		s.product(product, src)
		next, err := s.Review(s.ctx, s.sell(product))
		require.NoError(t, err)
		require.Equal(t, []any{info.First, src.Name()}, []any{next.Do, next.Source})
	}
}

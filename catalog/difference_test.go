package catalog_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/catalog"
)

// People read differences: signs are shown as they are written.
func TestDifferencesShowTextsAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	found := catalog.Differences(keyturn.Pool{ID: "p"}, keyturn.Product{ID: "p", Name: "A & <B>"}, false)
	require.Equal(t, []keyturn.Difference{{Location: "name", To: `"A & <B>"`}}, found[:1])
}

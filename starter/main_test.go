package starter_test

import (
	"testing"

	"keyturn.dev/keyturn/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

package db

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// Lines of one partner that come all at once wait at its door, not on the connections that lines of others need.
func TestPartnersHaveDoorsOfTheirOwn(t *testing.T) {
	t.Parallel()
	d := &DB{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var leave func()
	for range throughDoor {
		var err error
		leave, err = d.AtDoor(ctx, "endpoint/busy")
		require.NoError(t, err)
	}
	gone, stop := context.WithCancel(ctx)
	stop()
	_, err := d.AtDoor(gone, "endpoint/busy")
	wantKind(t, err, keyturn.KindUnavailable)

	for range 3 * pg.MaxConns { // no other source waits for that
		_, err = d.AtDoor(ctx, "dynamicurl")
		require.NoError(t, err)
	}
	_, err = d.AtDoor(ctx, "endpoint/other")
	require.NoError(t, err)

	leave()
	_, err = d.AtDoor(ctx, "endpoint/busy")
	require.NoError(t, err)
}

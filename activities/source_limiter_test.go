package activities

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

// Lines of one source that come all at once wait for one another or are turned away; no other source notices.
func TestOneSourcesLinesLeaveRoomForOthers(t *testing.T) {
	t.Parallel()
	var l SourceLimiter
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	release, err := l.Acquire(ctx, "endpoint/busy", 2)
	require.NoError(t, err)
	_, ok := l.TryAcquire("endpoint/busy", 2)
	require.True(t, ok)

	_, ok = l.TryAcquire("endpoint/busy", 2)
	require.False(t, ok)
	gone, stop := context.WithCancel(ctx)
	stop()
	_, err = l.Acquire(gone, "endpoint/busy", 2)
	require.Equal(t, keyturn.KindUnavailable, keyturn.KindOf(err))
	_, ok = l.TryAcquire("endpoint/other", 2)
	require.True(t, ok)

	release()
	_, err = l.Acquire(ctx, "endpoint/busy", 2)
	require.NoError(t, err)
}

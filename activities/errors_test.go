package activities

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"keyturn.dev/keyturn"
)

// What the server makes of an activity's error is in the converted failure, not in the Go value.
func TestErrorsReachTheServerWithKindDelayAndNothingElse(t *testing.T) {
	t.Parallel()
	cause := errors.New("the partner said KEY-SECRET")
	for name, c := range map[string]struct {
		err          error
		delay        time.Duration
		convert      func(error, time.Duration) error
		kind         string
		nonRetryable bool
	}{
		"a partner that is down": {
			err:   keyturn.Errorf(keyturn.KindUnavailable, "acme did not answer: %w", cause),
			delay: 5 * time.Minute, convert: asTemporal, kind: "Unavailable",
		},
		"an empty pool": {
			err: keyturn.Errorf(keyturn.KindOutOfStock, "pool keys is empty"), delay: time.Second,
			convert: asTemporal, kind: "OutOfStock",
		},
		"a step that met another": {
			err: keyturn.Errorf(keyturn.KindConflict, "busy"), convert: asTemporal,
			kind: "Conflict",
		},
		"a line that is not there": {
			err: keyturn.Errorf(keyturn.KindNotFound, "gone"), convert: asTemporal, kind: "NotFound",
			nonRetryable: true,
		},
		"a fault of ours": {err: cause, convert: asTemporal, kind: "Internal"},
		"a wrapped kind": {
			err:     fmt.Errorf("step: %w", keyturn.Errorf(keyturn.KindRejected, "no: %w", cause)),
			convert: asTemporal, kind: "Rejected",
		},
		"a refused decision": {
			err:     keyturn.Errorf(keyturn.KindConflict, "decided"),
			convert: func(err error, _ time.Duration) error { return refused(err) }, kind: "Conflict", nonRetryable: true,
		},
		"a decision while down": {
			err:     keyturn.Errorf(keyturn.KindUnavailable, "down"),
			convert: func(err error, _ time.Duration) error { return refused(err) }, kind: "Unavailable",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := temporal.GetDefaultFailureConverter().ErrorToFailure(c.convert(c.err, c.delay))
			info := f.GetApplicationFailureInfo()
			require.NotNil(t, info)
			require.Equal(t, c.kind, info.GetType())
			require.Equal(t, c.nonRetryable, info.GetNonRetryable())
			require.Equal(t, c.delay, info.GetNextRetryDelay().AsDuration())
			require.NotContains(t, f.String(), "KEY-SECRET")
		})
	}
	require.NoError(t, asTemporal(nil, time.Second))
}

// A failure is an answer at first, so that the workflow can show it, and an error with its delay from then on, unless
// something else than the delay has changed.
func TestSameStepAgainIsAnErrorOnlyWhileTheServerRepeats(t *testing.T) {
	t.Parallel()
	a := &Activities{Logger: slog.New(slog.DiscardHandler)}
	later := keyturn.Next{
		Do: keyturn.DoCall, Status: keyturn.LineRetrying, Source: "endpoint/acme", Wait: keyturn.Duration(time.Hour),
		Failure: &keyturn.Failure{Kind: keyturn.KindUnavailable, Message: "acme did not answer"},
	}
	first := Step{Status: keyturn.LinePending, Source: "endpoint/acme"}
	repeat := Step{Retry: true, Status: keyturn.LineRetrying, Source: "endpoint/acme"}

	next, err := a.answer(first, keyturn.DoCall, later, nil)
	require.NoError(t, err)
	require.Equal(t, later, next)

	_, err = a.answer(repeat, keyturn.DoCall, later, nil)
	var failure *temporal.ApplicationError
	require.ErrorAs(t, err, &failure)
	require.Equal(t, "Unavailable", failure.Type())
	require.Equal(t, time.Hour, failure.NextRetryDelay())

	for name, change := range map[string]func(*keyturn.Next){
		"another step":   func(n *keyturn.Next) { n.Do = keyturn.DoDeliver },
		"another source": func(n *keyturn.Next) { n.Source = "pool/keys" },
		"another status": func(n *keyturn.Next) { n.Status = keyturn.LineWaitingForStock },
		"at once":        func(n *keyturn.Next) { n.Wait = 0 },
	} {
		changed := later
		change(&changed)
		_, err := a.answer(repeat, keyturn.DoCall, changed, nil)
		require.NoError(t, err, name)
	}
}

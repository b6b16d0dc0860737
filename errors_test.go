package keyturn_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestKindsAsHTTPStatus(t *testing.T) {
	t.Parallel()
	for kind, status := range map[keyturn.Kind]int{
		keyturn.KindInvalid: http.StatusUnprocessableEntity, keyturn.KindNotFound: http.StatusNotFound,
		keyturn.KindConflict:     http.StatusConflict,
		keyturn.KindUnauthorized: http.StatusUnauthorized, keyturn.KindForbidden: http.StatusForbidden,
		keyturn.KindOutOfStock: http.StatusConflict,
		keyturn.KindRejected:   http.StatusBadGateway, keyturn.KindBadReply: http.StatusBadGateway,
		keyturn.KindRateLimited: http.StatusTooManyRequests,
		keyturn.KindUnavailable: http.StatusServiceUnavailable, keyturn.KindConfiguration: http.StatusConflict,
		keyturn.KindErased:   http.StatusGone,
		keyturn.KindInternal: http.StatusInternalServerError, "": http.StatusInternalServerError,
		"Manual": http.StatusInternalServerError,
	} {
		require.Equal(t, status, kind.HTTPStatus(), kind)
	}
}

// The cause can be found and is never shown: it may quote a customer or a partner.
func TestErrorfKeepsTheCauseOutOfTheMessage(t *testing.T) {
	t.Parallel()
	cause := fmt.Errorf("about %s: %w", canary, context.DeadlineExceeded)
	err := keyturn.Errorf(keyturn.KindUnavailable, "pool %s did not answer: %w", "games", cause)
	require.Equal(t, "pool games did not answer", err.Error())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotContains(t, fmt.Sprintf("%v %s", err, err), canary)

	plain := keyturn.Errorf(keyturn.KindInternal, "100%% of %d", 3)
	require.Equal(t, "100% of 3", plain.Error())
	require.NoError(t, errors.Unwrap(plain))
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	inner := keyturn.Errorf(keyturn.KindConflict, "no")
	for _, c := range []struct {
		err  error
		want keyturn.Kind
	}{
		{nil, ""},
		{errors.New("x"), keyturn.KindInternal},
		{inner, keyturn.KindConflict},
		{fmt.Errorf("while: %w", inner), keyturn.KindConflict},
		{errors.Join(errors.New("x"), inner), keyturn.KindConflict},
		{keyturn.Errorf(keyturn.KindUnavailable, "outer: %w", inner), keyturn.KindUnavailable},
	} {
		require.Equal(t, c.want, keyturn.KindOf(c.err))
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	var p keyturn.Problems
	require.NoError(t, p.Err("fine"))
	p.Check(true, "never", "noted")
	p.Check(false, "a", "must be %d", 1)
	p.Merge("list[0]", nil)
	p.Merge("list[0]", &keyturn.Error{
		Kind:   keyturn.KindInvalid,
		Fields: []keyturn.FieldError{{Location: "b", Message: "x"}, {Location: "[2].c", Message: "y"}, {Message: "z"}},
	})
	p.Merge("whole", errors.New("is wrong"))
	p.Merge("", &keyturn.Error{Kind: keyturn.KindInvalid, Fields: []keyturn.FieldError{{Location: "top", Message: "t"}}})
	err := p.Err("it is not valid")
	wantFields(t, err, "all", "a", "list[0].b", "list[0][2].c", "list[0]", "whole", "top")
	require.EqualError(t, err,
		"it is not valid: a must be 1; list[0].b x; list[0][2].c y; list[0] z; whole is wrong; top t")
}

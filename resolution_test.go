package keyturn_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
)

func TestActionsAllowedPerStatus(t *testing.T) {
	t.Parallel()
	rows := tableOf(`
		                   retry supply refund hold release extend
		PENDING            .     x      x      x    .       x
		OBTAINED           .     .      x      x    .       x
		RETRYING           x     x      x      x    .       x
		WAITING_FOR_STOCK  x     x      x      x    .       x
		HELD               x     x      x      .    x       x
		DELIVERED          .     .      .      .    .       .
		CANCELING          .     .      .      .    .       .
		CANCELED           .     .      .      .    .       .
	`)
	require.Len(t, rows, 1+len(keyturn.LineStatuses))
	for i, row := range rows[1:] {
		status := keyturn.LineStatuses[i]
		require.Equal(t, string(status), row[0])
		for j, action := range keyturn.Actions {
			require.Equal(t, string(action), rows[0][j])
			require.Equal(t, row[j+1] == "x", action.Allows(status), "%s of a line that is %s", action, status)
		}
		require.False(t, keyturn.Action("deliver").Allows(status))
	}
}

func TestResolutionCheck(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { t := now.Add(d); return &t }
	for _, c := range []struct {
		name string
		r    keyturn.Resolution
		want string
	}{
		{"retry", keyturn.Resolution{Action: keyturn.ActionRetry}, ""},
		{"all fields", keyturn.Resolution{
			ID: "x", Action: keyturn.ActionHold, Until: at(time.Hour),
			Reason: "the partner asked", By: "ops",
		}, ""},
		{"hold for ever", keyturn.Resolution{Action: keyturn.ActionHold}, ""},
		{"no action", keyturn.Resolution{}, "action"},
		{"an unknown action", keyturn.Resolution{Action: "deliver"}, "action"},
		{"another case", keyturn.Resolution{Action: "Retry"}, "action"},
		{"extend to nowhere", keyturn.Resolution{Action: keyturn.ActionExtend}, "until"},
		{"extend to the past", keyturn.Resolution{Action: keyturn.ActionExtend, Until: at(-time.Second)}, "until"},
		{"extend to now", keyturn.Resolution{Action: keyturn.ActionExtend, Until: at(0)}, "until"},
		{"extend too far", keyturn.Resolution{Action: keyturn.ActionExtend, Until: at(91 * 24 * time.Hour)}, "until"},
		{"extend", keyturn.Resolution{Action: keyturn.ActionExtend, Until: at(time.Second)}, ""},
		{"hold until the past", keyturn.Resolution{Action: keyturn.ActionHold, Until: at(-time.Second)}, "until"},
		{"retry until", keyturn.Resolution{Action: keyturn.ActionRetry, Until: at(time.Hour)}, "until"},
		{"refund until", keyturn.Resolution{Action: keyturn.ActionRefund, Until: at(time.Hour)}, "until"},
		{"a reason with NUL", keyturn.Resolution{Action: keyturn.ActionRetry, Reason: "\x00"}, "reason"},
		{"a long reason", keyturn.Resolution{Action: keyturn.ActionRetry, Reason: strings.Repeat("x", 501)}, "reason"},
		{"an ID with a line feed", keyturn.Resolution{Action: keyturn.ActionRetry, ID: "\n"}, "id"},
		{"a long ID", keyturn.Resolution{Action: keyturn.ActionRetry, ID: strings.Repeat("x", 101)}, "id"},
		{"by somebody not UTF-8", keyturn.Resolution{Action: keyturn.ActionRetry, By: "\xff"}, "by"},
	} {
		err := c.r.Check()
		if err == nil {
			err = c.r.CheckUntil(now)
		}
		wantFields(t, err, c.name, c.want)
	}
}

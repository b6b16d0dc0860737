package keyturn_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"keyturn.dev/keyturn"
)

// Every one of the 64 pairs, written down by hand: a row a status, an x where it may become the column's.
const allowedSteps = `
	                  PEN OBT RET WAI HEL DEL CNG CND
	PENDING            .   x   x   x   x   .   x   .
	OBTAINED           .   .   x   .   x   x   x   .
	RETRYING           .   .   .   x   x   x   x   .
	WAITING_FOR_STOCK  .   .   x   .   x   .   x   .
	HELD               .   .   x   .   .   .   x   .
	DELIVERED          .   .   .   .   .   .   x   .
	CANCELING          .   .   .   .   .   .   .   x
	CANCELED           .   .   .   .   .   .   .   .
`

func TestLineTransitionsAreExactlyThese(t *testing.T) {
	t.Parallel()
	rows := tableOf(allowedSteps)[1:]
	require.Len(t, rows, len(keyturn.LineStatuses))
	for i, row := range rows {
		from := keyturn.LineStatuses[i]
		require.Equal(t, string(from), row[0])
		for j, to := range keyturn.LineStatuses {
			require.Equal(t, row[j+1] == "x", from.CanBecome(to), "%s to %s", from, to)
		}
	}
}

func TestEveryOpenLineReachesItsEnd(t *testing.T) {
	t.Parallel()
	for _, from := range keyturn.LineStatuses {
		reach := map[keyturn.LineStatus]bool{from: true}
		queue := []keyturn.LineStatus{from}
		for len(queue) > 0 {
			for _, to := range keyturn.LineTransitions[queue[0]] {
				if !reach[to] {
					reach[to], queue = true, append(queue, to)
				}
			}
			queue = queue[1:]
		}
		require.True(t, reach[keyturn.LineCanceled], "%s must be refundable", from)
		if from != keyturn.LineCanceling && from != keyturn.LineCanceled {
			require.True(t, reach[keyturn.LineDelivered], "%s must be deliverable", from)
		}
	}
	require.Empty(t, keyturn.LineTransitions[keyturn.LineCanceled], "money that went back ends a line")
	require.False(t, keyturn.LineStatus("LOST").CanBecome(keyturn.LineDelivered))
}

func TestOpenAndInTrouble(t *testing.T) {
	t.Parallel()
	for _, row := range tableOf(`
		PENDING            open  -
		OBTAINED           open  -
		RETRYING           open  trouble
		WAITING_FOR_STOCK  open  trouble
		HELD               open  trouble
		DELIVERED          -     -
		CANCELING          open  -
		CANCELED           -     -
	`) {
		s := keyturn.LineStatus(row[0])
		require.Equal(t, row[1] == "open", s.Open(), s)
		require.Equal(t, row[2] == "trouble", s.InTrouble(), s)
	}
}

// statusOf is OrderStatusOf told another way: from the lines themselves, as docs/understand/state-machine.md words it.
func statusOf(lines []keyturn.LineStatus) keyturn.OrderStatus {
	all := func(s ...keyturn.LineStatus) bool {
		return !slices.ContainsFunc(lines, func(l keyturn.LineStatus) bool { return !slices.Contains(s, l) })
	}
	has := func(s keyturn.LineStatus) bool { return slices.Contains(lines, s) }
	switch {
	case all(keyturn.LineCanceled):
		return keyturn.OrderCanceled
	case all(keyturn.LineDelivered):
		return keyturn.OrderCompleted
	case slices.ContainsFunc(lines, keyturn.LineStatus.InTrouble):
		return keyturn.OrderPartialCompleted
	case has(keyturn.LineCanceling):
		return keyturn.OrderCancelPending
	case all(keyturn.LineDelivered, keyturn.LineCanceled):
		return keyturn.OrderPartialCanceled
	case has(keyturn.LineCanceled): // one was refunded, others are still on their way
		return keyturn.OrderPartialCompleted
	}
	return keyturn.OrderPending
}

func count(lines []keyturn.LineStatus) keyturn.LineCounts {
	c := keyturn.LineCounts{Total: len(lines)}
	for _, l := range lines {
		switch {
		case l.InTrouble():
			c.Trouble++
		case l == keyturn.LineDelivered:
			c.Delivered++
		case l == keyturn.LineCanceling:
			c.Canceling++
		case l == keyturn.LineCanceled:
			c.Canceled++
		}
	}
	return c
}

func TestOrderStatusOfEveryOrderOfUpToFourLines(t *testing.T) {
	t.Parallel()
	seen := map[keyturn.OrderStatus]bool{}
	var try func(lines []keyturn.LineStatus)
	try = func(lines []keyturn.LineStatus) {
		if len(lines) > 0 {
			got := keyturn.OrderStatusOf(count(lines))
			require.Equal(t, statusOf(lines), got, "%v", lines)
			seen[got] = true
		}
		if len(lines) < 4 {
			for _, s := range keyturn.LineStatuses {
				try(append(slices.Clone(lines), s))
			}
		}
	}
	try(nil)
	require.Len(t, seen, len(keyturn.OrderStatuses), "every order status is reached")
}

// An order of one line tells its line's story.
func TestOrderStatusOfOneLine(t *testing.T) {
	t.Parallel()
	for _, row := range tableOf(`
		PENDING            PENDING
		OBTAINED           PENDING
		RETRYING           PARTIAL_COMPLETED
		WAITING_FOR_STOCK  PARTIAL_COMPLETED
		HELD               PARTIAL_COMPLETED
		DELIVERED          COMPLETED
		CANCELING          CANCEL_PENDING
		CANCELED           CANCELED
	`) {
		require.Equal(t, keyturn.OrderStatus(row[1]),
			keyturn.OrderStatusOf(count([]keyturn.LineStatus{keyturn.LineStatus(row[0])})), row[0])
	}
}

// Counts that are moved along with every step are the counts that a recount gives.
func TestMovedCountsAreARecount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lines := make([]keyturn.LineStatus, rapid.IntRange(1, 6).Draw(t, "lines"))
		for i := range lines {
			lines[i] = keyturn.LinePending
		}
		c := count(lines)
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			i := rapid.IntRange(0, len(lines)-1).Draw(t, "line")
			next := keyturn.LineTransitions[lines[i]]
			if len(next) == 0 {
				continue
			}
			to := rapid.SampledFrom(next).Draw(t, "to")
			c.Move(lines[i], to)
			lines[i] = to
			require.Equal(t, count(lines), c)
			require.Equal(t, statusOf(lines), keyturn.OrderStatusOf(c))
		}
	})
}

package survive_test

import (
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/devstack/inbox"
)

// quietWithin is the time after the last disturbance in which everything has to be decided.
const quietWithin = 5 * time.Minute

// Every process is killed, frozen and restarted while orders come in, and receivers of events hang and answer nonsense:
// every order ends as it should, and each event arrives, none with other bytes.
func TestOrdersAndEventsSurviveKillsAtRandomMoments(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewSource(seed(t)))
	s := newSite(t)
	r := s.startReceivers()
	s.startKeyturn("worker-1")
	s.startKeyturn("worker-2")
	l := newLoad(s, true)
	rounds, frozen := 1, 2*time.Second
	if long {
		rounds, frozen = 5, 40*time.Second // longer than a worker has an event to itself
	}
	var victims []string
	for range rounds {
		round := []string{
			"api", "worker-1", "worker-2", "postgres", "temporal", "receivers",
			"stop api", "stop worker-1", // as a deploy does
			"freeze worker-2",
		}
		rng.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		victims = append(victims, round...)
	}
	orders := orderMix(rng, 60*rounds, "KILL")
	pauses := make([]time.Duration, 2*len(victims)) // drawn here: the load draws nothing while kills happen
	for i := range pauses {
		pauses[i] = time.Duration(100+rng.Intn(900)) * time.Millisecond
	}
	var placing sync.WaitGroup
	placing.Go(func() { l.place(orders, time.Duration(rounds)*9*time.Second) })
	start := time.Now()
	for i, victim := range victims {
		time.Sleep(pauses[2*i])
		what, name, found := strings.Cut(victim, " ")
		switch {
		case victim == "receivers":
			r.process.kill()
			r.start()
		case !found:
			s.kill(victim)
			time.Sleep(pauses[2*i+1])
			s.restart(victim)
		case what == "stop":
			s.stop(name)
			s.restart(name)
		default:
			s.freeze(name, frozen)
		}
		t.Logf("%6s  %s is over", seconds(time.Since(start)), victim)
	}
	placing.Wait()
	require.Len(t, l.acked, len(orders), "an order system that repeats gets every order accepted")
	s.ready()
	s.quiesce(quietWithin)
	r.tell()
	r.check(len(orders))
	s.auditEvents()
	s.audit(l)
}

func TestOrdersAreAcceptedWhileTemporalIsDown(t *testing.T) {
	t.Parallel()
	down := 12 * time.Second
	if long {
		down = time.Minute
	}
	rng := rand.New(rand.NewSource(seed(t)))
	s := newSite(t)
	s.startKeyturn("worker-1")
	l := newLoad(s, false) // one attempt each: an outage of Temporal is nothing that an order system notices
	orders := orderMix(rng, 60, "DOWN")
	l.place(orders[:10], time.Second)
	s.kill("temporal")
	stopped := time.Now()
	var slowest time.Duration
	for _, o := range orders[10:] {
		begin := time.Now()
		l.one(o)
		slowest = max(slowest, time.Since(begin))
		time.Sleep(down / 60)
	}
	s.startKeyturn("worker-2") // a worker that starts now waits for Temporal, and has all the work to itself
	s.stop("worker-1")
	time.Sleep(down - time.Since(stopped))
	require.Len(t, l.acked, len(orders), "every order was accepted at once")
	require.Less(t, slowest, 5*time.Second, "Temporal's outage slows no acceptance")
	t.Logf("%d orders accepted in %s without Temporal, the slowest in %s", len(orders)-10, seconds(time.Since(stopped)),
		slowest.Round(time.Millisecond))
	s.restart("temporal")
	s.quiesce(quietWithin)
	s.audit(l)
}

// A worker that is frozen in the middle of a partner call, and one in the middle of an e-mail, wake up after their work
// was given to another.
func TestAFrozenWorkerWakesUpAfterItsWorkWasGivenAway(t *testing.T) {
	t.Parallel()
	frozen := 15 * time.Second // longer than the heartbeat's and the workflow task's time-outs, and than the call may take
	if long {
		frozen = 90 * time.Second // longer than an e-mail's lease, too
	}
	s := newSite(t)
	l := newLoad(s, false)
	first := s.startKeyturn("worker-1")
	var posting sync.Once
	sending := make(chan struct{})
	s.inbox.Fail(func(_, to string) error { // the first e-mail hangs after the mail server has taken it
		hang := false
		if to == "frozen-0000@buyer.test" {
			posting.Do(func() { hang = true; close(sending) })
		}
		if hang {
			return inbox.ErrHang
		}
		return nil
	})
	order := func(i int, product string) keyturn.Order {
		o := orderMix(rand.New(rand.NewSource(1)), i+1, "FROZEN")[i]
		o.LineItems = []keyturn.LineItem{{ProductID: product, Quantity: 1, GrossPrice: "10.00"}}
		return o
	}
	l.one(order(0, "editor"))
	for i := 1; i <= 4; i++ {
		l.one(order(i, "sluggish")) // its partner issues a key and takes a second to say so
	}
	<-sending
	s.within(time.Minute, "the partner is asked four times", func() string {
		if n := len(s.partner.Issued()); n < 4 {
			return fmt.Sprint(n)
		}
		return ""
	})
	first.signal(syscall.SIGSTOP)
	stopped := time.Now()
	var undecided int
	require.NoError(t, s.sql.QueryRow(`SELECT count(*) FROM line_items WHERE status <> 'DELIVERED'`).Scan(&undecided))
	require.Equal(t, 5, undecided, "the worker was frozen in the middle of all of it")
	s.startKeyturn("worker-2")
	s.within(time.Minute, "another worker carries out the frozen calls", func() string {
		var n int
		require.NoError(t, s.sql.QueryRow(`SELECT count(*) FROM line_items WHERE status = 'DELIVERED'
			AND product_id = 'sluggish'`).Scan(&n))
		if n < 4 {
			return fmt.Sprint(n)
		}
		return ""
	})
	t.Logf("another worker delivered the four lines %s after the freeze", seconds(time.Since(stopped)))
	time.Sleep(frozen - time.Since(stopped))
	first.signal(syscall.SIGCONT)
	t.Logf("the frozen worker woke up after %s", seconds(time.Since(stopped)))
	s.quiesce(quietWithin)
	s.audit(l)
	repeated := 0
	for _, e := range s.partner.Log() {
		if e.Repeat {
			repeated++
		}
	}
	require.GreaterOrEqual(t, repeated, 4, "each of the four calls was made again, and brought the same key")
}

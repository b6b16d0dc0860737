package db

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/lib/pq"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// claims gathers the claims of this process, pool by pool: those that come while a statement is on its way to PostgreSQL
// go together with the next one. Most of what a claim costs there is to start a statement and to end a transaction, which
// lines that come at the same time share so; and however many they are, they occupy one connection and do not meet each
// other's locks. A claim that comes alone is sent at once.
type claims struct {
	mu    sync.Mutex
	pools map[string]*claimQueue
}

type claimQueue struct {
	waiting []*claimant // while a statement is on its way
	busy    bool
	crowded bool // the last statement served several, or left some waiting; only who serves reads or writes it
}

// claimant is a line that wants its keys.
type claimant struct {
	id    string
	units int
	came  time.Time
	line  *line // as it is when it has its keys; nil: there is no such line (Measure)

	done  chan struct{}
	taken []pooledKey
	err   error
}

const (
	maxTogether  = 64               // lines of one statement
	unitsAtOnce  = 1000             // of several lines; one that wants more goes alone
	claimTimeout = 35 * time.Second // of a statement, which PostgreSQL ends after 30 s
)

// take gives a line all its keys, in the order of its units, and books it; or nothing, when there are too few, when lines
// that wait come first, and when somebody else has changed the line or has it locked. An error means that the outcome is
// unknown.
func (q *claims) take(ctx context.Context, d *DB, pool string, c *claimant) ([]pooledKey, error) {
	c.done = make(chan struct{})
	q.mu.Lock()
	p := q.pools[pool]
	if p == nil {
		if q.pools == nil {
			q.pools = map[string]*claimQueue{}
		}
		p = &claimQueue{}
		q.pools[pool] = p
	}
	p.waiting = append(p.waiting, c)
	free := !p.busy
	p.busy = true
	q.mu.Unlock()
	if free {
		q.begin(ctx, d, pool, p)
	}
	select {
	case <-c.done:
		return c.taken, c.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// begin serves the claimant that finds nobody served: at once and by itself if it is alone, as most are, which spares it
// the way through another goroutine; then those who came meanwhile.
func (q *claims) begin(ctx context.Context, d *DB, pool string, p *claimQueue) {
	together := q.next(p)
	if len(together) == 1 {
		d.claimTogether(ctx, pool, together)
		close(together[0].done)
		together = q.next(p)
	}
	if len(together) > 0 {
		go q.serve(context.WithoutCancel(ctx), d, pool, p, together) // a claimant that gives up must not end the others' claims
	}
}

// serve sends one statement after the other until nobody wants a key of the pool.
func (q *claims) serve(ctx context.Context, d *DB, pool string, p *claimQueue, together []*claimant) {
	for ; len(together) > 0; together = q.next(p) {
		d.claimTogether(ctx, pool, together)
		for _, c := range together {
			close(c.done)
		}
	}
}

// next gives those who waited longest. None: the next one to come begins to serve.
func (q *claims) next(p *claimQueue) []*claimant {
	if p.crowded {
		runtime.Gosched() // who is about to claim comes along
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	n, units := 0, 0
	for n < min(maxTogether, len(p.waiting)) && (n == 0 || units+p.waiting[n].units <= unitsAtOnce) {
		units += p.waiting[n].units
		n++
	}
	together := p.waiting[:n:n]
	p.waiting = p.waiting[n:]
	p.busy, p.crowded = n > 0, n > 1 || len(p.waiting) > 0
	return together
}

// claimTogether takes the keys of all claimants at once or, if that does not go, of each by itself: one that was
// changed meanwhile, or wants more than is there, must not stop the others. Of a database that does not answer nothing
// more is asked: each goes on by itself then.
func (d *DB) claimTogether(ctx context.Context, pool string, all []*claimant) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	err := d.claimAll(ctx, pool, all)
	if err == nil && len(all[0].taken) == 0 {
		err = d.claimUnpacked(ctx, pool, all)
	}
	apart := len(all) > 1 && len(all[0].taken) == 0 && keyturn.KindOf(err) != keyturn.KindUnavailable
	for _, c := range all {
		if c.err = err; apart {
			c.err = d.claimAll(ctx, pool, []*claimant{c})
		}
	}
}

// claimUnpacked is claimAll once more, if there were keys to unpack.
func (d *DB) claimUnpacked(ctx context.Context, pool string, all []*claimant) error {
	units := 0
	for _, c := range all {
		units += c.units
	}
	unpacked, err := d.restock(ctx, pool, units)
	if err != nil || !unpacked {
		return err
	}
	return d.claimAll(ctx, pool, all)
}

// claimAll takes the keys of all claimants and books their lines in one statement, or changes nothing.
func (d *DB) claimAll(ctx context.Context, pool string, all []*claimant) error {
	var n wanted
	var lines obtainedLines
	by := make(map[string]*claimant, len(all))
	for _, c := range all {
		n.add(c.id, 0, c.units, c.came)
		by[c.id] = c
		if c.line != nil {
			lines.add(c.line)
		}
	}
	var w pg.StmtBuilder
	from := d.fronts.look(pool, len(n.lines))
	if len(lines.ids) > 0 {
		lines.locks(&w)
		n.takes(&w, pool, from, ` AND (SELECT count(*) FROM mine) = ?`, len(lines.ids))
		lines.moves(&w)
	} else {
		n.takes(&w, pool, from, "")
	}
	taken, err := d.taken(ctx, d.pg.Implicit(), &w, pool, from)
	for _, k := range taken {
		by[k.LineID].taken = append(by[k.LineID].taken, k)
	}
	if len(taken) > 0 {
		for _, c := range all {
			if c.line != nil {
				c.line.isSaved()
			}
		}
	}
	return err
}

// obtainedLines are untouched lines that become OBTAINED together, by column.
type obtainedLines struct {
	ids, obtained, deadlines, wakes pq.StringArray
	versions, sources               pq.Int64Array
}

func (o *obtainedLines) add(l *line) {
	o.ids = append(o.ids, l.ID)
	o.versions = append(o.versions, int64(l.Version))
	o.sources = append(o.sources, int64(l.SourceNo))
	o.obtained = append(o.obtained, l.ObtainedAt.Format(time.RFC3339Nano))
	o.deadlines = append(o.deadlines, l.GiveUpAt.Format(time.RFC3339Nano))
	wake := ""
	if l.savedWakeAt != nil {
		wake = l.savedWakeAt.Format(time.RFC3339Nano)
	}
	o.wakes = append(o.wakes, wake)
}

// locks adds to a statement that it locks the lines, as far as they are as they were seen. It waits for no lock: who holds
// one changes the line.
func (o *obtainedLines) locks(w *pg.StmtBuilder) {
	w.With("mine", `
		SELECT l.id FROM unnest(CAST(? AS uuid[]), CAST(? AS int[])) AS a (id, version)
		JOIN line_items l ON l.id = a.id WHERE l.version = a.version FOR UPDATE OF l SKIP LOCKED`, o.ids, o.versions)
}

// moves adds what line.moves does for each of the lines, if they have their keys.
func (o *obtainedLines) moves(w *pg.StmtBuilder) {
	w.With("moved", `
		UPDATE line_items l SET status = ?, version = l.version + 1, source_no = a.source_no, attempts = 0, failures = 0,
			obtained_at = a.obtained_at, give_up_at = a.give_up_at,
			wake_at = CASE WHEN l.wake_at = CAST(nullif(a.wake_at, '') AS timestamptz) THEN NULL ELSE l.wake_at END
		FROM unnest(CAST(? AS uuid[]), CAST(? AS int[]), CAST(? AS int[]), CAST(? AS timestamptz[]), CAST(? AS timestamptz[]), CAST(? AS text[]))
			AS a (id, version, source_no, obtained_at, give_up_at, wake_at)
		WHERE l.id = a.id AND l.version = a.version AND EXISTS (SELECT FROM taken)
		RETURNING l.id, l.version`, keyturn.LineObtained, o.ids, o.versions, o.sources, o.obtained, o.deadlines, o.wakes)
	w.With("logged", `
		INSERT INTO line_log (line_id, version, from_status, to_status, by, reason)
		SELECT id, version, ?, ?, ?, '' FROM moved`, keyturn.LinePending, keyturn.LineObtained, byWorkflow)
}

package db

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn/stock"
)

// poolOp is one call on a pool: keys are bits.
type poolOp struct {
	do   string // import, claim, return
	keys uint64
}

// aPool is the specification: a set of keys for sale. A claim takes one of them, and finds none only when there is
// none.
var aPool = porcupine.Model{
	Init: func() any { return uint64(0) },
	Step: func(state, input, output any) (bool, any) {
		free, op, got := state.(uint64), input.(poolOp), output.(uint64)
		switch op.do {
		case "claim":
			if got == 0 {
				return free == 0, free
			}
			return free&got == got, free &^ got
		default:
			return free&op.keys == 0, free | op.keys
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v → %x", input, output) },
}

// Claims, returns and imports that run at the same time, each from one of two processes, leave a history that is one of
// the specification in some order: no key twice, none lost, none missed while it was for sale.
func TestPoolsAreLinearizable(t *testing.T) {
	s := newShop(t)
	s.emptyPool("p")
	other := s.open(t, s.dsn)
	defer func() { require.NoError(t, other.Close()) }()
	var mu sync.Mutex
	var history []porcupine.Operation
	bit := map[string]uint64{}
	begin := time.Now()
	record := func(client int, op poolOp, do func() uint64) uint64 {
		call := time.Since(begin).Nanoseconds()
		got := do()
		mu.Lock()
		defer mu.Unlock()
		history = append(history, porcupine.Operation{
			ClientId: client, Input: op, Call: call, Output: got,
			Return: time.Since(begin).Nanoseconds(),
		})
		return got
	}
	claim := func(d *DB) (id string, got uint64) {
		for {
			left := 0
			id = newID()
			want := stock.Claim{Pool: "p", Line: id, Units: 1}
			taken, err := d.stock.Take(s.ctx, d.pg.Implicit(), want) // in one statement, as on the fast path
			if err == nil && len(taken) == 0 {
				err = d.pg.Tx(s.ctx, func(tx *sqlx.Tx) (err error) {
					if taken, err = d.stock.Take(s.ctx, tx, want); err == nil && len(taken) == 0 {
						left, err = stock.Left(s.ctx, tx, "p", 1)
					}
					return err
				})
			}
			if err != nil {
				t.Error(err)
				return "", 0
			}
			if len(taken) == 0 && left == 0 {
				return "", 0
			}
			if len(taken) == 1 {
				key, err := d.stock.Open(taken)
				if err != nil {
					t.Error(err)
					return "", 0
				}
				mu.Lock()
				defer mu.Unlock()
				return id, bit[key[0].Reveal()]
			}
		}
	}
	giveBack := func(client int, d *DB, id string, mask uint64) {
		record(client, poolOp{"return", mask}, func() uint64 {
			if err := d.pg.Tx(s.ctx, func(tx *sqlx.Tx) error {
				return d.freeKeys(s.ctx, tx, &line{ID: id}, "test",
					"gave it back")
			}); err != nil {
				t.Error(err)
			}
			return 0
		})
	}
	var wg sync.WaitGroup
	const clients, rounds = 6, 25
	for c := range clients {
		d := s.DB
		if c%2 == 1 {
			d = other
		}
		wg.Go(func() {
			held := map[string]uint64{}
			for i := range rounds {
				switch n := rand.IntN(10); {
				case n < 2 && c*10+i/3 < 64 && i%3 == 0 && i < 30:
					text := fmt.Sprintf("K-%d-%d", c, i)
					mask := uint64(1) << (c*10 + i/3)
					mu.Lock()
					bit[text] = mask
					mu.Unlock()
					record(c, poolOp{"import", mask}, func() uint64 {
						_, err := d.Import(s.ctx, "p", strings.NewReader(text), "test", false)
						if err != nil {
							t.Error(err)
						}
						return 0
					})
				case n < 5 && len(held) > 0:
					for id, mask := range held {
						giveBack(c, d, id, mask)
						delete(held, id)
						break
					}
				default:
					id := ""
					if got := record(c, poolOp{do: "claim"}, func() (got uint64) { id, got = claim(d); return got }); got != 0 {
						held[id] = got
					}
				}
			}
			for id, mask := range held { // no line has them
				giveBack(c, d, id, mask)
			}
		})
	}
	wg.Wait()
	require.Equal(t, porcupine.Ok, porcupine.CheckOperationsTimeout(aPool, history, time.Minute))
	imported := 0
	for _, op := range history {
		if op.Input.(poolOp).do == "import" {
			imported += bits.OnesCount64(op.Input.(poolOp).keys)
		}
	}
	require.NotZero(t, imported)
	stock := s.pool("p").Stock
	require.EqualValues(t, imported, stock.Available)
}

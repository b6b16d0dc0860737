package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/audit"
)

// A leaked batch: its unsold keys are never sold, and those who bought one get another by e-mail, in the order of their
// purchase; while the pool is dry the others wait, and go on by themselves.
func TestRecalledKeysAreReplacedByMail(t *testing.T) {
	s := start(t, options{})
	s.product(keyturn.Product{ID: "game", Sources: sources(fromPool("game-keys")), Retry: patient}, keys("LEAKED", 5)...)
	first, second := s.order("game"), s.order("game")
	s.await(first, keyturn.OrderCompleted)
	s.await(second, keyturn.OrderCompleted)
	var batch string
	require.NoError(t, s.sql(&batch, `SELECT id::text FROM batches`))
	require.NoError(t, s.db.Stock().Recall(t.Context(), "game-keys", batch, "the list was published", true, "ops"))
	late := s.order("game")
	s.awaitLine(fulfillment(late), keyturn.LineWaitingForStock)

	s.load("game-keys", "FRESH-1")
	s.eventually(func() (bool, string) {
		n := len(s.letters(buyer))
		return n == 3, fmt.Sprintf("%d letters", n)
	})
	s.load("game-keys", "FRESH-2", "FRESH-3")
	s.await(late, keyturn.OrderCompleted)
	s.eventually(func() (bool, string) {
		n := s.count(`SELECT count(*) FROM replacements WHERE status = 'DONE'`)
		return n == 2 && len(s.letters(buyer)) == 5 && s.count(`SELECT count(*) FROM pool_keys WHERE state = 'claimed'`) == 0,
			fmt.Sprintf("%d replaced", n)
	})
	replaced := 0
	for _, letter := range s.letters(buyer) {
		if strings.Contains(letter.Text, "FRESH") && strings.Contains(letter.Text, "LEAKED") {
			require.Contains(t, letter.Text, "no longer valid")
			replaced++
		}
	}
	require.Equal(t, 2, replaced)
	require.Equal(t, 3, s.count(`SELECT quarantined FROM (SELECT sum(quarantined) AS quarantined FROM pool_stock) s`))
	s.atRest(first, second, late)
	s.books(func(*audit.Evidence) {}) // an e-mail that was sent before the recall shows the key of then
}

package db

import (
	"context"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"keyturn.dev/keyturn/pg"
)

// packing says how the keys of an import lie in the database until their turn comes (table key_packs).
type packing struct {
	keys   int // of one pack, at most
	bytes  int // of one pack, after which no key is added: a pack fits on a page of PostgreSQL
	unpack int // keys that get rows of their own at a time
	block  int // keys whose fingerprints are stored at a time
}

var defaultPacking = packing{keys: 64, bytes: 5000, unpack: 500, block: 500_000}

// restock unpacks the next keys of a pool if it has n and too few of them can be claimed, and says whether it did. Keys are
// unpacked in the order of their import, so what lies in packs comes after all that has rows.
func (d *DB) restock(ctx context.Context, pool string, n int) (done bool, err error) {
	if rows, packed, err := stockOf(ctx, d.pg, pool, n); err != nil || rows >= n || rows+packed < n {
		return false, pg.AsKind(err)
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) (err error) {
		done, err = d.restockIn(ctx, tx, pool, n)
		return err
	})
	return done && err == nil, err
}

// restockIn unpacks until n keys can be claimed or none are packed any more. It locks the pool, so that of many who find it
// empty at the same time one unpacks.
func (d *DB) restockIn(ctx context.Context, tx *sqlx.Tx, pool string, n int) (done bool, err error) {
	if err := tx.SelectContext(ctx, &[]string{}, `SELECT id FROM pools WHERE id = $1 FOR NO KEY UPDATE`, pool); err != nil {
		return false, err
	}
	for {
		var have int
		if err := tx.GetContext(ctx, &have, `SELECT count(*) FROM (`+rowsForSaleSQL+`) AS rows_for_sale`, pool, n); err != nil || have >= n {
			return done, err
		}
		packs := (max(n, d.packing.unpack)-have)/d.packing.keys + 1
		found, err := lockPacks(ctx, tx, `pool_id = $1`+notRecalledSQL+` ORDER BY position LIMIT $2`, pool, packs)
		if err != nil || len(found) == 0 {
			return done, err
		}
		if err := unpack(ctx, tx, found, ""); err != nil {
			return done, err
		}
		done = true
	}
}

// rowsForSaleSQL are the keys of the pool $1 that have rows of their own and can be given now, up to $2.
const rowsForSaleSQL = `SELECT FROM pool_keys WHERE pool_id = $1 AND state = 'available' AND (give_until IS NULL OR give_until > now())` +
	notRecalledSQL + ` ORDER BY position LIMIT $2`

// lockPacks gives the packs that a condition names, locked: what unpacks keys must see what was taken out of them until then.
func lockPacks(ctx context.Context, tx *sqlx.Tx, where string, args ...any) (found pq.Int64Array, err error) {
	return found, tx.SelectContext(ctx, &found, `SELECT first_id FROM key_packs WHERE `+where+` FOR UPDATE`, args...)
}

// leavePacksSQL goes on after taken (first_id, no), the keys that leave their packs. The packs are named in each part, so
// that PostgreSQL looks for no better way to find some of many.
const leavePacksSQL = `, packs AS MATERIALIZED (
		SELECT first_id, CAST(array_agg(no) AS int[]) AS nos FROM taken GROUP BY first_id
	), lighter AS (
		UPDATE key_packs p SET gone = p.gone || t.nos,
			expiring = CASE WHEN p.expiring IS NOT NULL THEN (SELECT min(k.give_until) FROM packed_keys k WHERE k.first_id = p.first_id AND k.no <> ALL (t.nos)) END
		FROM packs t WHERE p.first_id = ANY(ARRAY(SELECT first_id FROM packs)) AND p.first_id = t.first_id AND cardinality(p.ends) > cardinality(p.gone) + cardinality(t.nos)
	), empty AS (
		DELETE FROM key_packs p USING packs t
		WHERE p.first_id = ANY(ARRAY(SELECT first_id FROM packs)) AND p.first_id = t.first_id AND cardinality(p.ends) = cardinality(p.gone) + cardinality(t.nos)
	)`

// unpack gives keys of locked packs rows of their own: those that a condition with its arguments, from $2 on, names; all,
// if it is empty.
func unpack(ctx context.Context, tx *sqlx.Tx, packs pq.Int64Array, when string, args ...any) error {
	if len(packs) == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `
	WITH taken AS MATERIALIZED (
		SELECT k.*, (SELECT b.created_at FROM batches b WHERE b.id = k.batch_id) AS imported
		FROM packed_keys k WHERE k.first_id = ANY(CAST($1 AS bigint[]))`+when+`
	)`+leavePacksSQL+`, unpacked AS (
		INSERT INTO pool_keys (id, pool_id, batch_id, position, fingerprint, content, expires_at, give_until, changed_at) OVERRIDING SYSTEM VALUE
		SELECT id, pool_id, batch_id, id, fingerprint, content, expires_at, give_until, imported FROM taken ORDER BY id
	)
	SELECT FROM packs`, append([]any{packs}, args...)...)
	return err
}

// dropPacked takes keys out of packs that nobody else sees yet. Keys and packs are in the order of their IDs.
func dropPacked(ctx context.Context, tx *sqlx.Tx, packs, keys []int64) error {
	if len(keys) == 0 {
		return nil
	}
	first, nos := make(pq.Int64Array, len(keys)), make(pq.Int64Array, len(keys))
	for i, key := range keys {
		for len(packs) > 1 && packs[1] <= key {
			packs = packs[1:]
		}
		first[i], nos[i] = packs[0], key-packs[0]+1
	}
	_, err := tx.ExecContext(ctx, `
	WITH taken AS MATERIALIZED (
		SELECT * FROM unnest(CAST($1 AS bigint[]), CAST($2 AS int[])) AS k (first_id, no)
	)`+leavePacksSQL+`
	SELECT FROM packs`, first, nos)
	return err
}

// withdrawPacks puts the packs of a batch away for ever, forgets the fingerprints of their keys, and says how many keys
// they hold.
func (d *DB) withdrawPacks(ctx context.Context, tx *sqlx.Tx, b batchRow) (keys int, err error) {
	for {
		packs, err := lockPacks(ctx, tx, `first_id > $1 AND first_id <= $2 AND batch_id = $3 ORDER BY first_id LIMIT $4`,
			b.FirstKey.Int64, b.LastKey.Int64, b.ID, d.packing.block/d.packing.keys+1)
		if err != nil || len(packs) == 0 {
			return keys, err
		}
		var n int
		if err := tx.GetContext(ctx, &n, `
			WITH held AS MATERIALIZED (
				SELECT fingerprint FROM packed_keys WHERE first_id = ANY(CAST($1 AS bigint[])) ORDER BY fingerprint
			), forgotten AS (
				DELETE FROM key_fingerprints WHERE fingerprint = ANY(ARRAY(SELECT fingerprint FROM held)) AND key_id > $2 AND key_id <= $3
			), packs AS (
				DELETE FROM key_packs WHERE first_id = ANY(CAST($1 AS bigint[])) RETURNING *
			), kept AS (
				INSERT INTO withdrawn_packs SELECT * FROM packs
			), stock AS (
				INSERT INTO pool_stock AS s (pool_id, slot, available, withdrawn) SELECT $4, `+stockSlot+`, 0 - count(*), count(*) FROM held
				ON CONFLICT (pool_id, slot) DO UPDATE SET available = s.available + excluded.available, withdrawn = s.withdrawn + excluded.withdrawn
			)
			SELECT count(*) FROM held`, packs, b.FirstKey.Int64, b.LastKey.Int64, b.PoolID); err != nil {
			return keys, err
		}
		keys += n
	}
}

// unpackBatch unpacks the keys of a batch whose packs begin after one ID and up to another one.
func unpackBatch(ctx context.Context, tx *sqlx.Tx, batch string, after, to int64) error {
	for {
		packs, err := lockPacks(ctx, tx, `first_id > $1 AND first_id <= $2 AND batch_id = $3 ORDER BY first_id LIMIT 300`, after, to, batch)
		if err != nil || len(packs) == 0 {
			return err
		}
		if err := unpack(ctx, tx, packs, ""); err != nil {
			return err
		}
	}
}

// unpackKey unpacks one key, which stays where it is in the queue, and leaves the others in their pack.
func unpackKey(ctx context.Context, tx *sqlx.Tx, pack, key int64) error {
	packs, err := lockPacks(ctx, tx, `first_id = $1`, pack)
	if err != nil {
		return err
	}
	return unpack(ctx, tx, packs, ` AND k.id = $2`, key)
}

// whereKeyIsSQL goes on after key_fingerprints f: k is the row of the key, or p the pack that it lies in.
const whereKeyIsSQL = `
		LEFT JOIN pool_keys k ON k.id = f.key_id
		LEFT JOIN LATERAL (
			SELECT first_id, pool_id, batch_id, expires_at[f.key_id - first_id + 1] AS expires_at FROM key_packs
			WHERE k.id IS NULL AND first_id <= f.key_id ORDER BY first_id DESC LIMIT 1) p ON true`

package stock

import (
	"context"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// forecastSQL says for each pool how fast keys are taken and how long the rest lasts, from maintained figures: what was
// taken until now, and until the samples of an hour and of a day ago, or the oldest there are. What less than an hour
// of sales would be in an hour is a guess: ten keys in a pool's first minute, or in the first minute after an outage,
// are no 600 an hour. Until there is an hour there is no forecast. The lines that wait take their units first.
const forecastSQL = `
	stock AS (
		SELECT p.id, p.spec, coalesce(sum(s.available), 0) AS available, coalesce(sum(s.taken), 0) AS taken
		FROM pools p LEFT JOIN pool_stock s ON s.pool_id = p.id WHERE CAST($1 AS text) IN ('', p.id) GROUP BY p.id, p.spec
	), pace AS (
		SELECT s.*, greatest(0, coalesce((
			SELECT max((s.taken - y.taken) * 3600 / extract(epoch FROM now() - y.at)) FROM (
				(SELECT taken, at FROM pool_pace WHERE pool_id = s.id AND at BETWEEN now() - interval '1 day'
					AND now() - interval '1 hour' ORDER BY at DESC LIMIT 1)
				UNION ALL
				(SELECT taken, at FROM pool_pace WHERE pool_id = s.id AND at BETWEEN now() - interval '1 day'
					AND now() - interval '1 hour' ORDER BY at LIMIT 1)
			) y), 0)) AS per_hour
		FROM stock s
	), waits AS (
		SELECT waiting_pool, sum(CASE WHEN coalesce(quantity_mode, CAST(p.spec AS json) ->> 'quantityMode') = 'one_per_line'
			THEN lines ELSE units END) AS units
		FROM (SELECT waiting_pool, product_id, quantity_mode, count(*) AS lines, sum(quantity) AS units FROM line_items
			WHERE waiting_pool IS NOT NULL AND CAST($1 AS text) IN ('', waiting_pool)
			GROUP BY waiting_pool, product_id, quantity_mode) w
		JOIN products p ON p.id = w.product_id GROUP BY waiting_pool
	), forecast AS (
		SELECT pace.*, CASE WHEN per_hour > 0 THEN greatest(0, available - coalesce(w.units, 0)) / per_hour END AS hours_left
		FROM pace LEFT JOIN waits w ON w.waiting_pool = pace.id
	)`

func (s *Stock) forecast(ctx context.Context, pool string) (keyturn.Forecast, error) {
	var row struct {
		PerHour   float64  `db:"per_hour"`
		HoursLeft *float64 `db:"hours_left"`
	}
	err := s.pg.GetContext(ctx, &row, `WITH `+forecastSQL+`
		SELECT CAST(per_hour AS float) AS per_hour, CAST(hours_left AS float) AS hours_left FROM forecast`, pool)
	return keyturn.Forecast{PerHour: row.PerHour, HoursLeft: row.HoursLeft}, pg.AsKind(err)
}

// WatchPools opens the alerts of each pool that fell below its threshold or that lasts no longer than its horizon, and
// closes those that are over: once per crossing. Once a minute it notes what was taken of each pool.
func (s *Stock) WatchPools(ctx context.Context) error {
	return s.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO pool_pace (pool_id, at, taken)
			SELECT p.id, date_trunc('minute', now()), coalesce((SELECT sum(taken) FROM pool_stock s WHERE s.pool_id = p.id), 0)
				FROM pools p
			WHERE NOT EXISTS (SELECT FROM pool_pace y WHERE y.pool_id = p.id AND y.at = date_trunc('minute', now()))
			ON CONFLICT DO NOTHING`); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM pool_pace WHERE at < now() - make_interval(hours => $1)`,
			keepPace); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, watchSQL, ""); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, emptySQL)
		return err
	})
}

// keepPace is for how many hours the samples of the pace are kept.
const keepPace = 25

// emptySQL notes which pools have sold their last key, and which have one again.
const emptySQL = `
	UPDATE pools p SET empty_since = CASE WHEN s.available = 0 THEN now() END
	FROM (SELECT pool_id, sum(available) AS available, sum(taken) AS taken FROM pool_stock GROUP BY pool_id) s
	WHERE s.pool_id = p.id AND (p.empty_since IS NULL) = (s.available = 0) AND (s.available > 0 OR s.taken > 0)`

const watchSQL = `
	WITH ` + forecastSQL + `, limits AS (
		SELECT *, CAST(coalesce(CAST(spec AS json) ->> 'threshold', '0') AS bigint) AS threshold,
			CAST(CAST(spec AS json) ->> 'forecastHorizon' AS interval) AS horizon
		FROM forecast
	), causes AS (
		SELECT id, '` + string(keyturn.AlertLowStock) + `' AS cause, available < threshold AS low,
			'pool ' || id || ' has ' || available || ' keys left, fewer than ' || threshold AS happened FROM limits
		UNION ALL
		SELECT id, '` + string(keyturn.AlertRunsDry) + `', coalesce(hours_left * interval '1 hour' < horizon, false),
			'at the recent pace pool ' || id || ' lasts ' || round(CAST(hours_left AS numeric),
				1) || ' hours more, with ' || available || ' keys left' FROM limits
	), closed AS (
		UPDATE alerts a SET closed_at = now() FROM causes c
		WHERE a.pool_id = c.id AND a.cause = c.cause AND a.closed_at IS NULL AND NOT c.low
	)
	INSERT INTO alerts (cause, pool_id, detail)
	SELECT cause, id, CAST(json_build_object('happened', happened) AS text) FROM causes WHERE low
	ON CONFLICT (pool_id, cause) WHERE pool_id IS NOT NULL AND closed_at IS NULL DO NOTHING`

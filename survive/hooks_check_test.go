package survive_test

import (
	"database/sql"
	"fmt"
)

// hooksCatalog are webhooks that want everything: three receivers, and a subscription.
const hooksCatalog = `
webhooks:
  - {id: good, url: "{HOOKS}/good", events: ["*"], secret: {env: SURVIVE_HOOK}}
  - {id: flaky, url: "{HOOKS}/flaky", events: ["*"], secret: {env: SURVIVE_HOOK}, rate: {maxConcurrent: 3}}
  - {id: dead, url: "{HOOKS}/dead", events: ["*"], secret: {env: SURVIVE_HOOK}}
  - {id: pull, events: ["*"]}
`

// hurryHooks has what is late for the receivers that live tried now, as a person may.
func hurryHooks(db *sql.DB) error {
	for _, query := range []string{
		`UPDATE event_deliveries SET next_at = now() WHERE webhook IN ('good', 'flaky') AND next_at > now()
			AND lease_until IS NULL`,
		`UPDATE webhooks SET next_try_at = NULL WHERE id IN ('good', 'flaky') AND next_try_at > now()`,
	} {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		if _, err := tx.Exec(query); err != nil {
			_ = tx.Rollback()
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// hooksLeft says how many events are still on their way to the receivers that live.
func hooksLeft(db *sql.DB) (n int, err error) {
	err = db.QueryRow(`
		SELECT (SELECT count(*) FROM events WHERE number IS NULL)
			+ (SELECT count(*) FROM event_deliveries WHERE webhook IN ('good', 'flaky') AND status = 'PENDING')`).Scan(&n)
	return n, err
}

// checkHooks compares what receivers have written down with the books: each event came to those that live, and what
// came had the event's bytes at each try. It gives what is wrong, and how many events came to each, of how many tries.
func checkHooks(db *sql.DB, came []toldOf) (wrong []string, events, tries map[string]int, err error) {
	events, tries = map[string]int{}, map[string]int{}
	taken := map[string]bool{} // by webhook and event
	bodies := map[string]string{}
	rows, err := db.Query(`
		SELECT d.webhook, 'evt_' || e.public_id, e.body, d.status FROM event_deliveries d JOIN events e ON e.id = d.event_id
		WHERE d.webhook IN ('good', 'flaky') AND d.replay = 0`)
	if err != nil {
		return nil, nil, nil, err
	}
	defer rows.Close()
	type due struct{ webhook, id, status string }
	var all []due
	for rows.Next() {
		var d due
		var body string
		if err := rows.Scan(&d.webhook, &d.id, &body, &d.status); err != nil {
			return nil, nil, nil, err
		}
		bodies[d.id] = body
		all = append(all, d)
	}
	for _, c := range came {
		tries[c.Webhook]++
		if !c.Signed {
			wrong = append(wrong, fmt.Sprintf("%s: %s came unsigned", c.Webhook, c.ID))
		}
		if body, known := bodies[c.ID]; known && c.Body != body {
			wrong = append(wrong, fmt.Sprintf("%s: %s came with other bytes: %s", c.Webhook, c.ID, c.Body))
		}
		if c.Taken {
			taken[c.Webhook+" "+c.ID] = true
		}
	}
	for _, d := range all {
		events[d.webhook]++
		if came := taken[d.webhook+" "+d.id]; !came || d.status != "DELIVERED" {
			wrong = append(wrong, fmt.Sprintf("%s: %s is %s, and came: %v", d.webhook, d.id, d.status, came))
		}
	}
	return wrong, events, tries, rows.Err()
}

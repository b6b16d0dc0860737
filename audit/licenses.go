package audit

import (
	"slices"
	"strings"

	"keyturn.dev/keyturn"
)

// licenseProbes look at licences and what was done to them.
var licenseProbes = []probe{
	{"L1", licenseStatusSQL},
	{"L1", deliveredWithoutLicenseSQL},
	{"L1", licenseStepsSQL()},
	{"L1", licenseOwnerSQL},
	{"L1", licenseTermSQL},
	{"L2", operationOrderSQL},
	{"F5", queuedOverdueSQL},
}

const licenseStatusSQL = `
	SELECT l.order_id, c.line_id, 'licence ' || c.id AS subject,
		'it is ' || c.status || ' and what was done to it makes it ' || c.wanted AS what
	FROM (
		SELECT c.id, c.line_id, c.status, CASE WHEN l.status IN ('CANCELING', 'CANCELED') THEN 'Canceled'
			ELSE coalesce(s.to_status, 'Running') END AS wanted
		FROM licenses c JOIN line_items l ON l.id = c.line_id
		LEFT JOIN (
			SELECT DISTINCT ON (license_id) license_id, to_status FROM license_steps WHERE withdrawn_at IS NULL
				ORDER BY license_id, no DESC
		) s ON s.license_id = c.id
	) c JOIN line_items l ON l.id = c.line_id
	WHERE c.status <> c.wanted`

// deliveredWithoutLicenseSQL: a cancel may find nothing left to cancel, and of an operation that found its licence
// cancelled operations were told.
const deliveredWithoutLicenseSQL = `
	SELECT l.order_id, l.id AS line_id, NULL AS subject,
		'it is delivered, and nothing of it is booked on a licence' AS what
	FROM line_items l LEFT JOIN licenses c ON c.line_id = l.id LEFT JOIN license_steps s ON s.line_id = l.id
	WHERE l.status = 'DELIVERED' AND coalesce(c.id, s.license_id) IS NULL AND NOT (l.license_id IS NOT NULL AND (
		l.operation = 'cancel' OR EXISTS (SELECT FROM alerts a WHERE a.line_id = l.id
			AND a.cause = '` + string(keyturn.AlertRevocation) + `' AND ` + knownAlertSQL + `)))`

// licenseOwnerSQL: a licence belongs to whoever its create was sold to.
const licenseOwnerSQL = `
	SELECT l.order_id, c.line_id, 'licence ' || c.id AS subject,
		'it belongs to another customer than the order that it was sold by' AS what
	FROM licenses c JOIN line_items l ON l.id = c.line_id JOIN orders o ON o.id = l.order_id
	WHERE c.customer_id <> o.customer_id`

// licenseTermSQL: the end of a licence's term is one that its create or an operation on it brought.
const licenseTermSQL = `
	SELECT l.order_id, c.line_id, 'licence ' || c.id AS subject,
		'its term ends at ' || c.expires_at || ', which nothing that was sold of it says' AS what
	FROM licenses c JOIN line_items l ON l.id = c.line_id
	WHERE c.expires_at IS NOT NULL AND c.expires_at IS DISTINCT FROM l.expires_at
		AND NOT EXISTS (SELECT FROM line_items o WHERE o.license_id = c.id AND o.expires_at = c.expires_at)`

// licenseStepsSQL checks each step against the code's table of transitions, not against the database's own, and that a
// delivered operation made it.
func licenseStepsSQL() string {
	var allowed []string
	for from, ops := range keyturn.LicenseTransitions {
		for op, to := range ops {
			allowed = append(allowed, "'"+string(from)+">"+string(op)+">"+string(to)+"'")
		}
	}
	slices.Sort(allowed)
	return `
	SELECT l.order_id, s.line_id, 'licence ' || s.license_id AS subject,
		s.operation || ' made of ' || s.from_status || ' ' || s.to_status || ', and its line is a ' || l.operation || ' that is ' || l.status AS what
	FROM license_steps s JOIN line_items l ON l.id = s.line_id
	WHERE s.from_status || '>' || s.operation || '>' || s.to_status NOT IN (` + strings.Join(allowed, ", ") + `)
		OR (s.license_id, s.no, s.operation) IS DISTINCT FROM (l.license_id, l.operation_no, l.operation)
			OR l.delivered_at IS NULL`
}

// operationOrderSQL compares when an operation was carried out with when the last one before it was decided.
const operationOrderSQL = `
	WITH ops AS (
		SELECT l.license_id, l.operation_no, l.id, l.order_id, l.obtained_at, coalesce(l.delivered_at, (
			SELECT min(g.at) FROM line_log g WHERE g.line_id = l.id AND g.to_status = 'CANCELING'), 'infinity') AS decided_at
		FROM line_items l WHERE l.license_id IS NOT NULL
	)
	SELECT o.order_id, o.id AS line_id, 'licence ' || o.license_id AS subject,
		'operation ' || o.operation_no || ' was carried out before those before it were decided' AS what
	FROM (SELECT ops.*, max(decided_at) OVER (PARTITION BY license_id
		ORDER BY operation_no ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM ops) o
	WHERE o.obtained_at < o.before`

// queuedOverdueSQL: what waits for its turn is woken when it has come.
const queuedOverdueSQL = `
	SELECT l.order_id, l.id AS line_id, 'licence ' || l.license_id AS subject,
		'it waits for operations that are all decided' AS what
	FROM line_items l
	WHERE l.blocked AND l.status NOT IN ('DELIVERED', 'CANCELING', 'CANCELED') AND NOT EXISTS (
		SELECT FROM line_items b
		WHERE (b.fulfillment_id = l.license_id OR b.license_id = l.license_id AND b.operation_no < l.operation_no)
			AND (b.status NOT IN ('DELIVERED', 'CANCELING', 'CANCELED') OR EXISTS (
				SELECT FROM line_log g WHERE g.line_id = b.id AND g.at >= now() - make_interval(secs => :slack))))`

//go:build chaos

package survive_test

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/internal/testkit/faultproxy"
)

// What people do to the catalog, the stock and customers while orders come in.

// shopState is what people have last said about the catalog: at which of the partner's addresses its integrations are,
// and where one product comes from.
type shopState struct {
	at     int
	studio string
}

// studioSources are the integrations that the product studio comes from in turn.
var studioSources = []string{"good", "better"}

// applyCatalog puts the whole catalog, until the API has taken it.
func (l *lab) applyCatalog() bool {
	text := strings.NewReplacer("{PARTNER}", "http://"+l.proxies[toPartner][l.shop.at].Addr(), "{STUDIO}",
		l.shop.studio, "{HOOKS}", fmt.Sprintf("http://127.0.0.1:%d", l.ports.hooks)).Replace(labCatalog + hooksCatalog)
	file := filepath.Join(l.dir, "catalog.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		l.t.Errorf("write the catalog: %v", err)
		return false
	}
	env := append(l.env[:len(l.env):len(l.env)], "CANARY_PASSWORD="+canaryPassword, "CANARY_BEARER="+canaryBearer,
		"SURVIVE_HOOK="+hooksSecret)
	said := ""
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		var code int
		if _, said, code = command(l.t, env, "apply", "-f", file); code == 0 {
			return true
		}
	}
	l.t.Errorf("the catalog cannot be applied: %s", said)
	return false
}

// moved gives the partner's integrations another address, credentials included, while lines wait to ask it again.
func movedPartner() fault {
	return fault{kind: "partner: moved while lines wait", fire: func(l *lab, _ *rand.Rand, _ *part) bool {
		waits := l.becomes(patience, `SELECT EXISTS (SELECT FROM line_items WHERE status = 'RETRYING')`)
		l.shop.at = 1 - l.shop.at
		return l.applyCatalog() && waits
	}}
}

// decideMoved decides, until stop, on lines that are held because their partner has moved, as people do: those that
// nobody will ever get are refunded, the others asked for again.
func (l *lab) decideMoved(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(500 * time.Millisecond):
		}
		var line, product string
		if err := l.direct.QueryRow(`
			SELECT l.fulfillment_id, l.product_id FROM line_items l
				JOIN alerts a ON a.line_id = l.id AND a.cause = 'PartnerMoved' AND a.closed_at IS NULL
			WHERE l.status = 'HELD' ORDER BY random() LIMIT 1`).Scan(&line, &product); err != nil {
			continue
		}
		decision := keyturn.ResolutionRequest{Action: keyturn.ActionRetry, Reason: "the partner has moved"}
		if product == "ghost" || product == "lost" {
			decision.Action = keyturn.ActionRefund
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if _, err := l.api.Resolve(ctx, line, decision); err == nil {
			l.tally.add("lines of moved partners that people decided", 1)
		}
		cancel()
	}
}

// becomes waits until a statement that looks at the database says true.
func (l *lab) becomes(within time.Duration, sql string, args ...any) bool {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var is bool
		if l.direct.QueryRow(sql, args...).Scan(&is) == nil && is {
			return true
		}
	}
	return false
}

const changedSourceKind = "source changed after a call was cut off"

// changedSource cuts off a call after the partner has carried it out, and has the product come from another partner at
// once.
func changedSource() fault {
	return fault{kind: changedSourceKind, fire: func(l *lab, rng *rand.Rand, _ *part) bool {
		create := "POST /p/" + l.shop.studio + "/licenses/new"
		lost := l.loses(3*patience, l.proxies[toPartner], faultproxy.Loss{
			Reset: rng.Intn(2) == 0,
			Only:  func(name string) bool { return strings.HasPrefix(name, create) },
		})
		for _, other := range studioSources {
			if other != l.shop.studio {
				l.shop.studio = other
				break
			}
		}
		return l.putStudio() && lost
	}}
}

// putStudio has the product studio come from where it should now.
func (l *lab) putStudio() bool {
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		var p keyturn.Product
		if p, err = l.api.Product(ctx, "studio"); err == nil {
			p.Sources = []keyturn.Source{{Type: keyturn.SourceEndpoint, Integration: l.shop.studio}}
			_, err = l.api.PutProduct(ctx, p, false)
		}
		cancel()
		if err == nil {
			return true
		}
	}
	l.t.Errorf("the product's source cannot be changed: %v", err)
	return false
}

// erasure erases a customer of whom nothing is open, while others, and perhaps the same one, order.
func erasure() fault {
	return fault{kind: "customer: erased", fire: func(l *lab, _ *rand.Rand, _ *part) bool {
		for deadline := time.Now().Add(3 * patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			var customer string
			if l.direct.QueryRow(`
				SELECT o.customer_id FROM orders o JOIN line_items l ON l.order_id = o.id GROUP BY o.customer_id
				HAVING bool_and(l.status IN ('DELIVERED', 'CANCELED')) AND bool_or(o.customer <> '')
				ORDER BY random() LIMIT 1`).Scan(&customer) != nil {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			e, err := l.api.EraseCustomer(ctx, customer)
			cancel()
			switch kind := keyturn.KindOf(err); kind {
			case "":
				if !e.Repeated && e.Lines > 0 {
					return true
				}
			case keyturn.KindNotFound, keyturn.KindConflict, keyturn.KindUnavailable:
			default:
				l.t.Errorf("a customer cannot be erased: %v", err)
				return false
			}
		}
		return false
	}}
}

// recall takes back the batch that is being sold, and gives its customers other keys.
func recall() fault {
	return fault{kind: "batch: recalled", fire: func(l *lab, _ *rand.Rand, _ *part) bool {
		var batch string
		if err := l.direct.QueryRow(`
			SELECT k.batch_id FROM pool_keys k JOIN batches b ON b.id = k.batch_id
			WHERE k.pool_id = 'editor-keys' AND k.state IN ('claimed', 'delivered') AND b.recalled_at IS NULL
				AND (SELECT count(*) FROM pool_keys s WHERE s.batch_id = b.id) <= $1
			ORDER BY k.changed_at DESC LIMIT 1`, smallBatch).Scan(&batch); err != nil {
			return false
		}
		var err error
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			_, err = l.api.Recall(ctx, "editor-keys", batch, keyturn.RecallRequest{Reason: "it leaked", Replace: true})
			cancel()
			if err == nil {
				return true
			}
		}
		l.t.Errorf("batch %s cannot be recalled: %v", batch, err)
		return false
	}}
}

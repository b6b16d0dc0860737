package db

import (
	"context"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/pg"
)

// relayAfter is how long an accepted line may wait for its first step before the relay looks after it: long enough that
// a healthy process has long started it, short enough that nobody notices a crash.
const relayAfter = 10 * time.Second

// relayPaidAfter is the same for an order that a payment has made: often nobody has its request in hand.
const relayPaidAfter = time.Second

// AcceptInput is a checked order and who sent it.
type AcceptInput struct {
	Order          keyturn.Order
	Client         string         // the token's name: idempotency keys belong to it
	Prefix         keyturn.Prefix // of the products and licences that the order may name
	IdempotencyKey string
	RequestHash    []byte // of the request's bytes
	// Admit is asked of an order that is no repetition; its error is the answer. nil: every order is admitted.
	Admit func() error
	// PaymentID is the payment of the checkout link that makes the order; empty of an order that comes in paid.
	PaymentID string
	// Respond makes the answer that is stored and given again to every repetition of the request. It may be asked twice.
	Respond func(Accepted) ([]byte, error)

	captureBy *time.Time // of a payment that is not captured yet: the lines' deadline until then
}

// Accepted is an order as it was stored. Lines are in the order of the request, with their IDs.
type Accepted struct {
	Order      keyturn.Order
	GrossPrice keyturn.Money
	CreatedAt  time.Time
	PageToken  string
	Starts     []Start           // of the first lines: the relay starts the others of a large order in turns
	Warnings   []keyturn.Warning // lines that nothing can deliver at the moment
}

// Start is what it takes to start a line's workflow.
type Start struct {
	FulfillmentID string       `db:"fulfillment_id"`
	LineID        string       `db:"line_id"`
	OrderID       string       `db:"order_id"`
	ProductID     string       `db:"product_id"`
	Next          keyturn.Next `db:"-"`

	// What the line was promised, for people to read.
	Retry    keyturn.RetryPolicy `db:"-"`
	GiveUpAt time.Time           `db:"-"` // by the database's clock
}

// start is what it takes to start the line's workflow.
func (l *line) start() Start {
	return Start{
		FulfillmentID: l.FulfillmentID, LineID: l.ID, OrderID: l.OrderID, ProductID: l.ProductID, Next: l.next(),
		Retry: l.product.Retry, GiveUpAt: l.GiveUpAt,
	}
}

// acceptAttempts bounds how often an order is stored anew because something that it rests on changed at the same time.
const acceptAttempts = 3

// Accept stores an order, its lines and the answer in one transaction, which is one statement; after it returned nil
// the order is never lost. A repetition of the request (same client, key and bytes) gives the stored answer and no
// Accepted. Errors: KindInvalid for an unknown product, or another request under the same key (with field
// `Idempotency-Key`); KindConflict for an order ID or a line ID that is taken.
func (d *DB) Accept(ctx context.Context, in AcceptInput) (*Accepted, []byte, error) {
	for try := 1; ; try++ {
		known, err := d.readAcceptContext(ctx, in)
		if err != nil {
			return nil, nil, err
		}
		if known.RequestHash != nil {
			response, err := d.repeated(in, known)
			return nil, response, err
		}
		if err := known.paysForIt(); err != nil {
			return nil, nil, err
		}
		if in.Admit != nil {
			if err := in.Admit(); err != nil {
				return nil, nil, err
			}
		}
		accepted, response, err := d.accept(ctx, in, known)
		switch {
		case err == nil:
			return accepted, response, nil
		case try < acceptAttempts &&
			(errors.Is(err, errOvertaken) || pg.SQLState(err) == pg.UniqueViolation || pg.IsRetryable(err)):
			// Perhaps by the same request, which is answered then.
		// whichever the statement meets first
		case pg.IsUniqueViolation(err, "orders_pkey") || pg.IsUniqueViolation(err, "sandbox_payments_pkey"):
			return nil, nil, keyturn.Errorf(keyturn.KindConflict, "there is an order %s already: an order's id is unique",
				in.Order.ID)
		case pg.IsUniqueViolation(err, "line_items_pkey"):
			return nil, nil, keyturn.Errorf(keyturn.KindConflict, "one of lineItems[].id belongs to a line of another order")
		case errors.Is(err, errOvertaken):
			return nil, nil, keyturn.Errorf(keyturn.KindUnavailable, "the catalog changes too fast at this moment: try again")
		default:
			return nil, nil, err
		}
	}
}

// errOvertaken: a product was deleted, or a customer erased, after the first look.
var errOvertaken = errors.New("what the order rests on has changed")

// accept stores the order: in one statement, or, if it acts on licences, brings a term or was lost by a restore, with
// what that takes.
func (d *DB) accept(
	ctx context.Context, in AcceptInput, known acceptContext,
) (accepted *Accepted, response []byte, err error) {
	if !plansOperations(in.Order) && !known.Lost {
		return d.store(ctx, d.pg.Implicit(), in, known, &operations{})
	}
	err = d.pg.Tx(ctx, func(tx *sqlx.Tx) error {
		accepted, response, err = d.acceptIn(ctx, tx, in, known)
		return err
	})
	return accepted, response, err
}

// acceptIn stores the order in the caller's transaction, with what it takes if it acts on licences, brings a term or
// was lost by a restore.
func (d *DB) acceptIn(ctx context.Context, tx *sqlx.Tx, in AcceptInput, known acceptContext) (*Accepted, []byte,
	error,
) {
	ops, err := d.planOperations(ctx, tx, in.Order, in.Prefix, known.Now)
	if err != nil {
		return nil, nil, err
	}
	if ops.lost, err = d.takeMissing(ctx, tx, in.Order); err != nil {
		return nil, nil, err
	}
	accepted, response, err := d.store(ctx, tx, in, known, ops)
	if err != nil {
		return nil, nil, err
	}
	if err := ops.store(ctx, tx, accepted.Order.LineItems); err != nil {
		return nil, nil, err
	}
	return accepted, response, d.reconcileMissing(ctx, tx, accepted, ops.lost)
}

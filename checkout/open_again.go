package checkout

import (
	"context"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/payment"
)

// openFor is how long a session is asked for under one key. Beyond it Stripe makes no new one that ends when ours does,
// and the customer has gone: what may have been made is looked for, and ended.
const openFor = 75 * time.Minute

// openedBefore looks for a session that an earlier try may have made, where it must not simply be asked for again. done
// says that the payment's next step is known. The facts have the number of the key to ask under.
func (k *Desk) openedBefore(ctx context.Context, f *db.PaymentFacts) (out db.Reconciled, done bool, err error) {
	overdue := f.Now.Sub(f.CreatedAt) > openFor
	if f.OpenFailed == 0 && !overdue {
		return out, false, nil
	}
	processor, err := k.processor(f.Provider)
	if err != nil {
		return out, false, err
	}
	callCtx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	var state keyturn.ProcessorState
	if overdue {
		state, err = processor.Expire(callCtx, ref(*f))
	} else {
		state, err = processor.Retrieve(callCtx, ref(*f))
	}
	if keyturn.KindOf(err) != keyturn.KindNotFound {
		out, err = k.book(ctx, *f, state, err)
		return out, true, err
	}
	switch {
	case overdue: // there is none, and nobody asks for one any more
		out.Next, err = k.DB.NeverOpened(context.WithoutCancel(ctx), f.ID)
		return out, true, err
	case f.OpenFailed < payment.FailedFor:
		return out, false, keyturn.Errorf(keyturn.KindUnavailable,
			"the payment provider has failed, and is asked whether it has opened the session")
	}
	f.OpenNo, err = k.DB.NextOpenKey(context.WithoutCancel(ctx), f.ID, f.OpenNo)
	return out, false, err
}

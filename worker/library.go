package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/db"
	"keyturn.dev/keyturn/mail"
	"keyturn.dev/keyturn/metrics"
)

// How links to customers' libraries are sent: so many in a round, and so many at once. They live for a quarter of an
// hour, so no workflow follows them: whichever process looks next sends what is due.
const (
	libraryPerRound = 100
	libraryAtOnce   = 4
	librarySendTime = 30 * time.Second // shorter than the lease on the e-mail
	libraryBookTime = 5 * time.Second
)

func (h *Housekeeping) sendLibraryLinks(ctx context.Context) error {
	if h.RenderLibrary == nil {
		return nil
	}
	due, err := h.DB.DueLibraryMails(ctx, libraryPerRound)
	if err != nil {
		return err
	}
	failed := make([]error, len(due))
	var sending errgroup.Group
	sending.SetLimit(libraryAtOnce)
	for i, id := range due {
		sending.Go(func() error {
			if err := h.sendLibraryLink(ctx, id); err != nil {
				failed[i] = fmt.Errorf("link %s: %w", id, err)
			}
			return nil // one that cannot be sent keeps none of the others
		})
	}
	_ = sending.Wait()
	return errors.Join(failed...)
}

// sendLibraryLink makes one attempt to send a link: its e-mail is rendered and stored once, and sent again byte for
// byte. An attempt that has begun is not broken off: its e-mail may be on its way, and would follow a second time.
func (h *Housekeeping) sendLibraryLink(ctx context.Context, id string) error {
	if ctx.Err() != nil { // the round's time is over, and nothing has begun
		return nil
	}
	out, err := h.DB.BeginLibraryMail(ctx, id, h.RenderLibrary)
	if err != nil || out == nil {
		return err
	}
	failed := h.post(ctx, out)
	if failed != nil {
		h.Logger.Warn("an e-mail with a link to a library did not go out", "deliveryId", id, "kind",
			string(keyturn.KindOf(failed)), "error", failed)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), libraryBookTime)
	defer cancel()
	return h.DB.FinishLibraryMail(ctx, out, failed)
}

func (h *Housekeeping) post(ctx context.Context, out *db.LibraryMail) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), librarySendTime)
	defer cancel()
	var message mail.Message
	if err := message.UnmarshalBinary(out.Message); err != nil {
		return err
	}
	err := h.Mail.Send(ctx, message)
	metrics.Email(err)
	return err
}

// Times between two looks.
const (
	lookAtLibrary = time.Minute // for links that were asked for a day ago
	lookUntagged  = time.Minute // for orders of earlier versions, which may run beside this one
)

// tagPerRound is how many orders of earlier versions one round tags: some seconds.
const tagPerRound = 20_000

func (h *Housekeeping) forgetLibraryLinks(ctx context.Context) error {
	if time.Since(h.lookedAtLibrary) < lookAtLibrary {
		return nil
	}
	h.lookedAtLibrary = time.Now()
	return h.DB.ForgetLibraryLinks(ctx)
}

// tagOrders gives orders of earlier versions what their customers' libraries find them by.
func (h *Housekeeping) tagOrders(ctx context.Context) error {
	if time.Since(h.lookedForUntagged) < lookUntagged {
		return nil
	}
	n, err := h.DB.TagOrders(ctx, tagPerRound)
	if n < tagPerRound || err != nil {
		h.lookedForUntagged = time.Now()
	}
	if n > 0 {
		h.Logger.Info("orders of an earlier version can be found by their e-mail address", "orders", n)
	}
	return err
}

package notify

import (
	"context"

	"keyturn.dev/keyturn"
)

// Test sends a webhook.test event to a webhook, once, and says what came of it. If the receiver takes it, a webhook
// that Keyturn has switched off is on again. KindNotFound; KindConflict for a webhook without an address.
func (s *Sender) Test(ctx context.Context, webhook string) (keyturn.EventDelivery, error) {
	sending, err := s.DB.BeginWebhookTest(ctx, webhook)
	if err != nil {
		return keyturn.EventDelivery{}, err
	}
	e := sending.Events[0]
	ctx = context.WithoutCancel(ctx) // what was sent is booked
	r := s.Send(ctx, sending, e)
	if err := s.DB.BookSent(ctx, r); err != nil {
		return keyturn.EventDelivery{}, err
	}
	if r.Failed == "" {
		if err := s.DB.SwitchWebhookOn(ctx, webhook); err != nil {
			return keyturn.EventDelivery{}, err
		}
	}
	return s.DB.EventDelivery(ctx, webhook, e.ID)
}

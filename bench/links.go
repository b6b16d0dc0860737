package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"go.temporal.io/api/serviceerror"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/workflows"
)

// Sale is a checkout link in whose session a customer can pay.
type Sale struct {
	PaymentID string
	OrderID   string
	Session   string // that the processor knows the customer by
}

// Links sells by checkout links, in the sandbox.
type Links struct {
	// Begin begins the payment of a link, up to its session.
	Begin func(ctx context.Context, link keyturn.LinkView) (Sale, error)
	// Pay pays in the session.
	Pay func(ctx context.Context, s Sale) error
	// Return does what the shop does when its customer comes back from paying, and gives the line that was sold.
	Return func(ctx context.Context, s Sale) (fulfillmentID string, err error)
	// Events has the processor tell of what happens, or nobody.
	Events func(on bool)
}

func (b *Bench) makeLink(ctx context.Context) (keyturn.LinkView, error) {
	b.serial++
	id := fmt.Sprintf("BENCH-%s-%d", b.name, b.serial)
	v, _, err := b.API.CreateCheckoutLink(ctx, id, keyturn.CheckoutLink{
		OrderID: id, Currency: "EUR",
		LineItems: []keyturn.LinkLine{{ProductID: poolProduct, Name: "Bench pool", UnitPrice: "29.99"}},
		Customer: keyturn.Customer{
			ID: "user-" + id, Email: "buyer@bench.test", Country: "FR", Locale: "en-GB", FirstName: "Jean", LastName: "Dupont",
			City: "Paris", ZipCode: "75001",
		},
	})
	return v, err
}

// open makes links in whose sessions customers can pay. What comes before the payment is not measured.
func (b *Bench) open(events bool) func(context.Context, int) error {
	return func(ctx context.Context, count int) error {
		b.Links.Events(events)
		b.opened, b.unended = make(chan Sale, count), make(chan string, count)
		for range count {
			v, err := b.makeLink(ctx)
			if err != nil {
				return err
			}
			sale, err := b.Links.Begin(ctx, v)
			if err != nil {
				return err
			}
			b.opened <- sale
		}
		return nil
	}
}

// sale is a sale from the payment until the key is delivered, and by events until the payment's workflow has ended.
func (b *Bench) sale(events bool) one {
	return func(ctx context.Context, _ int) (time.Duration, time.Duration, error) {
		start := time.Now()
		_, err := b.sell(ctx, events)
		return 0, time.Since(start), err
	}
}

// sell pays in an open session and gives the IDs of the two workflows. Where the processor tells of nothing, the
// customer returns, and the payment's workflow looks at the end once more half a minute later: it is none of the
// line's.
func (b *Bench) sell(ctx context.Context, events bool) ([]string, error) {
	s := <-b.opened
	payment := workflows.PaymentWorkflowID(s.PaymentID)
	if err := b.Links.Pay(ctx, s); err != nil {
		return nil, err
	}
	if !events {
		f, err := b.Links.Return(ctx, s)
		if err != nil {
			return nil, err
		}
		b.unended <- payment
		return []string{workflows.LineWorkflowID(f), payment}, b.waitEnd(ctx, workflows.LineWorkflowID(f))
	}
	if err := b.waitEnd(ctx, payment); err != nil {
		return nil, err
	}
	order, err := b.DB.Order(ctx, s.OrderID)
	if err != nil {
		return nil, err
	}
	line := workflows.LineWorkflowID(order.LineItems[0].FulfillmentID)
	return []string{line, payment}, b.waitEnd(ctx, line)
}

// endPayments has the workflows of payments look again now, and waits for their ends.
func (b *Bench) endPayments(ctx context.Context) error {
	for {
		select {
		case payment := <-b.unended:
			err := b.Temporal.SignalWorkflow(ctx, payment, "", workflows.WakeName, nil)
			if _, ended := errors.AsType[*serviceerror.NotFound](err); err != nil && !ended {
				return err
			}
			if err := b.waitEnd(ctx, payment); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// Pages measures how long making a link and showing its page take when nothing else goes on.
func (b *Bench) Pages(ctx context.Context, e *Extras) error {
	fmt.Fprintln(b.Progress, "making links and showing their pages, one at a time")
	var links, pages []time.Duration
	for range 60 {
		start := time.Now()
		v, err := b.makeLink(ctx)
		if err != nil {
			return err
		}
		links = append(links, time.Since(start))
		start = time.Now()
		if err := b.page(ctx, v.URL); err != nil {
			return err
		}
		pages = append(pages, time.Since(start))
		time.Sleep(20 * time.Millisecond)
	}
	e.LinkMs, e.PageMs = ms(percentile(links, 0.5)), ms(percentile(pages, 0.5))
	return nil
}

func (b *Bench) page(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.API.BaseURL+u.Path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := b.API.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the page of a checkout link answered %d", resp.StatusCode)
	}
	return nil
}

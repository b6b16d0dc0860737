package e2e_test

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/payment"
)

// shaky is a processor whose calls take their time, so that its answers are old when they arrive, and fail now and
// then: either nothing was done, or it was done and the answer is lost.
type shaky struct {
	payment.Processor

	late   time.Duration // before and after each call, at most
	fails  atomic.Int32  // of a hundred calls
	failed atomic.Int64  // calls
}

// around makes a call of the processor with its trouble.
func around[T any](p *shaky, do func() (T, error)) (out T, err error) {
	nap := func() {
		if p.late > 0 {
			time.Sleep(rand.N(p.late))
		}
	}
	nap()
	defer nap()
	luck, fails := rand.Int32N(200), p.fails.Load()
	if luck < fails {
		p.failed.Add(1)
		return out, keyturn.Errorf(keyturn.KindUnavailable, "the processor is down")
	}
	got, err := do()
	if luck < 2*fails {
		p.failed.Add(1)
		return out, keyturn.Errorf(keyturn.KindUnavailable, "the processor's answer is lost")
	}
	return got, err
}

func (p *shaky) Open(ctx context.Context, o payment.Opening) (keyturn.ProcessorState, error) {
	return around(p, func() (keyturn.ProcessorState, error) { return p.Processor.Open(ctx, o) })
}

func (p *shaky) Retrieve(ctx context.Context, ref payment.Ref) (keyturn.ProcessorState, error) {
	return around(p, func() (keyturn.ProcessorState, error) { return p.Processor.Retrieve(ctx, ref) })
}

func (p *shaky) Expire(ctx context.Context, ref payment.Ref) (keyturn.ProcessorState, error) {
	return around(p, func() (keyturn.ProcessorState, error) { return p.Processor.Expire(ctx, ref) })
}

func (p *shaky) Capture(ctx context.Context, ref payment.Ref, sum keyturn.Money, key string) (keyturn.ProcessorState,
	error,
) {
	return around(p, func() (keyturn.ProcessorState, error) { return p.Processor.Capture(ctx, ref, sum, key) })
}

func (p *shaky) Void(ctx context.Context, ref payment.Ref, key string) (keyturn.ProcessorState, error) {
	return around(p, func() (keyturn.ProcessorState, error) { return p.Processor.Void(ctx, ref, key) })
}

func (p *shaky) Refund(ctx context.Context, r payment.Refund) (string, error) {
	return around(p, func() (string, error) { return p.Processor.Refund(ctx, r) })
}

// shake makes the stack's processor a shaky one, before there is a worker.
func (s *stack) shake(late time.Duration, fails int32) *shaky {
	p := &shaky{Processor: s.sandbox, late: late}
	p.fails.Store(fails)
	s.acts.Desk.Processors[payment.SandboxName], s.acts.Desk.Providers[payment.SandboxName] = p, p
	return p
}

package checkout

import (
	"context"
	"time"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/metrics"
	"keyturn.dev/keyturn/payment"
)

// measured is a processor whose calls are counted.
type measured struct {
	payment.Processor

	name string
}

func (m measured) count(call string, do func() (keyturn.ProcessorState, error)) (keyturn.ProcessorState, error) {
	start := time.Now()
	state, err := do()
	metrics.ProcessorCall(m.name, call, err, time.Since(start))
	return state, err
}

// Open is payment.Processor's.
func (m measured) Open(ctx context.Context, o payment.Opening) (keyturn.ProcessorState, error) {
	return m.count("open", func() (keyturn.ProcessorState, error) { return m.Processor.Open(ctx, o) })
}

// Retrieve is payment.Processor's.
func (m measured) Retrieve(ctx context.Context, ref payment.Ref) (keyturn.ProcessorState, error) {
	return m.count("retrieve", func() (keyturn.ProcessorState, error) { return m.Processor.Retrieve(ctx, ref) })
}

// Expire is payment.Processor's.
func (m measured) Expire(ctx context.Context, ref payment.Ref) (keyturn.ProcessorState, error) {
	return m.count("expire", func() (keyturn.ProcessorState, error) { return m.Processor.Expire(ctx, ref) })
}

// Capture is payment.Processor's.
func (m measured) Capture(ctx context.Context, ref payment.Ref, sum keyturn.Money, key string) (
	keyturn.ProcessorState, error,
) {
	return m.count("capture", func() (keyturn.ProcessorState, error) { return m.Processor.Capture(ctx, ref, sum, key) })
}

// Void is payment.Processor's.
func (m measured) Void(ctx context.Context, ref payment.Ref, key string) (keyturn.ProcessorState, error) {
	return m.count("void", func() (keyturn.ProcessorState, error) { return m.Processor.Void(ctx, ref, key) })
}

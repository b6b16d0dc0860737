package bench

import (
	"context"
	"fmt"
	"io"

	"keyturn.dev/keyturn"
)

// PartnerID is the integration whose partner the caller plays.
const PartnerID = "bench-partner"

// prepare puts the products of the bench into the catalog and fills its pool.
func (b *Bench) prepare(ctx context.Context) error {
	if _, _, err := b.DB.PutPool(ctx, keyturn.Pool{ID: poolName}); err != nil {
		return err
	}
	retry := keyturn.RetryPolicy{InitialInterval: keyturn.Duration(100e6), BackoffCoefficient: 1, MaximumInterval: keyturn.Duration(100e6), GiveUpAfter: keyturn.Duration(3600e9)}
	for _, p := range []keyturn.Product{
		{ID: poolProduct, Name: "Bench pool", Sources: []keyturn.Source{{Type: keyturn.SourcePool, Pool: poolName}}},
		{ID: endpointProduct, Name: "Bench endpoint", Sources: []keyturn.Source{{Type: keyturn.SourceEndpoint, Integration: PartnerID}}, Retry: retry},
	} {
		if _, _, err := b.DB.PutProduct(ctx, p); err != nil {
			return err
		}
	}
	n := b.keysNeeded()
	fmt.Fprintf(b.Progress, "filling the pool with %d keys\n", n)
	_, err := b.DB.Import(ctx, poolName, &keyStream{name: b.name, left: n}, "bench", false)
	return err
}

// keyStream makes keys as they are read.
type keyStream struct {
	name string
	left int
	rest []byte
}

func (k *keyStream) Read(p []byte) (int, error) {
	if len(k.rest) == 0 {
		if k.left == 0 {
			return 0, io.EOF
		}
		k.rest = fmt.Appendf(nil, "BENCH-%s-%08d\n", k.name, k.left)
		k.left--
	}
	n := copy(p, k.rest)
	k.rest = k.rest[n:]
	return n, nil
}

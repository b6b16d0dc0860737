package bench

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"keyturn.dev/keyturn"
)

// PartnerID is the integration whose partner the caller plays.
const PartnerID = "bench-partner"

// prepare puts the products of the bench into the catalog and fills its pool.
func (b *Bench) prepare(ctx context.Context) error {
	if _, _, err := b.DB.PutPool(ctx, keyturn.Pool{ID: poolName}); err != nil {
		return err
	}
	retry := keyturn.RetryPolicy{
		InitialInterval: keyturn.Duration(100e6), BackoffCoefficient: 1,
		MaximumInterval: keyturn.Duration(100e6), GiveUpAfter: keyturn.Duration(3600e9),
	}
	for _, p := range []keyturn.Product{
		{ID: poolProduct, Name: "Bench pool", Sources: []keyturn.Source{keyturn.FromPool(poolName)}},
		{
			ID: endpointProduct, Name: "Bench endpoint", Sources: []keyturn.Source{keyturn.FromIntegration(PartnerID)},
			Retry: retry,
		},
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

// keyStream makes keys as they are read, in a fraction of the time in which they can be imported.
type keyStream struct {
	name string
	left int
	line []byte
	rest []byte // of the line
}

func (k *keyStream) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(k.rest) == 0 {
			if k.left == 0 {
				break
			}
			k.line = append(append(append(k.line[:0], "BENCH-"...), k.name...), '-')
			k.line = append(strconv.AppendInt(k.line, int64(100_000_000+k.left), 10), '\n')
			k.rest = k.line
			k.left--
		}
		c := copy(p[n:], k.rest)
		n, k.rest = n+c, k.rest[c:]
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

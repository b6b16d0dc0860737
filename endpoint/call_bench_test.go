package endpoint_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"keyturn.dev/keyturn"
	"keyturn.dev/keyturn/endpoint"
)

// What one call costs beyond the network and the database: render, sign, judge, and mask the reply that is kept. The
// number of integrations must not matter.
func BenchmarkCall(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("integrations=%d", n), func(b *testing.B) {
			all := make([]keyturn.Integration, n)
			for i := range all {
				all[i] = reading(map[string]keyturn.ResponsePath{
					"activationCode": {Path: "$.licenses[*].key+"},
					"errorCode":      {Path: "$.error.code"}, "until": {Path: "$.licenses[0].until"},
				})
				def := all[i].Operations["create"]
				def.Signature = &keyturn.Signature{
					Enabled:      true,
					SignedFields: []string{"$.checkout.orderId", "$.product.quantity"}, Secret: secretOf("k"),
				}
				all[i].ID, all[i].Operations = fmt.Sprintf("p%d", i), map[string]keyturn.Operation{"create": def}
			}
			reply := endpoint.Reply{
				Status: 200,
				Body:   []byte(`{"licenses":[{"key":"ORB-1111-2222","until":"2027-06-15T00:00:00Z"}]}`),
			}
			d := order()
			b.ReportAllocs()
			before, i := cpu(b), 0
			for b.Loop() {
				in := all[i%n]
				i++
				_, err := endpoint.Render(in, "create", d)
				require.NoError(b, err)
				v := endpoint.Judge(in, "create", 1, reply)
				endpoint.Redact(in, "create", reply.Body, v.Deliverable.ActivationCodes)
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

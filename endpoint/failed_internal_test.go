package endpoint

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// Name servers differ from machine to machine: these are the resolver's own errors.
func TestFailedLookupsInPlainWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  net.DNSError
		want string
	}{
		{net.DNSError{Err: "no such host", Name: "a.test", IsNotFound: true}, "the partner's host name does not exist"},
		{net.DNSError{Err: "i/o timeout", Name: "a.test", IsTimeout: true}, "the partner's name cannot be looked up"},
	} {
		err := failed(&net.OpError{Op: "dial", Net: "tcp", Err: &c.err}, &progress{})
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "a.test")
	}
}

package bounce

import (
	"net"
	"net/textproto"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A client that stays connected without bringing anything takes the place of another one only for a while.
func TestAConnectionIsForAWhile(t *testing.T) {
	s := open(t)
	address := s.free()
	l := &Listener{Books: s.Books, Address: "bounce@mail.shop.example", Listen: address, sessionTime: time.Second}
	done := make(chan struct{})
	go func() { l.Run(t.Context()); close(done) }()
	t.Cleanup(func() { <-done })
	var c *textproto.Conn
	require.Eventually(t, func() (ok bool) {
		var err error
		c, err = textproto.Dial("tcp", address)
		return err == nil
	}, time.Minute, 20*time.Millisecond)
	defer c.Close()
	_, _, err := c.ReadResponse(220)
	require.NoError(t, err)
	for err == nil { // it is told nothing that would end it otherwise
		if err = c.PrintfLine("NOOP"); err == nil {
			_, _, err = c.ReadResponse(250)
		}
		time.Sleep(20 * time.Millisecond)
	}
	again, err := textproto.Dial("tcp", address)
	require.NoError(t, err, "others are served")
	require.NoError(t, again.Close())
}

// free is an address at which nobody listens.
func (s *shop) free() string {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	require.NoError(s.t, l.Close())
	return l.Addr().String()
}

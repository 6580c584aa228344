// Package loopback finds addresses for the programs that tests start.
package loopback

import (
	"net"
	"testing"
)

// FreeAddress returns an address on the loopback that nobody listens on at the moment.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

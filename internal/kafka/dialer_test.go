package kafka

import (
	"io"
	"net"
	"testing"
	"time"
)

// TestReadAhead: what has come with an answer's length needs no read of its own.
func TestReadAhead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Write([]byte("\x00\x00\x00\x06answer"))
		}
	}()
	dial, err := Defaults().Dialer()
	if err != nil {
		t.Fatal(err)
	}
	c, err := dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	length, body := make([]byte, 4), make([]byte, 6)
	if _, err := io.ReadFull(c, length); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(-time.Second)); err != nil { // of what is on the connection
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, body); err != nil || string(body) != "answer" {
		t.Errorf("read %q, %v after the length", body, err)
	}
}

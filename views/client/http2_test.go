package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// forward hands on what connections to it say, until the first of them is cut: then nothing more comes through it, and nobody is told.
func forward(t *testing.T, to string) (address string, cut *atomic.Bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	cut = new(atomic.Bool)
	pass := func(to, from net.Conn, first bool) {
		defer to.Close()
		b := make([]byte, 32<<10)
		for {
			n, err := from.Read(b)
			if err != nil {
				return
			}
			if !first || !cut.Load() {
				_, _ = to.Write(b[:n])
			}
		}
	}
	go func() {
		for first := true; ; first = false {
			here, err := l.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", to)
			if err != nil {
				here.Close()
				continue
			}
			go pass(there, here, first)
			go pass(here, there, first)
		}
	}()
	return l.Addr().String(), cut
}

// A connection on which nothing comes through any more is given up, and the stream goes on over another.
func TestStreamLeavesADeadConnection(t *testing.T) {
	ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Error(r.Proto)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for i := 0; r.Context().Err() == nil; i++ {
			fmt.Fprintf(w, "retry: 1\nid: %d\ndata: %s\n\n", i, r.RemoteAddr)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	}))
	ts.EnableHTTP2 = true
	ts.StartTLS()
	defer ts.Close()
	defer ts.CloseClientConnections()
	authorities := x509.NewCertPool()
	authorities.AddCert(ts.Certificate())
	address, cut := forward(t, strings.TrimPrefix(ts.URL, "https://"))
	c, err := New("https://"+address, WithTLS(&tls.Config{RootCAs: authorities, ServerName: "example.com"}))
	if err != nil {
		t.Fatal(err)
	}
	transport := c.ask.Transport.(*http.Transport)
	if p := transport.HTTP2; p == nil || p.SendPingTimeout <= 0 || p.SendPingTimeout+p.PingTimeout > c.silence {
		t.Fatalf("a dead connection is found after %+v, which is not before the stream's silence of %s", p, c.silence)
	}
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 100 * time.Millisecond, PingTimeout: 100 * time.Millisecond}
	c.silence = 300 * time.Millisecond
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var first string
	for e, err := range c.Events(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = string(e.Data)
			cut.Store(true)
		}
		if string(e.Data) != first {
			return
		}
	}
	t.Error("the stream stays on the connection that is dead")
}

package views

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// overHTTP2 starts a server with TLS. It returns a function that opens a stream on a client's connection.
func overHTTP2(t *testing.T, f *fakeTables, change func(*Config)) (*Server, *httptest.Server, func(*http.Client) *http.Response) {
	t.Helper()
	s, ts := serveWith(t, f, change, func(ts *httptest.Server) {
		ts.EnableHTTP2 = true
		ts.StartTLS()
	})
	return s, ts, func(c *http.Client) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ts.URL+"/v1/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", "identity")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if resp.ProtoMajor != 2 {
			t.Fatal(resp.Proto)
		}
		return resp
	}
}

// awaitStalled waits until streams are dropped.
func awaitStalled(t *testing.T, s *Server, ts *httptest.Server, dropped, left int) {
	t.Helper()
	want := fmt.Sprintf(`potok_sse_dropped_total{reason="stalled"} %d`+"\n", dropped)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if strings.Contains(w.Body.String(), want) && s.frames.readerCount() == left {
			return
		}
		if time.Now().After(end) {
			_, counters, _ := strings.Cut(w.Body.String(), "# TYPE potok_sse_dropped_total counter\n")
			t.Fatalf("%d streams, want %d, and %sin\n%.150s", s.frames.readerCount(), left, want, counters)
		}
	}
}

// manyBytes puts more than what fits between a server and a client that does not read.
func manyBytes(f *fakeTables) {
	long := strings.Repeat("long name ", 3000)
	for i := range 300 {
		f.put(fmt.Sprint(i), activity(long, 1, 0))
	}
}

// Of two streams on a connection, the one that is not read is dropped, and the other goes on: also after it had nothing to say for
// longer than a write may take.
func TestStreamsOverHTTP2(t *testing.T) {
	f := newTables()
	manyBytes(f)
	const timeout = time.Second
	s, ts, open := overHTTP2(t, f, func(c *Config) { c.StreamTimeout = timeout })
	lines := bufio.NewReader(open(ts.Client()).Body)
	await := func(rows int) {
		t.Helper()
		for rows > 0 {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			rows -= strings.Count(line, `"user_id"`)
		}
	}
	await(300)
	open(ts.Client()) // and nothing is read
	awaitStalled(t, s, ts, 1, 1)
	time.Sleep(2 * timeout)
	f.put("later", activity("Anna", 1, 0))
	await(1)
}

// deaf reads no more than it has to.
type deaf struct {
	net.Conn
	left int
	end  <-chan struct{}
}

func (d *deaf) Read(b []byte) (int, error) {
	if d.left <= 0 {
		<-d.end
		return 0, net.ErrClosed
	}
	n, err := d.Conn.Read(b)
	d.left -= n
	return n, err
}

// A connection that takes nothing any more, on which a stream cannot even be told that it is closed, is dropped with it.
func TestDeafConnectionOverHTTP2(t *testing.T) {
	f := newTables()
	manyBytes(f)
	s, ts, open := overHTTP2(t, f, func(c *Config) { c.StreamTimeout = time.Second })
	trusted := ts.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	transport := &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		_ = conn.(*net.TCPConn).SetReadBuffer(4096)
		trusted.NextProtos, trusted.ServerName = []string{"h2"}, "example.com"
		secured := tls.Client(&deaf{conn, 64 << 10, t.Context().Done()}, trusted)
		return secured, secured.HandshakeContext(ctx)
	}}
	defer transport.CloseIdleConnections()
	open(&http.Client{Transport: transport})
	awaitStalled(t, s, ts, 1, 0)
}

// A server that stops ends its streams at once, and does not wait for a client that would go on listening.
func TestShutdownOverHTTP2(t *testing.T) {
	f := newTables()
	_, ts, open := overHTTP2(t, f, nil)
	resp := open(ts.Client())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := ts.Config.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Errorf("the stream did not end as it should: %v", err)
	}
}

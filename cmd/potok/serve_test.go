package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serveOn runs an HTTP stage until the test ends.
func serveOn(t *testing.T, l net.Listener, srv *http.Server, log *slog.Logger) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	stage := httpStage("http", l, srv, log)
	go func() { done <- stage.Run(ctx, func() {}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// What net/http says of connections is in the log, in its form.
func TestServersLog(t *testing.T) {
	t.Parallel()
	var o viewing
	o.listen = "127.0.0.1:0"
	o.certFile, o.keyFile = certificate(t, nil)
	l, _, err := o.bind()
	if err != nil {
		t.Fatal(err)
	}
	var out syncBuffer
	serveOn(t, l, &http.Server{ReadHeaderTimeout: time.Minute}, slog.New(slog.NewJSONHandler(&out, nil)))
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "this is no TLS\r\n\r\n")
	eventually(t, "the handshake that failed is in the log", func() error {
		text := out.String()
		var line struct{ Level, Msg, Stage string }
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			return fmt.Errorf("%w: %s", err, text)
		}
		if line.Level != "WARN" || line.Stage != "http" || !strings.HasPrefix(line.Msg, "http: TLS handshake error") {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
}

// Over TLS a server offers HTTP/2 first, and HTTP/1.1 to who does not know it.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	var o viewing
	o.listen = "127.0.0.1:0"
	o.certFile, o.keyFile = certificate(t, nil, net.IPv4(127, 0, 0, 1))
	authorities := x509.NewCertPool()
	l, scheme, err := o.bind()
	if err != nil {
		t.Fatal(err)
	}
	authorities.AddCert(o.certificate)
	serveOn(t, l, &http.Server{ReadHeaderTimeout: time.Minute}, slog.New(slog.DiscardHandler))
	for _, want := range []int{2, 1} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authorities}, ForceAttemptHTTP2: want == 2}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get(scheme + "://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.ProtoMajor != want {
			t.Errorf("%s, want %d", resp.Proto, want)
		}
	}
}

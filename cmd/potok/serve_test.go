package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate makes one for this machine, in files, and the authorities that trust it.
func certificate(t *testing.T) (certFile, keyFile string, authorities *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Potok's test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	authorities = x509.NewCertPool()
	authorities.AddCert(parsed)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", private), authorities
}

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
	o.certFile, o.keyFile, _ = certificate(t)
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
	var authorities *x509.CertPool
	o.certFile, o.keyFile, authorities = certificate(t)
	l, scheme, err := o.bind()
	if err != nil {
		t.Fatal(err)
	}
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

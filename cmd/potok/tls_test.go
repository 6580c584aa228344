package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate makes a self-signed certificate for these names and addresses, in PEM files.
func certificate(t *testing.T, names []string, addresses ...net.IP) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, IPAddresses: addresses, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER)
}

func TestTrustOnly(t *testing.T) {
	ts := httptest.NewTLSServer(http.NotFoundHandler())
	defer ts.Close()
	get := func(cert *x509.Certificate) error {
		resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: trustOnly(cert)}}).Get(ts.URL)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if err := get(ts.Certificate()); err != nil {
		t.Error(err)
	}
	certFile, keyFile := certificate(t, ts.Certificate().DNSNames, ts.Certificate().IPAddresses...)
	other, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := get(other.Leaf); err == nil || !strings.Contains(err.Error(), "not the view's certificate") {
		t.Errorf("another certificate: %v", err)
	}
}

// TestTLS asks a server over TLS with the commands, which trust its private authority.
func TestTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile := certificate(t, nil, net.IPv4(127, 0, 0, 1))
	d := startDemo(t, "--listen", "127.0.0.1:0", "--users", "3", "--rate", "50", "--http-cert-file", certFile, "--http-key-file", keyFile, "--auth-token-file", tokenFile(t))
	eventually(t, "it is healthy", func() error {
		if code, _, errs := ask(t, nil, "health", "--url", d.page+"/readyz", "--http-ca-file", certFile); code != exitDone {
			return fmt.Errorf("exit code %d: %s", code, errs)
		}
		return nil
	})
	if code, out, errs := ask(t, nil, "query", "stats", "--server", d.page, "--http-ca-file", certFile, "--auth-token-file", tokenFile(t)); code != exitDone {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"health, unknown authority": {[]string{"health", "--url", d.page + "/readyz"}, exitFailed, "certificate"},
		"health, no certificate":    {[]string{"health", "--url", d.page + "/readyz", "--http-ca-file", keyFile}, exitWrongUse, "has no certificate"},
		"query, no TLS":             {[]string{"query", "stats", "--server", "http" + strings.TrimPrefix(d.page, "https")}, exitFailed, "400"},
		"a certificate alone":       {[]string{"demo", "--http-cert-file", certFile}, exitWrongUse, "--http-key-file"},
		"a key alone":               {[]string{"view", "--http-key-file", keyFile}, exitWrongUse, "--http-cert-file"},
		"not a certificate":         {[]string{"demo", "--listen", "127.0.0.1:0", "--http-cert-file", keyFile, "--http-key-file", keyFile}, exitWrongUse, "--http-cert-file"},
	} {
		t.Run(name, func(t *testing.T) {
			if code, out, errs := ask(t, map[string]string{"POTOK_DATA_DIR": t.TempDir()}, tc.args...); code != tc.code || !strings.Contains(errs, tc.says) {
				t.Errorf("exit code %d: %s%s; want %d and %q", code, out, errs, tc.code, tc.says)
			}
		})
	}
}

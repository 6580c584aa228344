package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/potok-streams/potok/views/client"
)

// remote holds the flags of a command that asks a view over HTTP.
type remote struct {
	url       string
	tokenFile string
	caFile    string
}

func (r *remote) flags(f *pflag.FlagSet) {
	f.StringVar(&r.url, "server", "http://127.0.0.1:8080", "`URL` of the view to ask")
	f.StringVar(&r.tokenFile, "auth-token-file", "", "`file` with the token that the view asks for")
	f.StringVar(&r.caFile, "http-ca-file", "", "PEM `file` of the authorities that the view's certificate must come from; the system's by default")
}

// client returns a client of the view. It does not connect yet.
func (r *remote) client() (*client.Client, error) {
	token, err := readToken(r.tokenFile)
	if err != nil {
		return nil, err
	}
	opts := []client.Option{client.WithToken(token)} // none if it is empty
	if r.caFile != "" {
		pem, err := os.ReadFile(r.caFile)
		if err != nil {
			return nil, fmt.Errorf("%w: read --http-ca-file: %w", errUse, err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: --http-ca-file %s has no certificate", errUse, r.caFile)
		}
		opts = append(opts, client.WithTLS(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}))
	}
	c, err := client.New(r.url, opts...)
	if err != nil {
		return nil, fmt.Errorf("%w: --server: %w", errUse, err)
	}
	return c, nil
}

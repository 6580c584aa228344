package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
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

	// certificate, if there is one, is all that is trusted, whatever name it has: who asks its own process knows it.
	certificate *x509.Certificate
}

const caFlag = "http-ca-file"

// caFileFlag is the same for all who ask over TLS.
func caFileFlag(f *pflag.FlagSet, file *string) {
	f.StringVar(file, caFlag, "", "PEM `file` of the authorities that the view's certificate must come from; the system's by default")
}

// trust returns TLS settings that trust the authorities in a file; without a file, nil: the system's.
func trust(caFile string) (*tls.Config, error) {
	if caFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("%w: read --%s: %w", errUse, caFlag, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: --%s %s has no certificate", errUse, caFlag, caFile)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}

// trustOnly returns TLS settings that trust a server with this very certificate and no other.
func trustOnly(certificate *x509.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // names, dates and authorities do not matter, the certificate does; that its key is there too is checked anyway
		VerifyConnection: func(c tls.ConnectionState) error {
			if !c.PeerCertificates[0].Equal(certificate) {
				return errors.New("this is not the view's certificate")
			}
			return nil
		},
	}
}

func (r *remote) flags(f *pflag.FlagSet) {
	f.StringVar(&r.url, "server", "http://127.0.0.1:8080", "`URL` of the view to ask")
	f.StringVar(&r.tokenFile, "auth-token-file", "", "`file` with the token that the view asks for")
	caFileFlag(f, &r.caFile)
}

// client returns a client of the view. It does not connect yet.
func (r *remote) client() (*client.Client, error) {
	token, err := readToken(r.tokenFile)
	if err != nil {
		return nil, err
	}
	cfg, err := trust(r.caFile)
	if err != nil {
		return nil, err
	}
	if r.certificate != nil {
		cfg = trustOnly(r.certificate)
	}
	c, err := client.New(r.url, client.WithToken(token), client.WithTLS(cfg)) // an empty token is none
	if err != nil {
		return nil, fmt.Errorf("%w: --server: %w", errUse, err)
	}
	return c, nil
}

package kafka

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"
)

// dialTimeout bounds one attempt to connect, TLS handshake included.
const dialTimeout = 10 * time.Second

// Dialer returns a function that connects to a broker, with TLS if the settings say so. It exists for those who wrap
// connections: what they see is what Kafka speaks, not what TLS makes of it.
func (c Config) Dialer() (func(ctx context.Context, network, host string) (net.Conn, error), error) {
	plain := &net.Dialer{Timeout: dialTimeout}
	if !c.usesTLS() {
		return func(ctx context.Context, network, host string) (net.Conn, error) {
			conn, err := plain.DialContext(ctx, network, host)
			if err != nil {
				return nil, err
			}
			return &bufferedConn{conn, bufio.NewReader(conn)}, nil
		}, nil
	}
	conf, err := c.tls()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, network, host string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		conf := conf.Clone()
		name, _, err := net.SplitHostPort(host)
		if err != nil {
			return nil, fmt.Errorf("broker address %q: %w", host, err)
		}
		conf.ServerName = name
		return (&tls.Dialer{NetDialer: plain, Config: conf}).DialContext(ctx, network, host)
	}, nil
}

// bufferedConn reads ahead, as TLS does by itself: clients ask for an answer's length, and then for the answer, and each read costs
// more than what most answers say.
type bufferedConn struct {
	net.Conn
	ahead *bufio.Reader
}

func (c *bufferedConn) Read(b []byte) (int, error) { return c.ahead.Read(b) }

package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// hangUps is for how long a broker that hangs up is asked again before anybody is told: it may be one that asks for SASL, or one
// that restarts.
const hangUps = 3 * time.Second

// Ping checks that a broker answers and accepts the settings. The error says what to look at; it comes within the
// time-out.
func (c Config) Ping(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last lastDialError
	cl, err := c.Client(kgo.WithHooks(&last), kgo.RetryTimeout(timeout), kgo.RequestTimeoutOverhead(timeout))
	if err != nil {
		return err
	}
	defer cl.Close()
	err = cl.Ping(ctx)
	for end := time.Now().Add(min(hangUps, timeout/2)); (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
			err = cl.Ping(ctx)
		}
	}
	if err == nil {
		return nil
	}
	servers := strings.Join(c.BootstrapServers, ",")
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return fmt.Errorf("%s refused user %q with %s: check the user name and the password: %w", servers, c.Username, c.SASLMechanism, kerr.SaslAuthenticationFailed)
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return fmt.Errorf("%s does not know SASL mechanism %s: check --sasl-mechanism: %w", servers, c.SASLMechanism, kerr.UnsupportedSaslMechanism)
	case errors.As(err, &cert):
		return fmt.Errorf("the certificate of %s is not trusted: check --tls-ca-file: %w", servers, err)
	}
	if d := last.get(); d != nil && errors.Is(err, context.DeadlineExceeded) {
		err = d
	}
	return fmt.Errorf("no broker at %s answers: check --bootstrap-servers and --security-protocol (now %s): %w", servers, c.SecurityProtocol, err)
}

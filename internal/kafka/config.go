// Package kafka holds the settings of a Kafka connection and turns them into clients. It is the only place where
// franz-go's security options and sarama's configuration are made, so every client of the program speaks to the
// brokers in the same way.
//
// Secrets live in [Config.Password]; they are never part of an error, and a Config formats itself without them.
package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// The values of [Config.SecurityProtocol] and [Config.SASLMechanism]; the names are Kafka's own.
const (
	Plaintext     = "PLAINTEXT"
	SSL           = "SSL"
	SASLPlaintext = "SASL_PLAINTEXT"
	SASLSSL       = "SASL_SSL"

	MechanismPlain  = "PLAIN"
	MechanismSHA256 = "SCRAM-SHA-256"
	MechanismSHA512 = "SCRAM-SHA-512"
)

// Config says how to reach the brokers. The zero value is not usable: call [Config.Validate] first.
type Config struct {
	BootstrapServers []string // host:port each
	SecurityProtocol string   // one of the four protocols
	SASLMechanism    string   // only looked at when the protocol has SASL
	Username         string
	Password         Secret
	CAFile           string // PEM; empty: the system's roots
	CertFile         string // PEM client certificate, with KeyFile
	KeyFile          string
	ClientID         string
	SessionTimeout   time.Duration // of every consumer group
}

// Secret is a string that formats as asterisks, so that it can't reach a log or an error by way of its Config.
type Secret string

func (Secret) String() string               { return "***" }
func (Secret) LogValue() slog.Value         { return slog.StringValue("***") }
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil } // JSON, and with it slog's, would look inside

// Format implements fmt.Formatter: with String alone, a verb that is not for strings shows the value.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("***")) }

// Defaults returns the settings of a plain broker on this machine.
func Defaults() Config {
	return Config{
		BootstrapServers: []string{"127.0.0.1:9092"},
		SecurityProtocol: Plaintext,
		SASLMechanism:    MechanismSHA256,
		ClientID:         "potok",
		SessionTimeout:   10 * time.Second,
	}
}

func (c Config) usesTLS() bool  { return c.SecurityProtocol == SSL || c.SecurityProtocol == SASLSSL }
func (c Config) usesSASL() bool { return strings.HasPrefix(c.SecurityProtocol, "SASL_") }

// Validate reports everything that is wrong with the settings at once, in words for an operator.
func (c Config) Validate() error {
	var errs []error
	if len(c.BootstrapServers) == 0 {
		errs = append(errs, errors.New("no bootstrap servers: give --bootstrap-servers host:port[,host:port]"))
	}
	for _, b := range c.BootstrapServers {
		if !strings.Contains(b, ":") {
			errs = append(errs, fmt.Errorf("bootstrap server %q has no port: write host:port", b))
		}
	}
	switch c.SecurityProtocol {
	case Plaintext, SSL, SASLPlaintext, SASLSSL:
	default:
		errs = append(errs, fmt.Errorf("security protocol %q is none of %s, %s, %s, %s", c.SecurityProtocol, Plaintext, SSL, SASLPlaintext, SASLSSL))
	}
	if c.usesSASL() {
		switch c.SASLMechanism {
		case MechanismPlain, MechanismSHA256, MechanismSHA512:
		default:
			errs = append(errs, fmt.Errorf("SASL mechanism %q is none of %s, %s, %s", c.SASLMechanism, MechanismPlain, MechanismSHA256, MechanismSHA512))
		}
		if c.Username == "" || c.Password == "" {
			errs = append(errs, fmt.Errorf("security protocol %s needs a user name and a password: set KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD or --sasl-password-file", c.SecurityProtocol))
		}
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		errs = append(errs, errors.New("a client certificate needs both --tls-cert-file and --tls-key-file"))
	}
	if c.usesTLS() {
		if _, err := c.tls(); err != nil {
			errs = append(errs, err)
		}
	} else if c.CAFile != "" || c.CertFile != "" {
		errs = append(errs, fmt.Errorf("TLS files are set, but security protocol %s does not use TLS: set --security-protocol", c.SecurityProtocol))
	}
	return errors.Join(errs...)
}

func (c Config) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read --tls-ca-file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--tls-ca-file %s holds no PEM certificate", c.CAFile)
		}
	}
	if c.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load client certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{cert}
	}
	return t, nil
}

// HeartbeatInterval is how often a member of a group says that it lives.
func (c Config) HeartbeatInterval() time.Duration { return c.SessionTimeout / 4 }

// RebalanceTimeout is how long a rebalance waits for a member to finish what it has at hand.
func (c Config) RebalanceTimeout() time.Duration { return c.SessionTimeout + 10*time.Second }

// Options returns the franz-go options that every client of the program has in common.
func (c Config) Options() ([]kgo.Opt, error) {
	dial, err := c.Dialer()
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{
		kgo.Dialer(dial),
		kgo.SeedBrokers(c.BootstrapServers...),
		kgo.ClientID(c.ClientID),
		kgo.RecordPartitioner(Partitioner()),
		// What others read is to be readable to all: kafka-python, for one, has no other codec than gzip built in.
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		// Added partitions and re-created topics are to be seen within seconds, not after franz-go's five minutes.
		kgo.MetadataMaxAge(5 * time.Second),
		kgo.MetadataMinAge(250 * time.Millisecond),
		// Ping, which comes first, tells of wrong settings; a broker that hangs up afterwards restarts.
		kgo.AlwaysRetryEOF(),
	}
	if c.usesSASL() {
		opts = append(opts, kgo.SASL(c.mechanism()))
	}
	return opts, nil
}

func (c Config) mechanism() sasl.Mechanism {
	switch c.SASLMechanism {
	case MechanismPlain:
		return plain.Auth{User: c.Username, Pass: string(c.Password)}.AsMechanism()
	case MechanismSHA512:
		return scram.Auth{User: c.Username, Pass: string(c.Password)}.AsSha512Mechanism()
	default:
		return scram.Auth{User: c.Username, Pass: string(c.Password)}.AsSha256Mechanism()
	}
}

// Client makes a franz-go client; the caller closes it. It does not connect yet.
func (c Config) Client(extra ...kgo.Opt) (*kgo.Client, error) {
	opts, err := c.Options()
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(append(opts, extra...)...)
	if err != nil {
		return nil, fmt.Errorf("make kafka client: %w", err)
	}
	return cl, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/engine"
	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/store"
	"github.com/potok-streams/potok/internal/topology"
)

// visitFlags calls f with the name of every flag of a command and of those below it.
func visitFlags(cmd *cobra.Command, f func(name string)) {
	each := func(flag *pflag.Flag) { f(flag.Name) }
	cmd.Flags().VisitAll(each)
	cmd.PersistentFlags().VisitAll(each)
	for _, sub := range cmd.Commands() {
		visitFlags(sub, f)
	}
}

// connection holds the flags of a command that talks to Kafka.
type connection struct {
	kafka        kafka.Config
	passwordFile string
	topics       topology.Config
}

func (c *connection) flags(f *pflag.FlagSet) {
	c.kafka = kafka.Defaults()
	f.StringSliceVar(&c.kafka.BootstrapServers, "bootstrap-servers", c.kafka.BootstrapServers, "brokers to start from, `host:port`, comma separated (also KAFKA_BOOTSTRAP_SERVERS)")
	f.StringVar(&c.kafka.SecurityProtocol, "security-protocol", c.kafka.SecurityProtocol, "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL (also KAFKA_SECURITY_PROTOCOL)")
	f.StringVar(&c.kafka.SASLMechanism, "sasl-mechanism", c.kafka.SASLMechanism, "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 (also KAFKA_SASL_MECHANISM)")
	f.StringVar(&c.kafka.Username, "sasl-username", "", "user `name` (also KAFKA_SASL_USERNAME); the password is KAFKA_SASL_PASSWORD or in --sasl-password-file")
	f.StringVar(&c.passwordFile, "sasl-password-file", "", "`file` that holds the password")
	f.StringVar(&c.kafka.CAFile, "tls-ca-file", "", "PEM `file` of the authorities that the brokers' certificates must come from; the system's by default")
	f.StringVar(&c.kafka.CertFile, "tls-cert-file", "", "PEM `file` of the client's certificate")
	f.StringVar(&c.kafka.KeyFile, "tls-key-file", "", "PEM `file` of the client's key")
	f.DurationVar(&c.kafka.SessionTimeout, "session-timeout", c.kafka.SessionTimeout, "time after which an instance that is silent loses its partitions")
	c.topics.Names = codecs.DefaultNames()
	f.StringVar(&c.topics.Names.Users, "users-topic", c.topics.Names.Users, "raw `topic` of users")
	f.StringVar(&c.topics.Names.Events, "events-topic", c.topics.Names.Events, "raw `topic` of events")
	f.StringVar(&c.topics.Names.Prefix, "prefix", c.topics.Names.Prefix, "prefix of Potok's own topics and consumer groups")
	f.IntVar(&c.topics.Partitions, "partitions", 0, "partitions of the topics that Potok makes, a power of two, fixed once they are made; 0: 16, or 4 on the embedded broker")
	f.IntVar(&c.topics.ReplicationFactor, "replication-factor", 0, "of the topics that Potok makes; 0: 3, or the number of brokers if that is fewer")
}

// complete reads the password and checks the settings.
func (c *connection) complete(getenv func(string) string) error {
	c.kafka.Password = kafka.Secret(getenv("KAFKA_SASL_PASSWORD"))
	if c.passwordFile != "" {
		b, err := os.ReadFile(c.passwordFile)
		if err != nil {
			return fmt.Errorf("%w: read --sasl-password-file: %w", errUse, err)
		}
		c.kafka.Password = kafka.Secret(strings.TrimRight(string(b), "\r\n"))
	}
	if err := errors.Join(c.kafka.Validate(), c.topics.Validate()); err != nil {
		return fmt.Errorf("%w: %w", errUse, err)
	}
	return nil
}

// connectTimeout is how long a command tries to reach the brokers before it gives up.
const connectTimeout = 12 * time.Second

// prepare checks that the brokers can be reached and that the topics are there and right; it makes those that are not.
func (c *connection) prepare(ctx context.Context, p *program) error {
	return c.ensure(ctx, p, (*topology.Manager).Ensure)
}

// prepareRaw does the same, for the raw topics only.
func (c *connection) prepareRaw(ctx context.Context, p *program) error {
	return c.ensure(ctx, p, (*topology.Manager).EnsureRaw)
}

func (c *connection) ensure(ctx context.Context, p *program, ensure func(*topology.Manager, context.Context) ([]string, error)) error {
	if err := c.kafka.Ping(ctx, connectTimeout); err != nil {
		return err
	}
	m, err := topology.NewManager(ctx, c.topics, c.kafka)
	if err != nil {
		return err
	}
	defer m.Close()
	c.topics = m.Config()
	made, err := ensure(m, ctx)
	if len(made) > 0 {
		p.log.Info("made topics", "topics", made)
	}
	return err
}

// dataDir is the directory of local state, and the memory for it.
type dataDir struct {
	path   string
	memory *store.Memory // set by open
}

func (d *dataDir) flags(f *pflag.FlagSet) {
	f.StringVar(&d.path, "data-dir", "", "`directory` of local state; by default potok in the user's cache directory")
}

// resolve returns the directory's absolute path.
func (d *dataDir) resolve() (string, error) {
	if d.path == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("%w: there is no cache directory for this user, give --data-dir: %w", errUse, err)
		}
		return filepath.Join(cache, "potok"), nil
	}
	path, err := filepath.Abs(d.path)
	if err != nil {
		return "", fmt.Errorf("--data-dir: %w", err)
	}
	return path, nil
}

// open makes the directory and takes the lock of a role, so that no two processes use one state. The caller calls unlock.
func (d *dataDir) open(role string) (unlock func(), err error) {
	if d.path, err = d.resolve(); err != nil {
		return nil, err
	}
	if d.memory == nil { // one program may open it for two roles
		d.memory = engine.NewMemory()
	}
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return nil, fmt.Errorf("make --data-dir: %w", err)
	}
	lock := flock.New(filepath.Join(d.path, role+".lock"))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock --data-dir %s: %w", d.path, err)
	}
	if !ok {
		return nil, fmt.Errorf("another potok %s is using --data-dir %s: give each process its own", role, d.path)
	}
	return func() { _ = lock.Unlock() }, nil
}

// instance returns the name under which this directory's process is a static member of its groups: the same after a
// restart, and nobody else's.
func (d *dataDir) instance() (string, error) {
	path := filepath.Join(d.path, "instance-id")
	b, err := os.ReadFile(path)
	if err == nil && len(b) > 0 {
		return strings.TrimSpace(string(b)), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read instance id: %w", err)
	}
	id := "potok-" + uuid.NewString()
	if err := os.WriteFile(path, []byte(id+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write instance id: %w", err)
	}
	return id, nil
}

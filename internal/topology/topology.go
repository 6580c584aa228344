// Package topology knows which topics Potok needs and what they must be like. It makes those that are missing and checks
// the rest: a wrong partition count or a table that is not compacted would give wrong results much later.
package topology

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/kafka"
)

// Config says what the topics are to be like where Potok makes them.
type Config struct {
	Names             codecs.Names
	Partitions        int // of Potok's own topics, a power of two; 0: 16, or 4 on the embedded broker
	ReplicationFactor int // 0: 3, or the number of brokers if that is fewer
}

// Validate reports what is wrong with the settings.
func (c Config) Validate() error {
	var errs []error
	if c.Partitions < 0 || c.Partitions&(c.Partitions-1) != 0 {
		errs = append(errs, fmt.Errorf("--partitions is %d: it must be a power of two, because of how goka places keys", c.Partitions))
	}
	if c.ReplicationFactor < 0 {
		errs = append(errs, fmt.Errorf("--replication-factor is %d", c.ReplicationFactor))
	}
	if c.Names.Users == c.Names.Events {
		errs = append(errs, fmt.Errorf("--users-topic and --events-topic are both %q", c.Names.Users))
	}
	if c.Names.Prefix == "" || strings.Trim(c.Names.Prefix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		errs = append(errs, fmt.Errorf("--prefix %q: letters, digits, '.', '_' and '-' only, and at least one", c.Names.Prefix))
	}
	return errors.Join(errs...)
}

// Kind says what a topic is for.
type Kind string

// The kinds of topics.
const (
	Raw         Kind = "raw"          // others publish here; Potok takes it as it is
	Stream      Kind = "stream"       // between stages; purged below what has been read
	Table       Kind = "table"        // compacted changelog
	DeadLetters Kind = "dead letters" // kept for ever
)

// Topic is one topic and what it must be like.
type Topic struct {
	Name       string            `json:"name"`
	Kind       Kind              `json:"kind"`
	Readers    []string          `json:"readers,omitempty"` // consumer groups that read it
	Partitions int               `json:"partitions"`        // wanted; a raw topic may have any number
	Configs    map[string]string `json:"configs"`           // wanted; of a raw topic only where Potok makes it
}

const (
	maxMessageBytes    = 16 << 20 // of streams and tables: well above what a batch or a row can become
	maxDeadLetterBytes = 96 << 20 // below what a broker takes in one request by default (100 MiB)
)

// Topics returns all topics.
func (c Config) Topics() []Topic {
	n := c.Names
	kept := map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "max.message.bytes": strconv.Itoa(maxMessageBytes)}
	letters := maps.Clone(kept)
	letters["max.message.bytes"] = strconv.Itoa(maxDeadLetterBytes)
	letters["message.timestamp.after.max.ms"] = "9223372036854775807" // a letter has its record's time stamp, whatever that is
	// The hours that compaction waits are the time in which a row that a paused owner wrote can be put right.
	table := map[string]string{"cleanup.policy": "compact", "min.compaction.lag.ms": "86400000", "max.message.bytes": strconv.Itoa(maxMessageBytes)}
	raw := map[string]string{"cleanup.policy": "delete", "retention.ms": "-1"}
	return []Topic{
		{n.Users, Raw, []string{n.RekeyUsersGroup()}, c.Partitions, raw},
		{n.Events, Raw, []string{n.RekeyEventsGroup()}, c.Partitions, raw},
		{n.UsersStream(), Stream, []string{n.UsersGroup()}, c.Partitions, kept},
		{n.ActivityStream(), Stream, []string{n.ActivityGroup()}, c.Partitions, kept},
		{n.EventTypesStream(), Stream, []string{n.EventTypesGroup()}, c.Partitions, kept},
		{n.UsersTable(), Table, []string{n.ActivityGroup()}, c.Partitions, table},
		{n.ActivityTable(), Table, nil, c.Partitions, table},
		{n.EventTypesTable(), Table, nil, c.Partitions, table},
		{n.DeadLetters(), DeadLetters, nil, c.Partitions, letters},
	}
}

// Finding is something about a topic that is not as it must be, and what to do about it.
type Finding struct {
	Topic  string `json:"topic"`
	What   string `json:"what"`
	Advice string `json:"advice"`
}

func (f Finding) String() string { return f.Topic + ": " + f.What + ": " + f.Advice }

// The embedded broker's cluster id, and how many partitions topics get there and elsewhere by default.
const (
	EmbeddedCluster    = "potok-embedded"
	EmbeddedPartitions = 4
	defaultPartitions  = 16
)

// Manager makes and checks the topics of one cluster.
type Manager struct {
	cfg    Config
	client *kgo.Client
	admin  *kadm.Client // the same client
}

// settlePause is between questions whether topics that were just made have leaders. Until metadataAge is over, the client answers
// them out of its memory, and that may be of the time when the topics were missing.
const (
	settlePause = 20 * time.Millisecond
	metadataAge = 10 * time.Millisecond // franz-go takes no less
)

// NewManager connects to the cluster, which also says how many partitions there are by default; the caller closes it.
func NewManager(ctx context.Context, cfg Config, k kafka.Config) (*Manager, error) {
	cl, err := k.Client(kgo.RetryTimeout(15*time.Second), kgo.MetadataMinAge(metadataAge))
	if err != nil {
		return nil, err
	}
	m := &Manager{cfg, cl, kadm.NewClient(cl)}
	if cfg.Partitions > 0 {
		return m, nil
	}
	about, err := m.admin.BrokerMetadata(ctx)
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("ask for the cluster's id: %w", err)
	}
	m.cfg.Partitions = defaultPartitions
	if about.Cluster == EmbeddedCluster {
		m.cfg.Partitions = EmbeddedPartitions
	}
	return m, nil
}

// Config returns the configuration with the partition count that holds.
func (m *Manager) Config() Config { return m.cfg }

// Close closes the connections.
func (m *Manager) Close() { m.admin.Close() }

// Ensure makes the topics that are missing, and returns an error that names every finding about the others.
func (m *Manager) Ensure(ctx context.Context) (made []string, err error) {
	if made, err = m.create(ctx, m.cfg.Topics()); err != nil {
		return made, err
	}
	existing, configs, err := m.look(ctx)
	if err != nil {
		return made, err
	}
	if err := m.fitDeadLetters(ctx, configs); err != nil {
		return made, err
	}
	var errs []error
	for _, f := range m.judge(existing, configs) {
		errs = append(errs, errors.New(f.String()))
	}
	return made, errors.Join(errs...)
}

// EnsureRaw makes the raw topics that are missing.
func (m *Manager) EnsureRaw(ctx context.Context) (made []string, err error) {
	var raw []Topic
	for _, t := range m.cfg.Topics() {
		if t.Kind == Raw {
			raw = append(raw, t)
		}
	}
	return m.create(ctx, raw)
}

// create makes those of the topics that are missing and waits until all of them have leaders.
func (m *Manager) create(ctx context.Context, topics []Topic) (made []string, err error) {
	existing, err := m.existing(ctx)
	if err != nil {
		return nil, err
	}
	missing := slices.DeleteFunc(slices.Clone(topics), func(t Topic) bool {
		_, ok := existing[t.Name]
		return ok
	})
	if len(missing) > 0 {
		if made, err = m.request(ctx, missing); err != nil {
			return made, err
		}
	}
	return made, m.settle(ctx, topics)
}

// mostPartitions is how many partitions are asked for at a time: Kafka refuses more than 10,000, and counts configs as well.
const mostPartitions = 8192

// request makes the topics, in one request as a rule: a controller takes hardly longer for all of them than for one.
func (m *Manager) request(ctx context.Context, topics []Topic) (made []string, err error) {
	factor, err := m.replicationFactor(ctx)
	if err != nil {
		return nil, err
	}
	var errs []error
	failed := func(t Topic, err error) {
		errs = append(errs, fmt.Errorf("make topic %s with %d partitions, replication factor %d: %w", t.Name, t.Partitions, factor, err))
	}
	for some := range slices.Chunk(topics, max(1, mostPartitions/m.cfg.Partitions)) {
		answers, err := m.requestOnce(ctx, some, factor)
		if err != nil {
			failed(some[0], err)
			break
		}
		for _, t := range some {
			answer, ok := answers[t.Name]
			switch {
			case !ok:
				failed(t, errors.New("the broker does not say whether it did"))
			case errors.Is(answer, kerr.TopicAlreadyExists): // another instance was quicker
			case answer != nil:
				failed(t, answer)
			default:
				made = append(made, t.Name)
			}
		}
	}
	return made, errors.Join(errs...)
}

// requestOnce returns what the controller answers about each topic. kadm would give all of them the same configs.
func (m *Manager) requestOnce(ctx context.Context, topics []Topic, factor int) (map[string]error, error) {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 15_000
	for _, t := range topics {
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = t.Name, int32(t.Partitions), int16(factor)
		for k, v := range t.Configs {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = k, &v
			rt.Configs = append(rt.Configs, c)
		}
		req.Topics = append(req.Topics, rt)
	}
	resp, err := req.RequestWith(ctx, m.client)
	if err != nil {
		return nil, err
	}
	answers := map[string]error{}
	for _, r := range resp.Topics {
		err := kerr.ErrorForCode(r.ErrorCode)
		if err != nil && r.ErrorMessage != nil {
			err = fmt.Errorf("%w (%s)", err, *r.ErrorMessage)
		}
		answers[r.Topic] = err
	}
	return answers, nil
}

// settle waits until the brokers tell of all the topics with all their partitions' leaders: just made, they may not yet.
func (m *Manager) settle(ctx context.Context, topics []Topic) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		existing, err := m.existing(ctx)
		if err != nil {
			return err
		}
		var missing []string
		for _, t := range topics {
			d, ok := existing[t.Name]
			if !ok || d.Err != nil {
				missing = append(missing, t.Name)
				continue
			}
			for _, p := range d.Partitions {
				if p.Leader < 0 || p.Err != nil {
					missing = append(missing, fmt.Sprintf("%s/%d", t.Name, p.Partition))
				}
			}
		}
		if len(missing) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("topics have no leader: %s: see whether all brokers are up", strings.Join(missing, ", "))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settlePause):
		}
	}
}

// existing returns those of our topics that exist.
func (m *Manager) existing(ctx context.Context) (kadm.TopicDetails, error) {
	var names []string
	for _, t := range m.cfg.Topics() {
		names = append(names, t.Name)
	}
	return kafka.Existing(ctx, m.admin, names...)
}

func (m *Manager) replicationFactor(ctx context.Context) (int, error) {
	if m.cfg.ReplicationFactor > 0 {
		return m.cfg.ReplicationFactor, nil
	}
	about, err := m.admin.BrokerMetadata(ctx) // ListBrokers would ask for all topics of the cluster
	if err != nil {
		return 0, fmt.Errorf("list brokers: %w", err)
	}
	return min(3, len(about.Brokers)), nil
}

// headersRoom is what a dead letter may be larger than the raw record that it holds.
const headersRoom = 1 << 20

// fitDeadLetters raises the limit of the dead letter queue above those of the raw topics, which anybody may change, and
// notes it in configs.
func (m *Manager) fitDeadLetters(ctx context.Context, configs map[string]map[string]string) error {
	letters, ok := configs[m.cfg.Names.DeadLetters()]
	if !ok {
		return nil // deleted meanwhile
	}
	limit := func(topic string) int {
		n, _ := strconv.Atoi(configs[topic]["max.message.bytes"])
		return n
	}
	need := max(limit(m.cfg.Names.Users), limit(m.cfg.Names.Events)) + headersRoom
	if limit(m.cfg.Names.DeadLetters()) >= need {
		return nil
	}
	value := strconv.Itoa(need)
	r, err := m.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &value}}, m.cfg.Names.DeadLetters())
	if err == nil && len(r) > 0 {
		err = r[0].Err
	}
	if err != nil {
		return fmt.Errorf("raise max.message.bytes of %s to %d: %w", m.cfg.Names.DeadLetters(), need, err)
	}
	letters["max.message.bytes"] = value
	return nil
}

func (m *Manager) configs(ctx context.Context, topics ...string) (map[string]map[string]string, error) {
	described, err := m.admin.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", err)
	}
	out := map[string]map[string]string{}
	for _, d := range described {
		if d.Err != nil {
			return nil, fmt.Errorf("describe topic %s: %w", d.Name, d.Err)
		}
		out[d.Name] = map[string]string{}
		for _, c := range d.Configs {
			out[d.Name][c.Key] = c.MaybeValue()
		}
	}
	return out, nil
}

// Check returns everything about the topics that is not as it must be, missing ones included. It changes nothing.
func (m *Manager) Check(ctx context.Context) ([]Finding, error) {
	existing, configs, err := m.look(ctx)
	if err != nil {
		return nil, err
	}
	return m.judge(existing, configs), nil
}

// look returns those of our topics that exist, and their configs.
func (m *Manager) look(ctx context.Context) (existing kadm.TopicDetails, configs map[string]map[string]string, err error) {
	if existing, err = m.existing(ctx); err != nil || len(existing) == 0 {
		return nil, nil, err
	}
	configs, err = m.configs(ctx, slices.Sorted(maps.Keys(existing))...)
	return existing, configs, err
}

// judge compares what there is with what must be.
func (m *Manager) judge(existing kadm.TopicDetails, configs map[string]map[string]string) []Finding {
	var findings []Finding
	for _, t := range m.cfg.Topics() {
		d, ok := existing[t.Name]
		if !ok {
			findings = append(findings, Finding{t.Name, "does not exist", "run potok topics to make it"})
			continue
		}
		if t.Kind == Raw {
			continue
		}
		if n := len(d.Partitions); n != t.Partitions {
			findings = append(findings, Finding{
				t.Name, fmt.Sprintf("has %d partitions instead of %d", n, t.Partitions),
				fmt.Sprintf("give --partitions %d if that is what was chosen when it was made, or run potok reset to start anew", n),
			})
		}
		findings = append(findings, wrongConfigs(t, configs[t.Name])...)
	}
	return findings
}

// wrongConfigs compares what matters for results: how a topic is cleaned, and that messages fit.
func wrongConfigs(t Topic, got map[string]string) []Finding {
	var findings []Finding
	wrong := func(key, why string) {
		findings = append(findings, Finding{t.Name, fmt.Sprintf("%s is %q", key, got[key]), fmt.Sprintf("set %s=%s: %s", key, t.Configs[key], why)})
	}
	if got["cleanup.policy"] != t.Configs["cleanup.policy"] {
		wrong("cleanup.policy", "rows or messages would vanish, or never")
	}
	if want, ok := t.Configs["retention.ms"]; ok && got["retention.ms"] != want {
		wrong("retention.ms", "messages must not expire before they are read")
	}
	have, _ := strconv.Atoi(got["max.message.bytes"])
	if want, _ := strconv.Atoi(t.Configs["max.message.bytes"]); have < want {
		wrong("max.message.bytes", "the largest messages would not fit")
	}
	return findings
}

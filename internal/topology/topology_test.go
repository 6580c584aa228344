package topology

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/potok-streams/potok/codecs"
	"github.com/potok-streams/potok/internal/kafka"
)

// manage returns a manager of a new cluster, and how many requests for topics the cluster has had. answer, if not nil, stands in for
// the cluster.
func manage(t *testing.T, cfg Config, answer func(*kmsg.CreateTopicsRequest) *kmsg.CreateTopicsResponse) (*Manager, *atomic.Int32) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var requests atomic.Int32
	c.ControlKey(kmsg.CreateTopics.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		requests.Add(1)
		if answer == nil {
			return nil, nil, false
		}
		return answer(req.(*kmsg.CreateTopicsRequest)), nil, true
	})
	conf := kafka.Defaults()
	conf.BootstrapServers = c.ListenAddrs()
	cfg.Names = codecs.DefaultNames()
	m, err := NewManager(t.Context(), cfg, conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m, &requests
}

// made returns what the brokers say of the topics: of the configs those that were given.
func (m *Manager) made(t *testing.T, topics []Topic) []Topic {
	t.Helper()
	var names []string
	for _, topic := range topics {
		names = append(names, topic.Name)
	}
	details, err := kafka.Existing(t.Context(), m.admin, names...)
	if err != nil {
		t.Fatal(err)
	}
	described, err := m.admin.DescribeTopicConfigs(t.Context(), names...)
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Clone(topics)
	for i := range got {
		got[i].Partitions = len(details[got[i].Name].Partitions)
		got[i].Configs = map[string]string{}
		r, err := described.On(got[i].Name, nil)
		if err = errors.Join(err, r.Err); err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Configs {
			if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
				got[i].Configs[c.Key] = c.MaybeValue()
			}
		}
	}
	return got
}

func namesOf(topics []Topic) (names []string) {
	for _, t := range topics {
		names = append(names, t.Name)
	}
	return names
}

// TestEnsure: the missing topics are made at once, each with its own configs, and the others are left alone.
func TestEnsure(t *testing.T) {
	t.Parallel()
	m, requests := manage(t, Config{Partitions: 2}, nil)
	want := m.cfg.Topics()
	theirs := &want[1] // the raw events
	theirs.Partitions, theirs.Configs = 3, map[string]string{"retention.ms": "7"}
	if r, err := m.admin.CreateTopic(t.Context(), 3, 1, map[string]*string{"retention.ms": kadm.StringPtr("7")}, theirs.Name); err != nil {
		t.Fatal(err, r.ErrMessage)
	}
	requests.Store(0)
	made, err := m.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(namesOf(slices.Delete(slices.Clone(want), 1, 2)), made); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, m.made(t, want)); diff != "" {
		t.Errorf("topics (-want +got):\n%s", diff)
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
	if made, err := m.Ensure(t.Context()); err != nil || len(made) > 0 || requests.Load() > 1 {
		t.Errorf("the second time it made %q with %d requests more: %v", made, requests.Load()-1, err)
	}
}

// TestLargeRawRecords: the dead letter queue takes what the raw topics take, and nothing is wrong with that.
func TestLargeRawRecords(t *testing.T) {
	t.Parallel()
	m, _ := manage(t, Config{Partitions: 2}, nil)
	limit := strconv.Itoa(2 * maxDeadLetterBytes)
	if r, err := m.admin.CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &limit}, m.cfg.Names.Events); err != nil {
		t.Fatal(err, r.ErrMessage)
	}
	letters := m.cfg.Topics()[8]
	letters.Configs["max.message.bytes"] = "1000" // as from a time when the raw records were small
	if made, err := m.request(t.Context(), []Topic{letters}); err != nil || !slices.Equal(made, []string{m.cfg.Names.DeadLetters()}) {
		t.Fatal(made, err)
	}
	for range 2 {
		if _, err := m.Ensure(t.Context()); err != nil {
			t.Error(err)
		}
		_, configs, err := m.look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got, want := configs[m.cfg.Names.DeadLetters()]["max.message.bytes"], strconv.Itoa(2*maxDeadLetterBytes+headersRoom); got != want {
			t.Errorf("dead letters of up to %s bytes fit, want %s", got, want)
		}
	}
}

// TestRequest: topics that differ in everything are not mixed up, and one that another instance has made meanwhile is no error.
func TestRequest(t *testing.T) {
	t.Parallel()
	m, _ := manage(t, Config{Partitions: 2}, nil)
	want := []Topic{
		{Name: "c", Partitions: 4, Configs: map[string]string{"cleanup.policy": "compact", "min.compaction.lag.ms": "5"}},
		{Name: "a", Partitions: 1, Configs: map[string]string{"retention.ms": "6", "cleanup.policy": "delete"}},
		{Name: "b", Partitions: 2, Configs: map[string]string{}},
	}
	if made, err := m.request(t.Context(), want[1:2]); err != nil || !slices.Equal(made, []string{"a"}) {
		t.Fatal(made, err)
	}
	if made, err := m.request(t.Context(), want); err != nil || !slices.Equal(made, []string{"c", "b"}) {
		t.Errorf("made %q: %v", made, err)
	}
	if diff := cmp.Diff(want, m.made(t, want)); diff != "" {
		t.Errorf("topics (-want +got):\n%s", diff)
	}
}

// TestRefused: what the cluster refuses is named with its reason, and what it made is told as well.
func TestRefused(t *testing.T) {
	t.Parallel()
	m, _ := manage(t, Config{Partitions: 2, ReplicationFactor: 1}, func(req *kmsg.CreateTopicsRequest) *kmsg.CreateTopicsResponse {
		codes := map[string]int16{"policy": kerr.PolicyViolation.Code, "authorization": kerr.TopicAuthorizationFailed.Code}
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		for _, rt := range slices.Backward(req.Topics) {
			if rt.Topic == "silent" {
				continue
			}
			r := kmsg.NewCreateTopicsResponseTopic()
			r.Topic, r.ErrorCode = rt.Topic, codes[rt.Topic]
			if rt.Topic == "policy" {
				r.ErrorMessage = kmsg.StringPtr("no more than 1 partition")
			}
			resp.Topics = append(resp.Topics, r)
		}
		return resp
	})
	var topics []Topic
	for _, name := range []string{"first", "policy", "second", "authorization", "silent", "third"} {
		topics = append(topics, Topic{Name: name, Partitions: 2})
	}
	made, err := m.request(t.Context(), topics)
	if !slices.Equal(made, []string{"first", "second", "third"}) {
		t.Errorf("made %q", made)
	}
	if !errors.Is(err, kerr.PolicyViolation) || !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{
		"make topic policy with 2 partitions, replication factor 1: POLICY_VIOLATION", "(no more than 1 partition)",
		"make topic authorization with 2 partitions, replication factor 1: TOPIC_AUTHORIZATION_FAILED",
		"make topic silent with 2 partitions, replication factor 1: the broker does not say",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

// TestTooFewBrokers: a replication factor that can't be had is said of every topic.
func TestTooFewBrokers(t *testing.T) {
	t.Parallel()
	m, _ := manage(t, Config{Partitions: 2, ReplicationFactor: 2}, nil)
	made, err := m.Ensure(t.Context())
	if len(made) > 0 || !errors.Is(err, kerr.InvalidReplicationFactor) {
		t.Fatalf("made %q: %v", made, err)
	}
	for _, topic := range m.cfg.Topics() {
		if want := "make topic " + topic.Name + " with 2 partitions, replication factor 2: "; !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

// TestManyPartitions: no request is for more partitions than Kafka takes, unless a single topic has them.
func TestManyPartitions(t *testing.T) {
	t.Parallel()
	for partitions, want := range map[int]int32{16: 1, 512: 1, 1024: 2, 2048: 3, 8192: 9, 16384: 9} {
		asked := map[string]int{}
		m, requests := manage(t, Config{Partitions: partitions}, func(req *kmsg.CreateTopicsRequest) *kmsg.CreateTopicsResponse {
			resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
			sum := 0
			for _, rt := range req.Topics {
				asked[rt.Topic]++
				sum += int(rt.NumPartitions)
				r := kmsg.NewCreateTopicsResponseTopic()
				r.Topic = rt.Topic
				resp.Topics = append(resp.Topics, r)
			}
			if sum > 10_000 && len(req.Topics) > 1 {
				t.Errorf("%d partitions in one request", sum)
			}
			return resp
		})
		made, err := m.request(t.Context(), m.cfg.Topics())
		if err != nil || !slices.Equal(made, namesOf(m.cfg.Topics())) || requests.Load() != want {
			t.Errorf("%d partitions: %d requests made %q: %v", partitions, requests.Load(), made, err)
		}
		if n := slices.Max(slices.Collect(maps.Values(asked))); n > 1 {
			t.Errorf("%d partitions: a topic was asked for %d times", partitions, n)
		}
	}
}

package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/topology"
)

// topic is what is known of a topic.
type topic struct {
	name       string
	kind       topology.Kind
	readers    []string
	id         [16]byte
	brokers    int // of the cluster
	partitions []kadm.PartitionDetail
	configs    map[string]string
}

func (t topic) factor() int {
	lowest := 0
	for i, p := range t.partitions {
		if i == 0 || len(p.Replicas) < lowest {
			lowest = len(p.Replicas)
		}
	}
	return lowest
}

func (t topic) number(key string) int64 {
	n, _ := strconv.ParseInt(t.configs[key], 10, 64)
	return n
}

// topics looks up those of our topics that exist.
func (o Options) topics(ctx context.Context, admin *kadm.Client, brokers int) (facts []topic, err error) {
	var names []string
	for _, t := range o.Topics.Topics() {
		names = append(names, t.Name)
	}
	details, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	for _, t := range o.Topics.Topics() {
		d, ok := details[t.Name]
		if !ok || errors.Is(d.Err, kerr.UnknownTopicOrPartition) {
			continue // topology.Check says so
		}
		if d.Err != nil {
			return nil, fmt.Errorf("look up topic %s: %w", t.Name, d.Err)
		}
		described, err := admin.DescribeTopicConfigs(ctx, t.Name)
		if err != nil {
			return nil, fmt.Errorf("describe topic %s: %w", t.Name, err)
		}
		configs := map[string]string{}
		for _, c := range described {
			if c.Err != nil {
				return nil, fmt.Errorf("describe topic %s: %w", t.Name, c.Err)
			}
			for _, e := range c.Configs {
				configs[e.Key] = e.MaybeValue()
			}
		}
		facts = append(facts, topic{name: t.Name, kind: t.Kind, readers: t.Readers, id: d.ID, brokers: brokers, partitions: d.Partitions.Sorted(), configs: configs})
	}
	return facts, nil
}

func judgeTopology(wrong []topology.Finding, topics int) (findings []Finding) {
	for _, w := range wrong {
		findings = append(findings, Finding{Error, "topics", w.Topic, w.What, w.Advice})
	}
	if len(wrong) == 0 {
		findings = append(findings, Finding{OK, "topics", fmt.Sprintf("%d topics", topics), "are there and have the right partitions, cleaning and limits", ""})
	}
	return findings
}

// judgeReplication says what the loss of a broker would do to a topic.
func judgeReplication(t topic) (findings []Finding) {
	add := func(level Level, what, advice string) {
		findings = append(findings, Finding{level, "replication", t.name, what, advice})
	}
	factor, insync := t.factor(), int(t.number("min.insync.replicas"))
	if want := min(3, t.brokers); factor < want {
		add(Warning, fmt.Sprintf("replication factor is %d, on %d brokers", factor, t.brokers),
			fmt.Sprintf("raise it to %d with kafka-reassign-partitions", want))
	}
	switch {
	case insync > factor:
		add(Error, fmt.Sprintf("min.insync.replicas is %d, but there are only %d replicas: nothing can be written", insync, factor), fmt.Sprintf("set min.insync.replicas=%d", max(factor-1, 1)))
	case insync == factor && factor > 1:
		add(Warning, fmt.Sprintf("min.insync.replicas is %d of %d replicas: a broker's restart stops all writing", insync, factor), fmt.Sprintf("set min.insync.replicas=%d", factor-1))
	case factor >= 3 && insync < 2:
		add(Warning, fmt.Sprintf("min.insync.replicas is %d: what one broker alone has acknowledged is lost with it", insync), "set min.insync.replicas=2")
	}
	if factor > 1 && t.configs["unclean.leader.election.enable"] == "true" {
		add(Warning, "unclean.leader.election.enable is true: acknowledged records can vanish", "set unclean.leader.election.enable=false")
	}
	var leaderless, starved, short []string
	for _, p := range t.partitions {
		name := fmt.Sprint(p.Partition)
		switch {
		case p.Leader < 0 || p.Err != nil:
			leaderless = append(leaderless, name)
		case len(p.ISR) < insync:
			starved = append(starved, name)
		case len(p.ISR) < len(p.Replicas):
			short = append(short, name)
		}
	}
	if len(leaderless) > 0 {
		add(Error, "partitions without a leader: "+strings.Join(leaderless, ", "), "bring the brokers back that have them")
	}
	if len(starved) > 0 {
		add(Error, "partitions with fewer replicas in sync than min.insync.replicas, which take no writes: "+strings.Join(starved, ", "), "bring the missing brokers back")
	}
	if len(short) > 0 {
		add(Warning, "partitions with replicas out of sync: "+strings.Join(short, ", "), "bring the missing brokers back, or see why they lag")
	}
	if len(findings) == 0 {
		add(OK, fmt.Sprintf("%d partitions, replication factor %d, all in sync", len(t.partitions), factor), "")
	}
	return findings
}

// judgeCleaning looks at how a raw topic loses records; of Potok's own, the topology knows.
func judgeCleaning(t topic) []Finding {
	if t.kind == topology.Raw && strings.Contains(t.configs["cleanup.policy"], "compact") {
		return []Finding{{
			Error, "retention", t.name, "cleanup.policy is " + t.configs["cleanup.policy"] + ": records with a key vanish when a newer one has the same, read or not",
			"set cleanup.policy=delete",
		}}
	}
	return nil
}

// waiting is what a raw partition has that is not read yet.
type waiting struct {
	partition int32
	records   int64
	expired   int64     // records that expired unread
	oldest    time.Time // of the first unread record; zero: not known
}

// judgeRetention says when the oldest record that nobody has read expires.
func judgeRetention(t topic, unread []waiting, now time.Time) (findings []Finding) {
	add := func(level Level, what, advice string) {
		findings = append(findings, Finding{level, "retention", t.name, what, advice})
	}
	const catchUp = "start potok process, or more of them, at once; or set retention.ms=-1 until all is read"
	keep := time.Duration(t.number("retention.ms")) * time.Millisecond
	byTime, bySize := t.configs["retention.ms"] != "-1", t.configs["retention.bytes"] != "-1" && t.configs["retention.bytes"] != ""
	for _, w := range unread {
		if w.expired > 0 {
			add(Error, fmt.Sprintf("partition %d: %d records expired before they were read: they are lost", w.partition, w.expired), "set retention.ms=-1; "+catchUp)
		}
		if w.records == 0 || !byTime || w.oldest.IsZero() {
			continue
		}
		left := w.oldest.Add(keep).Sub(now)
		what := fmt.Sprintf("partition %d: the oldest of %d unread records expires at %s", w.partition, w.records, w.oldest.Add(keep).UTC().Format(time.RFC3339))
		switch {
		case left <= keep/10:
			add(Error, what, catchUp)
		case left <= keep/2:
			add(Warning, what, catchUp)
		}
	}
	if len(findings) > 0 {
		return findings
	}
	switch {
	case strings.Contains(t.configs["cleanup.policy"], "compact"):
	case byTime:
		add(Info, fmt.Sprintf("records expire after %s: what has expired can't be verified, nor recomputed after a reset", keep), "set retention.ms=-1 to keep them")
	case bySize:
		add(Info, fmt.Sprintf("records expire when a partition is larger than %s bytes, read or not", t.configs["retention.bytes"]), "set retention.bytes=-1 to keep them")
	default:
		add(OK, "records never expire", "")
	}
	return findings
}

// unread looks at what the rekey stage has not read of a raw topic: how much, and how old the first of it is.
func (o Options) unread(ctx context.Context, t topic, groups []group) (out []waiting, err error) {
	from := map[int32]kgo.Offset{}
	for _, g := range groups {
		for _, r := range g.readings {
			if r.topic != t.name || !slices.Contains(t.readers, g.name) {
				continue
			}
			w := waiting{partition: r.partition, records: r.end - max(r.position, r.start), expired: max(r.start-r.position, 0)}
			if !r.begun {
				w.expired = 0 // they were gone before Potok came
			}
			out = append(out, w)
			if w.records > 0 {
				from[r.partition] = kgo.NewOffset().At(max(r.position, r.start))
			}
		}
	}
	if len(from) == 0 || t.configs["retention.ms"] == "-1" {
		return out, nil
	}
	cl, err := o.Kafka.Client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{t.name: from}), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxPartitionBytes(64<<10))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, o.Patience)
	defer cancel()
	oldest := map[int32]time.Time{}
	for len(oldest) < len(from) && ctx.Err() == nil { // what does not come in time stays unknown
		for r := range cl.PollFetches(ctx).RecordsAll() {
			if _, seen := oldest[r.Partition]; !seen {
				oldest[r.Partition] = r.Timestamp
			}
		}
	}
	for i := range out {
		out[i].oldest = oldest[out[i].partition]
	}
	return out, nil
}

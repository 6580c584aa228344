package doctor

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/potok-streams/potok/internal/kafka"
	"github.com/potok-streams/potok/internal/topology"
)

// expect checks the worst level among the findings, and that one of that level says something.
func expect(t *testing.T, findings []Finding, level Level, what string) {
	t.Helper()
	var r Report
	r.add(findings...)
	if r.Worst != level {
		t.Errorf("got %s, want %s: %+v", r.Worst, level, findings)
	}
	for _, f := range findings {
		if f.Level == level && strings.Contains(f.What, what) {
			if level.rank() >= Warning.rank() && f.Advice == "" {
				t.Errorf("no advice: %+v", f)
			}
			return
		}
	}
	t.Errorf("none says %q: %+v", what, findings)
}

func TestJudgeBrokers(t *testing.T) {
	t.Parallel()
	broker := func(host string) kadm.BrokerDetail { return kadm.BrokerDetail{Host: host, Port: 9092} }
	expect(t, judgeBrokers(kadm.BrokerDetails{broker("127.0.0.1")}), Info, "one broker")
	expect(t, judgeBrokers(kadm.BrokerDetails{broker("kafka")}), Warning, "1 broker")
	expect(t, judgeBrokers(kadm.BrokerDetails{broker("a"), broker("b")}), Warning, "2 broker")
	expect(t, judgeBrokers(kadm.BrokerDetails{broker("a"), broker("b"), broker("c")}), OK, "3 brokers")
}

func TestJudgeSecurity(t *testing.T) {
	t.Parallel()
	c := kafka.Defaults()
	expect(t, judgeSecurity(c), Info, "do not leave this machine")
	c.BootstrapServers = []string{"127.0.0.1:9092", "kafka.example:9092"}
	expect(t, judgeSecurity(c), Warning, "not encrypted")
	c.SecurityProtocol, c.SASLMechanism = kafka.SASLPlaintext, kafka.MechanismPlain
	expect(t, judgeSecurity(c), Warning, "so can the password")
	c.SecurityProtocol = kafka.SASLSSL
	expect(t, judgeSecurity(c), OK, "encrypted")
}

func TestJudgeVersions(t *testing.T) {
	t.Parallel()
	speaks := func(fetch, join int16, deletes bool) broker {
		return broker{guess: "v", speak: func(key int16) (low, high int16, ok bool) {
			switch key {
			case 1:
				return 4, fetch, true
			case 11:
				return join, 9, true
			default:
				return 0, 2, deletes
			}
		}}
	}
	expect(t, judgeVersions([]broker{speaks(17, 2, true)}), OK, "speak all")
	expect(t, judgeVersions([]broker{speaks(17, 2, true), speaks(12, 2, true)}), Warning, "older than Kafka 3.1")
	expect(t, judgeVersions([]broker{speaks(17, 6, true)}), Error, "2.3")
	expect(t, judgeVersions([]broker{speaks(17, 2, false)}), Warning, "grow for ever")
	expect(t, judgeVersions([]broker{{id: 2, err: kafkaDown{}}}), Error, "down")
}

type kafkaDown struct{}

func (kafkaDown) Error() string { return "down" }

func TestJudgeReplication(t *testing.T) {
	t.Parallel()
	three := []int32{1, 2, 3}
	on := func(brokers int, replicas, isr []int32, insync, unclean string) topic {
		return topic{
			name: "t", brokers: brokers, configs: map[string]string{"min.insync.replicas": insync, "unclean.leader.election.enable": unclean},
			partitions: []kadm.PartitionDetail{{Leader: 1, Replicas: three[:len(replicas)], ISR: replicas}, {Partition: 1, Leader: 1, Replicas: replicas, ISR: isr}},
		}
	}
	expect(t, judgeReplication(on(3, three, three, "2", "false")), OK, "factor 3")
	expect(t, judgeReplication(on(1, three[:1], three[:1], "1", "true")), OK, "factor 1")
	expect(t, judgeReplication(on(3, three[:1], three[:1], "1", "false")), Warning, "replication factor is 1, on 3 brokers")
	expect(t, judgeReplication(on(3, three, three, "1", "false")), Warning, "lost with it")
	expect(t, judgeReplication(on(3, three, three, "3", "false")), Warning, "stops all writing")
	expect(t, judgeReplication(on(3, three[:2], three[:2], "3", "false")), Error, "only 2 replicas")
	expect(t, judgeReplication(on(3, three, three, "2", "true")), Warning, "acknowledged records can vanish")
	expect(t, judgeReplication(on(3, three, three[:2], "2", "false")), Warning, "out of sync: 1")
	expect(t, judgeReplication(on(3, three, three[:1], "2", "false")), Error, "take no writes: 1")
	dead := on(3, three, three, "2", "false")
	dead.partitions[0].Leader = -1
	expect(t, judgeReplication(dead), Error, "without a leader: 0")
}

func TestJudgeRetention(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	raw := func(ms, bytes, policy string) topic {
		return topic{name: "t", kind: topology.Raw, configs: map[string]string{"retention.ms": ms, "retention.bytes": bytes, "cleanup.policy": policy}}
	}
	hour := raw("3600000", "-1", "delete")
	expect(t, judgeRetention(raw("-1", "-1", "delete"), nil, now), OK, "never expire")
	expect(t, judgeRetention(hour, nil, now), Info, "after 1h0m0s")
	expect(t, judgeRetention(raw("-1", "1000", "delete"), nil, now), Info, "larger than 1000 bytes")
	ago := func(d time.Duration) []waiting { return []waiting{{partition: 3, records: 5, oldest: now.Add(-d)}} }
	expect(t, judgeRetention(hour, ago(time.Minute), now), Info, "after 1h0m0s")
	expect(t, judgeRetention(hour, ago(40*time.Minute), now), Warning, "partition 3: the oldest of 5 unread records expires at 2026-11-22T12:20:00Z")
	expect(t, judgeRetention(hour, ago(2*time.Hour), now), Error, "expires at 2026-11-22T11:00:00Z")
	expect(t, judgeRetention(hour, []waiting{{expired: 9}}, now), Error, "9 records expired before they were read")
	expect(t, judgeCleaning(raw("-1", "-1", "compact,delete")), Error, "vanish")
}

func TestJudgeGroup(t *testing.T) {
	t.Parallel()
	at := func(members int, position, end, written int64) group {
		return group{name: "g", state: "Stable", members: make([]string, members), readings: []reading{{topic: "t", begun: true, position: position, end: end, written: written}}}
	}
	expect(t, judgeGroup(at(1, 5, 5, 5), at(1, 5, 5, 5), time.Second), OK, "lag 0")
	expect(t, judgeGroup(at(1, 3, 5, 5), at(1, 5, 9, 9), time.Second), Info, "lag 4")
	expect(t, judgeGroup(at(1, 3, 5, 5), at(1, 3, 9, 9), time.Second), Warning, "has not moved for 1s in t/0 (6 waiting)")
	expect(t, judgeGroup(at(1, 5, 5, 5), at(1, 5, 9, 9), time.Second), Info, "lag 4") // there was nothing to read at first
	expect(t, judgeGroup(at(0, 5, 9, 9), at(0, 5, 9, 9), time.Second), Warning, "nobody processes, 4 records wait")
	expect(t, judgeGroup(at(1, 5, 5, 8), at(1, 5, 5, 9), time.Second), Warning, "open holds back t/0 from offset 5 on")
	expect(t, judgeGroup(at(1, 5, 5, 8), at(1, 8, 8, 9), time.Second), OK, "lag 0") // one was, and another is
	joining := at(1, 5, 5, 5)
	joining.state = "PreparingRebalance"
	expect(t, judgeGroup(joining, joining, time.Second), Warning, "PreparingRebalance")
}

func TestJudgeDisk(t *testing.T) {
	t.Parallel()
	expect(t, []Finding{judgeDisk("d", 10<<30)}, OK, "10240 MiB")
	expect(t, []Finding{judgeDisk("d", 500<<20)}, Warning, "500 MiB")
	expect(t, []Finding{judgeDisk("d", 1<<20)}, Error, "1 MiB")
}

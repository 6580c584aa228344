package main

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/doctor"
)

// examined runs potok doctor and returns what it found.
func examined(t *testing.T, env map[string]string, code int, args ...string) []doctor.Finding {
	t.Helper()
	got, stdout, stderr := command(t, env, append([]string{"doctor", "-o", "json", "--observe", "500ms"}, args...)...)
	var r doctor.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("potok doctor: exit code %d: %v\n%s%s", got, err, stdout, stderr)
	}
	if got != code {
		t.Errorf("potok doctor: exit code %d, want %d\n%s%s", got, code, stdout, stderr)
	}
	return r.Findings
}

// found fails the test unless there is such a finding, with advice if there is something to do.
func found(t *testing.T, findings []doctor.Finding, level doctor.Level, check, subject, what string) {
	t.Helper()
	for _, f := range findings {
		if f.Level == level && f.Check == check && strings.Contains(f.Subject, subject) && strings.Contains(f.What, what) {
			if level != doctor.OK && level != doctor.Info && f.Advice == "" {
				t.Errorf("no advice: %+v", f)
			}
			return
		}
	}
	t.Errorf("there is no %s of %s about %q with %q in %+v", level, check, subject, what, findings)
}

func (w *world) alter(topic, key, value string) {
	w.t.Helper()
	r, err := w.admin.AlterTopicConfigs(w.t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic)
	if err == nil {
		err = r[0].Err
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestDoctorExamines(t *testing.T) {
	onBrokers(t, func(t *testing.T, env map[string]string) {
		w := newWorld(t, env)
		w.alter(w.names.Users, "retention.ms", "-1")
		w.alter(w.names.Events, "retention.ms", "-1")
		w.some(rand.New(rand.NewPCG(31, 1)), 300)
		env = with(t, env, t.TempDir())
		i := start(t, env, "run")
		w.settled(i)

		// Healthy: one broker on this machine is good to know, and no more.
		findings := examined(t, env, exitDone)
		found(t, findings, doctor.Info, "brokers", "", "one broker")
		found(t, findings, doctor.OK, "versions", "brokers", "Potok needs")
		found(t, findings, doctor.OK, "topics", "9 topics", "")
		found(t, findings, doctor.OK, "replication", "potok-users-table", "replication factor 1")
		found(t, findings, doctor.OK, "retention", w.names.Events, "never expire")
		found(t, findings, doctor.OK, "groups", w.names.ActivityGroup(), "lag 0")
		found(t, findings, doctor.OK, "dead letters", "potok-dlq", "no message")
		found(t, findings, doctor.OK, "local state", "process", "in use")

		// Broken in many ways.
		w.bad(&kgo.Record{Topic: w.names.Users, Value: []byte("?")})
		w.settled(i)
		i.stop()
		w.alter(w.names.ActivityTable(), "cleanup.policy", "delete")
		w.alter(w.names.Events, "retention.ms", "3600000")
		w.alter(w.names.Users, "min.insync.replicas", "2")
		old := time.Now().Add(-50 * time.Minute)
		w.bad(&kgo.Record{Topic: w.names.Events, Partition: 4, Value: []byte("?"), Timestamp: old})
		w.acked.Wait()
		findings = examined(t, env, exitDifference)
		found(t, findings, doctor.Error, "topics", w.names.ActivityTable(), "cleanup.policy")
		found(t, findings, doctor.Error, "replication", w.names.Users, "min.insync.replicas is 2")
		found(t, findings, doctor.Warning, "retention", w.names.Events, "the oldest of 1 unread records expires at "+old.Add(time.Hour).UTC().Format(time.RFC3339))
		found(t, findings, doctor.Info, "dead letters", "potok-dlq", "about 1 ")
		found(t, findings, doctor.Info, "local state", "view", "nobody")

		findings = examined(t, env, exitDifference, "--partitions", "8")
		found(t, findings, doctor.Error, "topics", w.names.ActivityStream(), "has 4 partitions instead of 8")
		if _, err := w.admin.DeleteTopic(t.Context(), w.names.EventTypesTable()); err != nil {
			t.Fatal(err)
		}
		findings = examined(t, env, exitDifference)
		found(t, findings, doctor.Error, "topics", w.names.EventTypesTable(), "does not exist")
	})
}

func TestDoctorSeesWhoDoesNotWork(t *testing.T) {
	t.Parallel()
	env := embedded(t)
	w := newWorld(t, env)
	env = with(t, env, t.TempDir())
	i := start(t, env, "run")
	w.some(rand.New(rand.NewPCG(32, 1)), 200)
	w.settled(i)
	i.stop()
	w.remake(w.names.Events, eventsPartitions)
	if _, err := w.admin.DeleteTopic(t.Context(), w.names.ActivityTable()); err != nil {
		t.Fatal(err)
	}
	says(t, env, []string{"topics"}, exitDone)
	w.some(rand.New(rand.NewPCG(32, 2)), 200)
	w.acked.Wait()
	eventually(t, "the stopped member is counted out", func() error {
		_, stdout, _ := command(t, env, "doctor", "--observe", "100ms")
		if !strings.Contains(stdout, "has no members: nobody processes") {
			return errNotConfirmed
		}
		return nil
	})
	findings := examined(t, env, exitDifference)
	found(t, findings, doctor.Warning, "groups", w.names.RekeyEventsGroup(), "records wait")
	found(t, findings, doctor.Info, "local state", "process", "state of potok-activity-table/")
	if !slices.ContainsFunc(findings, func(f doctor.Finding) bool { return strings.Contains(f.What, "earlier incarnation") }) {
		t.Errorf("nothing of the earlier incarnation in %+v", findings)
	}
	code, stdout, _ := command(t, map[string]string{"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "POTOK_DATA_DIR": t.TempDir() + "/none"}, "doctor")
	if code != exitDifference || !strings.Contains(stdout, "no broker at 127.0.0.1:1 answers") || !strings.Contains(stdout, "does not exist yet") {
		t.Errorf("without a broker: exit code %d\n%s", code, stdout)
	}
}

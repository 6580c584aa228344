//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/codecs"
)

// conclude ends the processes, reads what they leave, and says where it is when something was wrong.
func (r *run) conclude(w *workshop) (*summary, error) {
	s := r.summary
	for _, m := range append(r.instances(), r.view) {
		if m.running() {
			m.stop()
		}
	}
	r.load.mu.Lock()
	s.txns, s.unknown = r.load.txns, r.load.failed
	r.load.mu.Unlock()
	s.messages, s.bad = r.oracle.records, len(r.oracle.rejected)
	s.stale, s.diverged = r.meters.sum("potok_stale_rows_total", `kind="stale"`), r.meters.sum("potok_stale_rows_total", `kind="diverged"`)
	s.repeated = r.meters.sum("potok_batches_repeated_total", "")
	r.job.tally.mu.Lock()
	s.leases, s.gaps, s.wipes = r.job.tally.leases, r.job.tally.gaps, r.job.tally.wipes
	r.job.tally.mu.Unlock()
	if s.diverged > 0 {
		r.journal.wrong("%d rows diverged", s.diverged)
	}
	s.wrong = r.journal.found()
	_ = os.WriteFile(filepath.Join(r.dir, "warnings.txt"), []byte(r.job.tally.report()), 0o600) // for people
	_ = os.WriteFile(filepath.Join(r.dir, "summary.txt"), []byte(s.String()), 0o600)
	if len(s.wrong) > 0 {
		w.kept = true
		fmt.Fprintf(w.stdout, "seed %d: WRONG; run again with -seed %d; logs and data are in %s\n", r.seed, r.seed, r.dir)
		for _, text := range s.wrong {
			fmt.Fprintf(w.stdout, "  %s\n", text)
		}
		return s, nil
	}
	r.spent = !r.o.keep
	return s, nil
}

// evidence writes down how everybody is, and what there is of the rows that are not as they must be.
func (r *run) evidence(differences []difference) {
	dir := filepath.Join(r.dir, "evidence", time.Now().UTC().Format("150405.000"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.journal.note("evidence: %v", err)
		return
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			r.journal.note("evidence: %v", err)
		}
	}
	for _, m := range append(r.instances(), r.view) {
		if m == nil || !m.running() {
			write(m.name+".txt", "not running\n")
			continue
		}
		write(m.name+"-ready.txt", fetch(m.url("/readyz")))
		write(m.name+"-metrics.txt", fetch(m.url("/metrics")))
		if m != r.view {
			write(m.name+"-goroutines.txt", fetch(m.url("/debug/pprof/goroutine?debug=2")))
		}
	}
	write("stats.txt", fetch(r.view.url("/v1/stats")))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	write("groups.txt", r.groups(ctx))
	if len(differences) == 0 {
		return
	}
	var all strings.Builder
	keys := map[string]bool{}
	for _, d := range differences {
		fmt.Fprintln(&all, d.text)
		if d.user != nil && len(keys) < 5 {
			keys[*d.user] = true
		}
	}
	write("differences.txt", all.String())
	write("raw.txt", r.history(ctx, keys, r.names.users, r.names.events))
	write("records.txt", r.history(ctx, keys, r.names.stream("users"), r.names.stream("activity"), r.names.table("users"), r.names.table("activity")))
	counted := map[string]bool{"\xffrejected/": true}
	for _, t := range eventTypes {
		counted[t] = true
	}
	write("types.txt", r.history(ctx, counted, r.names.table("event-types")))
}

// groups tells the members, offsets and lags of the consumer groups.
func (r *run) groups(ctx context.Context) string {
	var b strings.Builder
	lags, err := r.admin.Lag(ctx, r.names.prefix+"-rekey-users", r.names.prefix+"-rekey-events", r.names.prefix+"-users", r.names.prefix+"-activity", r.names.prefix+"-event-types")
	if err != nil {
		return err.Error()
	}
	for _, g := range lags.Sorted() {
		fmt.Fprintf(&b, "%s: %s, error %v\n", g.Group, g.State, g.Error())
		for _, m := range g.Members {
			instance := ""
			if m.InstanceID != nil {
				instance = *m.InstanceID
			}
			fmt.Fprintf(&b, "  member %s %s %s\n", m.MemberID, instance, m.ClientHost)
		}
		for _, l := range g.Lag.Sorted() {
			member := "nobody"
			if l.Member != nil {
				member = l.Member.MemberID
			}
			fmt.Fprintf(&b, "  %s/%d committed %d end %d lag %d, %s\n", l.Topic, l.Partition, l.Commit.At, l.End.Offset, l.Lag, member)
		}
	}
	return b.String()
}

// history tells every record of some keys that is still on the topics, in the order of its partition. It uses Potok's own
// decoders: it is for people who look for the cause.
func (r *run) history(ctx context.Context, keys map[string]bool, topics ...string) string {
	var b strings.Builder
	starts, err := r.admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return err.Error()
	}
	ends, err := r.admin.ListEndOffsets(ctx, topics...)
	if err != nil {
		return err.Error()
	}
	from, left := map[string]map[int32]kgo.Offset{}, map[origin]int64{}
	for topic, partitions := range ends {
		from[topic] = map[int32]kgo.Offset{}
		for p, end := range partitions {
			start, _ := starts.Lookup(topic, p)
			from[topic][p] = kgo.NewOffset().At(start.Offset)
			if start.Offset < end.Offset {
				left[origin{topic: topic, partition: p}] = end.Offset
			}
		}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.broker.addr), kgo.ConsumePartitions(from), kgo.KeepControlRecords())
	if err != nil {
		return err.Error()
	}
	defer cl.Close()
	for len(left) > 0 && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(rec *kgo.Record) {
			at := origin{topic: rec.Topic, partition: rec.Partition}
			if rec.Offset+1 >= left[at] {
				delete(left, at)
			}
			if text, of := describe(rec, r.names, keys); of {
				fmt.Fprintf(&b, "%s/%d@%d %s producer %d/%d: %s\n", rec.Topic, rec.Partition, rec.Offset, rec.Timestamp.UTC().Format("15:04:05.000"), rec.ProducerID, rec.ProducerEpoch, text)
			}
		})
	}
	if len(left) > 0 {
		fmt.Fprintf(&b, "not read to the end: %v\n", left)
	}
	return b.String()
}

// describe decodes a record if it is about one of the keys.
func describe(rec *kgo.Record, n names, keys map[string]bool) (text string, of bool) {
	if rec.Attrs.IsControl() {
		return "", false
	}
	if rec.Topic == n.users || rec.Topic == n.events {
		var v struct {
			ID    string `json:"user_id"`
			Event string
		}
		if json.Unmarshal(rec.Value, &v) != nil || !keys[v.ID] {
			return "", false
		}
		return fmt.Sprintf("%q at %d, value %.300s", v.ID, rec.Timestamp.UnixMilli(), rec.Value), true
	}
	key := string(rec.Key)
	if prefix, _, own := strings.Cut(key, "/"); !keys[key] && (!own || !keys[prefix+"/"]) {
		return "", false
	}
	var v any
	var err error
	switch rec.Topic {
	case n.stream("users"), n.table("users"):
		v, err = codecs.DecodeUser(rec.Value)
	case n.stream("activity"), n.stream("event-types"):
		v, err = codecs.DecodeBatch(rec.Value)
	case n.table("activity"):
		v, err = codecs.DecodeActivity(rec.Value)
	case n.table("event-types"):
		v, err = codecs.DecodeTally(rec.Value)
	}
	if err != nil {
		return fmt.Sprintf("%q %v", key, err), true
	}
	text, err = shorten(v)
	if err != nil {
		text = err.Error()
	}
	return fmt.Sprintf("%q %s", key, text), true
}

// shorten renders a row as JSON with short topic ids.
func shorten(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	var plain any
	if err := json.Unmarshal(b.Bytes(), &plain); err != nil {
		return "", err
	}
	out, err := json.Marshal(withoutIDs(plain))
	return string(out), err
}

// withoutIDs replaces topic ids, which are lists of sixteen numbers, by their first.
func withoutIDs(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if ids, ok := e.([]any); ok && k == "Topic" && len(ids) == 16 {
				v[k] = ids[0]
				continue
			}
			v[k] = withoutIDs(e)
		}
	case []any:
		for i := range v {
			v[i] = withoutIDs(v[i])
		}
	}
	return v
}

// deadLetters checks that the dead letter queue has every rejected record, whole, and nothing else.
func (r *run) deadLetters(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	letters := newOracle(r.broker.addr, r.names, nil)
	ends, err := letters.endsOf(ctx, r.names.deadLetters())
	if err != nil {
		return err
	}
	from, left := map[string]map[int32]kgo.Offset{r.names.deadLetters(): {}}, map[int32]int64{}
	for p, end := range ends[r.names.deadLetters()] {
		from[r.names.deadLetters()][p] = kgo.NewOffset().AtStart()
		if end > 0 {
			left[p] = end
		}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.broker.addr), kgo.ConsumePartitions(from))
	if err != nil {
		return err
	}
	defer cl.Close()
	found, repeated := map[origin]bool{}, 0
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("read the dead letters: %w", ctx.Err())
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			if rec.Offset+1 >= left[rec.Partition] {
				delete(left, rec.Partition)
			}
			at, number := letterOrigin(rec)
			if found[at] {
				repeated++
			}
			found[at] = true
			if n, ok := r.oracle.rejected[at]; !ok || n != number {
				r.journal.wrong("dead letter %d/%d of %v, message %d: that was not rejected", rec.Partition, rec.Offset, at, number)
			}
		})
	}
	missing := 0
	for at := range r.oracle.rejected {
		if !found[at] {
			if missing++; missing == 1 {
				r.journal.wrong("the dead letter of %v is missing", at)
			}
		}
	}
	r.journal.note("dead letters: %d, %d of them again, %d missing", len(found), repeated, missing)
	return nil
}

func letterOrigin(rec *kgo.Record) (at origin, number int) {
	for _, h := range rec.Headers {
		switch h.Key {
		case "__streams.errors.topic":
			at.topic = string(h.Value)
		case "__streams.errors.partition":
			p, _ := strconv.ParseInt(string(h.Value), 10, 32) // what can't be read is nobody's
			at.partition = int32(p)
		case "__streams.errors.offset":
			at.offset, _ = strconv.ParseInt(string(h.Value), 10, 64)
		case headerNumber:
			number, _ = strconv.Atoi(string(h.Value))
		}
	}
	return at, number
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// unknownRetries is how often a topic may be unknown: a busy broker may need a while until it knows what it has made.
const unknownRetries = 100

// data are topics that hold what a plan says, and what programs have to make of it.
type data struct {
	plan
	usersTopic  string
	eventsTopic string
	more        *events // goes on where the topics end
	want        *expected
}

// fill makes the topics of a plan and publishes all users, then all events.
func (b *bench) fill(ctx context.Context, p plan) (*data, error) {
	b.serial++
	d := &data{
		plan: p, more: p.draw(), want: newExpected(p),
		usersTopic: fmt.Sprintf("%s-%d-users", b.raw(), b.serial), eventsTopic: fmt.Sprintf("%s-%d-events", b.raw(), b.serial),
	}
	config := map[string]*string{"retention.ms": kadm.StringPtr("-1")}
	for _, topic := range []string{d.usersTopic, d.eventsTopic} {
		_, err := b.admin.CreateTopic(ctx, int32(p.partitions), 1, config, topic)
		if err != nil {
			return nil, fmt.Errorf("create topic %s: %w", topic, err)
		}
	}
	b.logf("publishing %s users and %s events in %d partitions", thousands(int64(p.users)), thousands(int64(p.events)), p.partitions)
	began := time.Now()
	if err := b.register(ctx, d, 0, p.users); err != nil {
		return nil, err
	}
	if err := b.append(ctx, d, p.events); err != nil {
		return nil, err
	}
	b.logf("published in %.1f s", time.Since(began).Seconds())
	return d, nil
}

// register publishes the users from one number up to another.
func (b *bench) register(ctx context.Context, d *data, from, to int) error {
	return b.publish(ctx, d.usersTopic, func(send func(value []byte, partition int)) {
		for i := from; i < to; i++ {
			send(d.appendUser(nil, i), i%d.partitions)
		}
	})
}

// append publishes the plan's next n events, and counts them in.
func (b *bench) append(ctx context.Context, d *data, n int) error {
	return b.publish(ctx, d.eventsTopic, func(send func(value []byte, partition int)) {
		for range n {
			e := d.more.draw()
			d.want.add(e)
			send(d.appendEvent(nil, e), e.number%d.partitions)
		}
	})
}

// publish sends what each sends and returns when all of it is acknowledged.
func (b *bench) publish(ctx context.Context, topic string, each func(send func(value []byte, partition int))) error {
	cl, err := b.producer(20 * time.Millisecond)
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	each(func(value []byte, partition int) {
		cl.Produce(ctx, &kgo.Record{Topic: topic, Partition: int32(partition), Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				cancel(err)
			}
		})
	})
	err = cl.Flush(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause // of which the other error is a consequence
	}
	if err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

// producer publishes where it is told to: records of a plan have their place.
func (b *bench) producer(linger time.Duration) (*kgo.Client, error) {
	return kgo.NewClient(kgo.SeedBrokers(b.broker.servers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(linger),
		kgo.UnknownTopicRetries(unknownRetries), kgo.MetadataMinAge(100*time.Millisecond))
}

// drop deletes the topics and consumer groups whose names begin with a prefix.
func (b *bench) drop(ctx context.Context, prefix string) error {
	topics, err := b.topicsOf(ctx, prefix)
	if err != nil {
		return err
	}
	var errs []error
	if len(topics) > 0 {
		resp, err := b.admin.DeleteTopics(ctx, topics...)
		errs = append(errs, err)
		for _, r := range resp {
			// A list may still have what was deleted a moment ago.
			if !errors.Is(r.Err, kerr.UnknownTopicOrPartition) {
				errs = append(errs, r.Err)
			}
		}
	}
	groups, err := b.admin.ListGroups(ctx)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, g := range groups.Groups() {
		if strings.HasPrefix(g, prefix) {
			// One that still waits for its members to time out can stay: nobody will use the name again.
			_, err := b.admin.DeleteGroup(ctx, g)
			if !errors.Is(err, kerr.NonEmptyGroup) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func (b *bench) topicsOf(ctx context.Context, prefix string) ([]string, error) {
	all, err := b.admin.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	var names []string
	for _, name := range all.Names() {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names, nil
}

// sizeOf returns how many bytes the brokers keep of the topics whose names begin with a prefix.
func (b *bench) sizeOf(ctx context.Context, prefix string) (int64, error) {
	dirs, err := b.admin.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("describe log directories: %w", err)
	}
	var size int64
	for _, ds := range dirs {
		ds.EachPartition(func(p kadm.DescribedLogDirPartition) {
			if strings.HasPrefix(p.Topic, prefix) {
				size += p.Size
			}
		})
	}
	return size, nil
}

// liveRows returns how many bytes the latest records of the tables have, keys included: what would be left of the
// changelogs if compaction had just run.
func (b *bench) liveRows(ctx context.Context, prefix string) (int64, error) {
	topics, err := b.topicsOf(ctx, prefix)
	if err != nil {
		return 0, err
	}
	var tables []string
	for _, t := range topics {
		if strings.HasSuffix(t, "-table") {
			tables = append(tables, t)
		}
	}
	if len(tables) == 0 {
		return 0, fmt.Errorf("no tables below %s", prefix)
	}
	sizes := map[string]int64{}
	err = b.readAll(ctx, tables, func(r *kgo.Record) {
		size := int64(len(r.Key) + len(r.Value))
		if len(r.Value) == 0 {
			size = 0
		}
		sizes[r.Topic+" "+string(r.Key)] = size
	})
	var sum int64
	for _, s := range sizes {
		sum += s
	}
	return sum, err
}

// readAll reads topics from their starts to where they end now.
func (b *bench) readAll(ctx context.Context, topics []string, each func(*kgo.Record)) error {
	return readTopics(ctx, b.broker.servers, topics, each)
}

// readTopics reads topics from their starts to where they end when it is called.
func readTopics(ctx context.Context, servers, topics []string, each func(*kgo.Record)) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(servers...), kgo.ConsumeTopics(topics...), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return fmt.Errorf("list offsets: %w", err)
	}
	ends, err := admin.ListEndOffsets(ctx, topics...)
	if err := errors.Join(err, starts.Error(), ends.Error()); err != nil {
		return fmt.Errorf("list offsets: %w", err)
	}
	// The record before a partition's end is always there: nobody writes transactions here, and compaction spares the last one.
	type place struct {
		topic     string
		partition int32
	}
	left := map[place]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if start, ok := starts.Lookup(o.Topic, o.Partition); !ok || start.Offset < o.Offset {
			left[place{o.Topic, o.Partition}] = o.Offset
		}
	})
	for len(left) > 0 {
		quiet, cancel := context.WithTimeout(ctx, 5*time.Second)
		fetches := cl.PollFetches(quiet)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if fetches.Err0() != nil && quiet.Err() != nil {
			return fmt.Errorf("read topics: %d partitions do not come to their ends", len(left))
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read topics: %w", err)
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			for _, r := range p.Records {
				each(r)
			}
			if n := len(p.Records); n > 0 {
				at := place{p.Topic, p.Partition}
				if end, ok := left[at]; ok && p.Records[n-1].Offset+1 >= end {
					delete(left, at)
				}
			}
		})
	}
	return nil
}

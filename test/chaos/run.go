//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// run is one seed.
type run struct {
	o       options
	seed    uint64
	dir     string
	journal *journal
	broker  *broker
	names   names
	job     *job
	view    *member
	load    *load
	oracle  *oracle
	meters  *meters
	summary *summary
	admin   *kadm.Client

	mu      sync.Mutex
	changed sync.Cond
	members []*member // the instances that are to be there
	busy    map[*member]bool
	joined  int   // instances that came later, for their names
	free    []int // links that nobody is behind
	ports   []int // of the instances, by link
	grown   int   // how often raw topics got more partitions

	brokerBusy, viewBusy bool
	broken               bool // results are wrong, or do not come
	spent                bool // nobody wants the directory any more
}

const (
	usersPartitions  = 3
	eventsPartitions = 5
	maxGrowths       = 3
	readyDeadline    = 60 * time.Second
)

// seed runs one seed in a directory of its own, which is removed if all is well.
func (w *workshop) seed(ctx context.Context, seed uint64) (*summary, error) {
	r, finish, err := w.prepare(ctx, seed)
	if err != nil {
		return nil, err
	}
	defer finish()
	if err := r.all(ctx); err != nil {
		r.journal.note("the harness ends: %v", err)
		w.kept = true
		r.evidence(nil)
		return nil, fmt.Errorf("%w; logs are in %s", err, r.dir)
	}
	return r.conclude(w)
}

// prepare starts the broker, the topics, the instances and the view.
func (w *workshop) prepare(ctx context.Context, seed uint64) (r *run, finish func(), err error) {
	r = &run{
		o: w.options, seed: seed, dir: filepath.Join(w.dir, fmt.Sprintf("seed-%d", seed)), busy: map[*member]bool{},
		meters: &meters{last: map[*life]map[string]float64{}},
	}
	r.changed.L = &r.mu
	r.summary = newSummary(seed)
	for _, d := range []string{"logs", "data"} {
		if err := os.MkdirAll(filepath.Join(r.dir, d), 0o700); err != nil {
			return nil, nil, err
		}
	}
	var echo io.Writer
	if w.options.verbose {
		echo = w.stdout
	}
	if r.journal, err = newJournal(filepath.Join(r.dir, "faults.log"), echo); err != nil {
		return nil, nil, err
	}
	giveBack := func() {}
	finish = func() {
		for _, m := range append(r.instances(), r.view) {
			if m != nil && m.running() {
				m.kill()
			}
		}
		if r.admin != nil {
			r.admin.Close()
		}
		if r.load != nil {
			r.load.client.Close()
		}
		giveBack()
		r.journal.close()
		if r.spent { // now that the broker has ended, which writes there
			if err := os.RemoveAll(r.dir); err != nil {
				fmt.Fprintf(w.stdout, "seed %d: %v\n", seed, err)
			}
		}
	}
	defer func() {
		if err != nil {
			finish()
		}
	}()
	if r.broker, giveBack, err = w.borrow(ctx, r.dir); err != nil {
		giveBack = func() {}
		return nil, nil, err
	}
	r.names = names{prefix: fmt.Sprintf("chaos%d", seed), users: fmt.Sprintf("users%d", seed), events: fmt.Sprintf("events%d", seed)}
	r.job = &job{
		journal: r.journal, broker: r.broker, binary: w.binary, dir: r.dir, session: r.o.session, tally: newLogTally(r.journal),
		flags: []string{"--partitions", strconv.Itoa(r.o.partitions), "--prefix", r.names.prefix, "--users-topic", r.names.users, "--events-topic", r.names.events},
	}
	if err = r.topics(ctx); err != nil {
		return nil, nil, err
	}
	l := new(ledger)
	if r.load, err = newLoad(r.journal, r.broker.addr, l, r.names, seed, r.o); err != nil {
		return nil, nil, err
	}
	r.oracle = newOracle(r.broker.addr, r.names, l)
	ports, err := freePorts(maxInstances + 1)
	if err != nil {
		return nil, nil, err
	}
	r.ports = ports
	for i := range maxInstances {
		r.free = append(r.free, i)
	}
	r.view = &member{name: "view", job: r.job, link: -1, port: ports[maxInstances]}
	r.view.freshDir()
	for range r.o.instances {
		if _, err = r.enlist(r.o.standby || seed%2 == 0 && r.joined%2 == 0); err != nil {
			return nil, nil, err
		}
	}
	if err = r.view.start(); err != nil {
		return nil, nil, err
	}
	return r, finish, r.ready(ctx)
}

// topics makes the raw topics, has Potok make its own, and then makes those compact at once.
func (r *run) topics(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.broker.addr))
	if err != nil {
		return err
	}
	r.admin = kadm.NewClient(cl)
	forever := "-1"
	for topic, partitions := range map[string]int32{r.names.users: usersPartitions, r.names.events: eventsPartitions} {
		resp, err := r.admin.CreateTopic(ctx, partitions, 1, map[string]*string{"retention.ms": &forever}, topic)
		if err = errors.Join(err, resp.Err); err != nil {
			return fmt.Errorf("make %s: %w", topic, err)
		}
	}
	if out, err := r.potok(ctx, "topics"); err != nil {
		return fmt.Errorf("potok topics: %w\n%s", err, out)
	}
	lag, longest := r.o.compaction.Milliseconds(), r.o.compaction.Milliseconds()+1000
	for _, stage := range []string{"users", "activity", "event-types"} {
		var alter []kadm.AlterConfig
		for key, value := range map[string]string{
			"segment.ms": "5000", "min.cleanable.dirty.ratio": "0.01", "min.compaction.lag.ms": strconv.FormatInt(lag, 10),
			"max.compaction.lag.ms": strconv.FormatInt(longest, 10), "delete.retention.ms": "1000", "segment.bytes": "1048576",
		} {
			alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: &value})
		}
		resp, err := r.admin.AlterTopicConfigs(ctx, alter, r.names.table(stage))
		if err == nil && len(resp) > 0 {
			err = resp[0].Err
		}
		if err != nil {
			return fmt.Errorf("alter %s: %w", r.names.table(stage), err)
		}
	}
	return nil
}

// potok runs a command of the program to its end.
func (r *run) potok(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, r.job.binary, append(append(args, "--bootstrap-servers", r.broker.addr), r.job.flags...)...)
	cmd.Env = []string{"HOME=" + r.dir}
	cmd.SysProcAttr = childAttr()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// enlist adds an instance and starts it.
func (r *run) enlist(standby bool) (*member, error) {
	r.mu.Lock()
	if len(r.free) == 0 {
		r.mu.Unlock()
		return nil, errors.New("no link is free")
	}
	r.joined++
	m := &member{name: fmt.Sprintf("p%d", r.joined), job: r.job, link: r.free[0], port: r.ports[r.free[0]], standby: standby}
	r.free = r.free[1:]
	r.members = append(r.members, m)
	r.mu.Unlock()
	m.freshDir()
	return m, m.start()
}

// retire takes an instance that has ended off the list.
func (r *run) retire(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = slices.DeleteFunc(r.members, func(o *member) bool { return o == m })
	r.free = append(r.free, m.link)
	r.changed.Broadcast()
}

// instances returns those that are to be there.
func (r *run) instances() []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.members)
}

// ready waits until all that runs says that it is ready.
func (r *run) ready(ctx context.Context) error {
	end := time.Now().Add(readyDeadline)
	for _, m := range append(r.instances(), r.view) {
		for {
			var answer any
			_, err := ask(m.url(""), "/readyz", &answer)
			if err == nil {
				break
			}
			if time.Now().After(end) {
				r.journal.wrong("%s is not ready within %s: %v", m.name, readyDeadline, err)
				r.evidence(nil)
				break
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}

// all runs the faults with checks in between, and the last check.
func (r *run) all(ctx context.Context) error {
	working, stop := context.WithCancel(ctx)
	defer stop()
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer stop()
	helpers.Go(func() { r.meters.follow(working, func() []*member { return append(r.instances(), r.view) }) })
	helpers.Go(func() { r.load.publish(working) })
	if r.o.txn {
		helpers.Go(func() { r.load.transact(working) })
	}
	s := newScheduler(r)
	end := time.Now().Add(r.o.duration)
	for left := time.Until(end); left > 0; left = time.Until(end) {
		if left < r.o.quiet*3/2 {
			s.run(ctx, left)
		} else {
			s.run(ctx, r.o.quiet)
		}
		if err := r.check(ctx, time.Until(end) <= 0); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if r.broken {
			return nil // the state as it is tells more than what comes of it
		}
		r.load.resume()
	}
	return nil
}

// check pauses the publishers, waits until nothing is on its way, and compares.
func (r *run) check(ctx context.Context, last bool) error {
	if err := r.ready(ctx); err != nil {
		return err
	}
	if err := r.load.pause(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := r.oracle.catchUp(ctx); err != nil {
		return fmt.Errorf("the raw topics are not what was published: %w", err)
	}
	took, ok := r.settle(ctx, r.view, began)
	if !ok {
		return ctx.Err()
	}
	r.journal.note("lag is 0 after %s", took.Round(10*time.Millisecond))
	r.summary.lags = append(r.summary.lags, took)
	want := r.oracle.want()
	r.judge(ctx, r.view, want)
	// The view has merged what it read. What the compacted topics hold by themselves is what a new view makes of them.
	fresh := &member{name: "fresh", job: r.job, link: -1, port: r.view.port}
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	fresh.port = ports[0]
	r.mu.Lock()
	r.joined++
	fresh.name = fmt.Sprintf("fresh%d", r.joined)
	r.mu.Unlock()
	fresh.freshDir()
	if err := fresh.start(); err != nil {
		return err
	}
	if _, ok := r.settle(ctx, fresh, time.Now()); ok {
		r.judge(ctx, fresh, want)
	}
	fresh.stop()
	if last {
		if err := r.deadLetters(ctx); err != nil {
			return err
		}
		r.verify(ctx)
	}
	return ctx.Err()
}

// settle waits until a view's lag is 0.
func (r *run) settle(ctx context.Context, view *member, began time.Time) (took time.Duration, ok bool) {
	answer, lag, err := any(nil), "", error(nil)
	for end := time.Now().Add(r.o.deadline); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if _, err = ask(view.url(""), "/readyz", &answer); err == nil { // not ready, it can't serve rows
			lag, err = ask(view.url(""), "/v1/stats", &answer)
		}
		if err == nil && lag == "0" {
			return time.Since(began), true
		}
	}
	if ctx.Err() == nil {
		r.broken = true
		r.journal.wrong("%s: lag is not 0 after %s: lag %q, error %v, answer %v", view.name, r.o.deadline, lag, err, answer)
		r.evidence(nil)
	}
	return 0, false
}

// judge compares what a view serves.
func (r *run) judge(ctx context.Context, view *member, want results) {
	got, err := served(view.url(""))
	if err != nil {
		r.journal.wrong("%s: read the results: %v", view.name, err)
		return
	}
	differences := compare(want, got)
	if len(differences) == 0 {
		r.journal.note("%s serves what was published: %d rows, %d event types, %+v", view.name, len(got.users), len(got.types), got.stats)
		return
	}
	r.broken = true
	var text []string
	for _, d := range differences[:min(len(differences), 10)] {
		text = append(text, d.text)
	}
	r.journal.wrong("%s: %d differences:\n%s", view.name, len(differences), strings.Join(text, "\n"))
	r.evidence(differences)
}

// verify runs potok verify, where this program has it.
func (r *run) verify(ctx context.Context) {
	help, err := r.potok(ctx, "verify", "--help")
	if err != nil || !strings.Contains(help, "potok verify") {
		r.journal.note("this potok has no command verify")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	out, err := r.potok(ctx, "verify", "--server", strings.TrimSuffix(r.view.url("/"), "/"))
	if err != nil {
		r.journal.wrong("potok verify: %v\n%.3000s", err, out)
		return
	}
	r.summary.verified = true
	r.journal.note("potok verify: equal")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/potok-streams/potok/views/client"
)

const (
	// askEvery is how often a view is asked whether it is done.
	askEvery = 25 * time.Millisecond

	// maxConnections bounds how many connections to a view are kept.
	maxConnections = 256
)

// potok is an installation of Potok: topics, a directory, and the process while it runs.
type potok struct {
	b       *bench
	d       *data
	binary  string
	prefix  string
	dir     string // of the log; state is below
	listen  string
	process *process // who answers
	apart   *process // the processors, if they are a process of their own; else nil
	view    *client.Client
}

// counted returns an installation over topics that runs and has counted all that they have.
func (b *bench) counted(ctx context.Context, d *data) (p *potok, err error) {
	if p, err = b.newPotok(d); err != nil {
		return nil, err
	}
	if b.apart != "" {
		err = p.startApart(ctx)
	} else {
		err = p.start(ctx, "run")
	}
	if err == nil {
		err = p.complete(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, p.remove(ctx))
	}
	return p, nil
}

// newPotok prepares an installation over topics.
func (b *bench) newPotok(d *data) (*potok, error) {
	dir, prefix, err := b.fresh("potok")
	if err != nil {
		return nil, err
	}
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	// Once each: an answer in time or none, for this measures.
	view, err := client.New("http://"+listen, client.WithRetries(0), client.WithHTTPClient(&http.Client{
		// Connections are kept: making one takes longer than most answers.
		Transport: &http.Transport{MaxIdleConnsPerHost: maxConnections},
		Timeout:   time.Minute,
	}))
	return &potok{b: b, d: d, binary: b.potok, prefix: prefix, dir: dir, listen: listen, view: view}, err
}

// freeAddress returns an address on which nobody listens now.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// start runs `potok run` or another of its commands that serve. Extra flags are for what is not to be as it comes.
func (p *potok) start(ctx context.Context, command string, extra ...string) (err error) {
	args := append(p.args(command), "--listen", p.listen, "--data-dir", p.state())
	args = append(args, extra...)
	if command == "run" {
		args = append(args, strings.Fields(p.b.flagsOf)...)
	}
	p.process, err = p.b.start(ctx, p.dir, p.binary, args...)
	return err
}

// startApart runs in two processes what `potok run` runs in one: the processors, by a command that says when the system gives them a
// core, and the view. When the processors end, so does the view; they have one log.
func (p *potok) startApart(ctx context.Context) error {
	command := slices.Concat(strings.Fields(p.b.apart), []string{p.binary}, p.args("process"), []string{"--data-dir", filepath.Join(p.dir, "processors")})
	processors, err := p.b.start(ctx, p.dir, command[0], command[1:]...)
	if err != nil {
		return err
	}
	p.apart = processors
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		<-processors.done
		cancel()
	}()
	return p.start(ctx, "view")
}

// args are a command's flags that say what is read and written.
func (p *potok) args(command string) []string {
	return []string{
		command, "--bootstrap-servers", strings.Join(p.b.broker.servers, ","),
		"--prefix", p.prefix, "--users-topic", p.d.usersTopic, "--events-topic", p.d.eventsTopic,
	}
}

func (p *potok) state() string { return filepath.Join(p.dir, "state") }

// stop ends what runs, by SIGTERM or harder.
func (p *potok) stop(sig os.Signal) (err error) {
	for _, r := range p.running() {
		err = errors.Join(err, r.stop(sig))
	}
	p.process, p.apart = nil, nil
	return err
}

// running returns the processes that were started and not stopped.
func (p *potok) running() []*process {
	return slices.DeleteFunc([]*process{p.process, p.apart}, func(r *process) bool { return r == nil })
}

// cores lets time pass and returns how many cores were in use meanwhile, 0 where that can't be measured.
func (p *potok) cores(ctx context.Context, d time.Duration) (float64, error) {
	before, err := p.usedCPU()
	began := time.Now()
	if pauseErr := p.process.pause(ctx, d); pauseErr != nil {
		return 0, pauseErr
	}
	if errors.Is(err, errUnmeasured) {
		return 0, nil
	}
	after, afterErr := p.usedCPU()
	return (after - before) / time.Since(began).Seconds(), errors.Join(err, afterErr)
}

// usedCPU returns the CPU seconds that what runs has used so far.
func (p *potok) usedCPU() (seconds float64, err error) {
	for _, r := range p.running() {
		used, usageErr := r.usage()
		seconds, err = seconds+used.CPU, errors.Join(err, usageErr)
	}
	return seconds, err
}

// remove deletes what the installation has left: topics, groups, state.
func (p *potok) remove(ctx context.Context) error {
	return errors.Join(p.stop(os.Kill), p.b.drop(context.WithoutCancel(ctx), p.prefix), p.b.discard(p.dir))
}

// discard removes a directory, unless it is to be kept.
func (b *bench) discard(dir string) error {
	if b.keep {
		return nil
	}
	return os.RemoveAll(dir)
}

// until asks until the answer is yes, the process ends, or the time is over. An answer that can't be had is a no.
func (p *potok) until(ctx context.Context, what string, ask func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, p.b.timeout)
	defer cancel()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for !ask(ctx) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("potok: %s: %w\n%s", what, context.Cause(ctx), tail(p.process.log))
		case <-p.process.done:
			return p.process.failed()
		case <-tick.C:
		}
	}
	return nil
}

// complete waits until everything published is in both results and can be asked for.
func (p *potok) complete(ctx context.Context) error {
	want := p.d.want.types.total()
	// The cheap question until the total is right: the other one has the brokers asked, too.
	err := p.until(ctx, fmt.Sprintf("%d events counted", want), func(ctx context.Context) bool {
		t, err := p.view.EventTypes(ctx)
		return err == nil && t.Total >= want
	})
	if err != nil {
		return err
	}
	return p.until(ctx, "no lag", func(ctx context.Context) bool {
		s, err := p.view.Stats(ctx)
		return err == nil && s.EventsCounted >= want && s.Lag == 0
	})
}

// check compares both results with what was published.
func (p *potok) check(ctx context.Context) error {
	c := p.d.want.check()
	for u, err := range p.view.AllUsers(ctx, client.UsersQuery{Limit: 1000, Sort: client.ByUserID, IncludeAll: true}) {
		if err != nil {
			return fmt.Errorf("list users: %w", err)
		}
		r := row{id: u.UserID, count: u.EventCount, events: u.Events}
		if u.Name != nil && u.Email != nil {
			r.name, r.email = *u.Name, *u.Email
		}
		c.user(r)
	}
	t, err := p.view.EventTypes(ctx)
	if err != nil {
		return fmt.Errorf("event types: %w", err)
	}
	for _, row := range t.Types {
		c.kind(row.Event, row.Count)
	}
	return c.wrong(true)
}

// measurePotok lets Potok do all of it once, as it comes.
func measurePotok(ctx context.Context, b *bench, d *data, extra ...string) (m measurement, err error) {
	m.Program = programPotok
	p, err := b.newPotok(d)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, p.remove(ctx)) }()
	meter, err := b.meter()
	if err != nil {
		return m, err
	}
	if err := p.start(ctx, "run", extra...); err != nil {
		return m, err
	}
	if err := p.complete(ctx); err != nil {
		return m, err
	}
	if err := meter.read(&m, p.process); err != nil {
		return m, err
	}
	if m.Topics, err = b.sizeOf(ctx, p.prefix); err != nil {
		return m, err
	}
	wrong := p.check(ctx)
	if wrong != nil && !errors.Is(wrong, errWrong) {
		return m, wrong
	}
	m.Exact = wrong == nil
	if m.LiveRows, err = b.liveRows(ctx, p.prefix); err != nil {
		return m, err
	}
	// What stays: with everything flushed that a stop flushes.
	if err := p.stop(os.Interrupt); err != nil {
		return m, err
	}
	if m.Disk, err = treeSize(p.state()); err != nil {
		return m, err
	}
	return m, wrong
}

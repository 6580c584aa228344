//go:build unix

// Command chaos runs Potok as an operator would hate to see it run: several processes on a real Kafka broker, under load, while
// it kills, stops, cuts off and restarts them, the broker and their disks; then it compares what the view serves with what was
// published. See README.md beside this file.
//
// A run with a seed draws the same faults and the same messages again. When things happen is not the same: processes and a
// broker are no simulation.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// The exit codes.
const (
	exitDone   = 0
	exitBroken = 1 // the harness itself failed
	exitUse    = 2
	exitWrong  = 3 // Potok did something wrong
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are the command's flags.
type options struct {
	seed       uint64
	seeds      int
	duration   time.Duration
	rate       int
	users      int
	partitions int
	instances  int
	session    time.Duration
	compaction time.Duration
	quiet      time.Duration
	deadline   time.Duration
	parallel   int
	faults     string
	txn        bool
	race       bool
	keep       bool
	reuse      bool
	verbose    bool
	standby    bool
	out        string
	potok      string
	measure    string
	rows       int
	outage     time.Duration
	repeat     int
}

func defaults() options {
	return options{
		seed: 1, seeds: 1, duration: time.Minute, rate: 1500, users: 3000, partitions: 8, instances: 3, session: 8 * time.Second, compaction: 45 * time.Second,
		quiet: time.Minute, deadline: 90 * time.Second, parallel: 2, txn: true, rows: 100_000, outage: 3 * time.Minute, repeat: 1,
	}
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := defaults()
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Uint64Var(&o.seed, "seed", o.seed, "of messages and faults")
	f.IntVar(&o.seeds, "seeds", o.seeds, "how many seeds to run, one after the other, from -seed on")
	f.DurationVar(&o.duration, "duration", o.duration, "of the faults of one seed; the checks come on top")
	f.IntVar(&o.rate, "rate", o.rate, "messages a second")
	f.IntVar(&o.users, "users", o.users, "user ids")
	f.IntVar(&o.partitions, "partitions", o.partitions, "of Potok's topics")
	f.IntVar(&o.instances, "instances", o.instances, "of potok process")
	f.DurationVar(&o.session, "session", o.session, "session time-out of the instances")
	f.DurationVar(&o.compaction, "compaction-lag", o.compaction, "how long compaction leaves rows alone: the time in which a stale row has to be repaired")
	f.DurationVar(&o.quiet, "quiet", o.quiet, "how long faults go on before a check in between")
	f.DurationVar(&o.deadline, "deadline", o.deadline, "for lag to become 0 when all is quiet")
	f.IntVar(&o.parallel, "parallel", o.parallel, "faults at a time")
	f.StringVar(&o.faults, "faults", "", "only these, comma separated; \"list\" shows them")
	f.BoolVar(&o.txn, "txn", o.txn, "publish some of the messages in transactions, and abort some of those")
	f.BoolVar(&o.standby, "standby", false, "all instances run with --standby; else every other one, with even seeds")
	f.BoolVar(&o.race, "race", false, "build potok with the race detector")
	f.BoolVar(&o.keep, "keep", false, "keep the logs of runs that went well, too")
	f.BoolVar(&o.reuse, "reuse", false, "use one broker for all seeds")
	f.BoolVar(&o.verbose, "v", false, "print the fault log as it is written")
	f.StringVar(&o.out, "out", "", "`directory` of logs and data; a new one for temporary files by default")
	f.StringVar(&o.potok, "potok", "", "`file` of the program; built from this module by default")
	f.StringVar(&o.measure, "measure", "", "measure instead: restart, kill, takeover, outage, comma separated")
	f.IntVar(&o.rows, "rows", o.rows, "rows of the tables when a take-over is measured")
	f.DurationVar(&o.outage, "outage", o.outage, "how long the broker is down when an outage is measured")
	f.IntVar(&o.repeat, "repeat", o.repeat, "how often to measure")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err != nil:
		return exitUse
	case f.NArg() > 0:
		fmt.Fprintf(stderr, "chaos: unknown argument %q\n", f.Arg(0))
		return exitUse
	}
	if o.faults == "list" {
		for _, k := range kinds() {
			fmt.Fprintf(stdout, "%-20s %s\n", k.name, k.what)
		}
		return exitDone
	}
	if err := o.validate(); err != nil {
		fmt.Fprintf(stderr, "chaos: %v\n", err)
		return exitUse
	}
	ok, err := execute(ctx, o, stdout)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "chaos: %v\n", err)
		return exitBroken
	case !ok:
		return exitWrong
	default:
		return exitDone
	}
}

func (o *options) validate() error {
	known := map[string]bool{}
	for _, k := range kinds() {
		known[k.name] = true
	}
	for _, name := range list(o.faults) {
		if !known[name] {
			return fmt.Errorf("no fault %q: -faults list shows them", name)
		}
	}
	for _, name := range list(o.measure) {
		if measurements[name] == nil {
			return fmt.Errorf("no measurement %q: use restart, kill, takeover, outage", name)
		}
	}
	if o.instances < 2 || o.instances > maxInstances-2 {
		return fmt.Errorf("-instances %d: from 2 to %d", o.instances, maxInstances-2)
	}
	return nil
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// execute runs the seeds or the measurements. ok is false when Potok did something wrong; err is the harness's own trouble.
func execute(ctx context.Context, o options, stdout io.Writer) (ok bool, err error) {
	w, err := newWorkshop(ctx, o, stdout)
	if err != nil {
		return false, err
	}
	defer w.close()
	if o.measure != "" {
		return w.measureAll(ctx)
	}
	all := new(summary)
	for i := range o.seeds {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		s, err := w.seed(ctx, o.seed+uint64(i))
		if err != nil {
			return false, fmt.Errorf("seed %d: %w", o.seed+uint64(i), err)
		}
		all.add(s)
		if len(s.wrong) == 0 {
			fmt.Fprintf(stdout, "seed %d: well; %s\n", s.seeds[0], s.line())
		}
	}
	fmt.Fprintf(stdout, "\n%s", all)
	return len(all.wrong) == 0, nil
}

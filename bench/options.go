package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are the flags. Every command has those of the data; the others belong to the commands that name them.
type options struct {
	plan
	runs      int
	warmups   int // throughput, growth: runs before those that count
	with      []string
	bootstrap string
	dir       string
	keep      bool
	potok     string
	flagsOf   string // for `potok run`
	javaOpts  string
	json      string
	timeout   time.Duration

	rates       []int         // latency: events a second
	duration    time.Duration // latency, queries: of one measurement
	warmup      time.Duration
	linger      time.Duration
	samples     int   // latency: tracked events a second
	httpSamples int   // of those, asked for over HTTP
	backlog     int   // restart
	factor      int   // growth
	counts      []int // growth: partitions
	writeRate   int
	getRate     int
	pageRate    int
	apart       string   // latency, queries: the command that starts the processors apart from the view; empty: one process
	clients     int      // clients: streams
	stalled     int      // of those, how many never read
	against     []string // compare: other builds
}

func defaults(command string) options {
	o := options{
		plan:        plan{users: 100_000, events: 2_000_000, partitions: 4, seed: 1},
		runs:        3,
		warmups:     1,
		with:        []string{programPotok, programEOS, programALO, programScan},
		javaOpts:    "-Xms256m -Xmx1g -XX:+UseParallelGC",
		timeout:     30 * time.Minute,
		rates:       []int{1000, 5000, 20_000},
		duration:    time.Minute,
		warmup:      10 * time.Second,
		linger:      time.Millisecond,
		samples:     100,
		httpSamples: 20,
		backlog:     500_000,
		factor:      10,
		counts:      []int{16, 64},
		writeRate:   5000,
		getRate:     2000,
		pageRate:    10,
		clients:     1000,
		stalled:     10,
	}
	switch command {
	case "latency":
		o.events = 200_000
	case "compare":
		o.duration = 30 * time.Second
	case "growth":
		o.with, o.runs = []string{programPotok}, 1
	case "queries":
		o.users, o.events, o.cover = 1_000_000, 2_000_000, true
		o.linger = 10 * time.Millisecond // franz-go's own: when an event arrives is not measured here
	case "clients":
		o.users, o.events, o.duration, o.cover = 10_000, 10_000, 30*time.Second, true
	}
	return o
}

// parse reads a command's flags. What is wrong with them has been written to stderr when it returns an error; with
// flag.ErrHelp, the help has.
func parse(command string, args []string, stderr io.Writer) (options, error) {
	o := defaults(command)
	f := flag.NewFlagSet("bench "+command, flag.ContinueOnError)
	f.SetOutput(stderr)
	o.flags(f, command)
	if err := f.Parse(args); err != nil {
		return o, err
	}
	err := o.validate(command)
	if f.NArg() > 0 {
		err = errors.Join(err, fmt.Errorf("unknown argument %q", f.Arg(0)))
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return o, errUse
	}
	return o, nil
}

func (o *options) flags(f *flag.FlagSet, command string) {
	f.IntVar(&o.users, "users", o.users, "registered users")
	f.IntVar(&o.events, "events", o.events, "events on the topic")
	f.IntVar(&o.partitions, "partitions", o.partitions, "of the raw topics")
	f.Uint64Var(&o.seed, "seed", o.seed, "of the data: the same seed gives the same records in the same places")
	f.Float64Var(&o.skew, "skew", o.skew, "`share` of the events that 10 users make, 0 to 1")
	f.StringVar(&o.bootstrap, "bootstrap-servers", "", "use this broker (`host:port`) instead of starting one; its CPU time and writes can't be measured then")
	f.StringVar(&o.dir, "dir", "", "`directory` for topics and state; by default one in the user's cache directory")
	f.BoolVar(&o.keep, "keep", false, "leave that directory when done: logs, topics, state")
	f.StringVar(&o.potok, "potok", "", "run this `binary` instead of building one")
	f.StringVar(&o.flagsOf, "potok-flags", "", "more `flags` for potok run, separated by blanks, such as --metrics-listen=127.0.0.1:9000 for profiles")
	f.StringVar(&o.json, "json", "", "write all figures of all runs to this `file`, too")
	f.DurationVar(&o.timeout, "timeout", o.timeout, "give up when a program is not done after so long")
	if command == "throughput" || command == "growth" || command == "restart" {
		f.IntVar(&o.runs, "runs", o.runs, "how often each is measured; the tables have medians")
	}
	if command == "throughput" || command == "growth" {
		f.IntVar(&o.warmups, "warmup-runs", o.warmups, "runs of each before those that count: a broker that has just been started compiles what it runs")
		f.Func("with", "programs, comma separated, of "+strings.Join(programNames(), ",")+" (default "+strings.Join(o.with, ",")+")", func(s string) error {
			o.with = strings.Split(s, ",")
			return nil
		})
		f.StringVar(&o.javaOpts, "java-opts", o.javaOpts, "`options` of Kafka Streams' virtual machine")
	}
	if command == "latency" || command == "queries" || command == "clients" || command == "compare" {
		f.DurationVar(&o.duration, "duration", o.duration, "of each measurement")
		f.DurationVar(&o.warmup, "warmup", o.warmup, "before each measurement, under the same load")
		f.DurationVar(&o.linger, "linger", o.linger, "of the publisher; a part of each latency")
	}
	if command == "latency" || command == "queries" {
		f.StringVar(&o.apart, "apart", "", "run the processors and the view in a process each, and not both in one, and the processors by this `command`, such as 'nice -n 10'")
	}
	switch command {
	case "restart":
		f.IntVar(&o.backlog, "backlog", o.backlog, "events that are published while it is stopped")
	case "latency":
		f.Func("rates", "events a second, comma separated (default 1000,5000,20000)", numbers(&o.rates))
		f.IntVar(&o.samples, "samples", o.samples, "events a second whose way is followed over the stream")
		f.IntVar(&o.httpSamples, "http-samples", o.httpSamples, "of those, how many a second are asked for over HTTP every 2 ms")
	case "growth":
		f.IntVar(&o.factor, "factor", o.factor, "how many times the users and events")
		f.Func("partition-counts", "of the raw topics, comma separated (default 16,64)", numbers(&o.counts))
	case "clients":
		f.IntVar(&o.writeRate, "write-rate", o.writeRate, "events a second that come in")
		f.IntVar(&o.clients, "clients", o.clients, "streams that are open at the same time")
		f.IntVar(&o.stalled, "stalled", o.stalled, "of those, how many never read")
	case "compare":
		f.IntVar(&o.writeRate, "write-rate", o.writeRate, "events a second that come in when the backlog is counted")
		f.Func("against", "`binaries` of other builds, comma separated", func(s string) error {
			for binary := range strings.SplitSeq(s, ",") {
				path, err := filepath.Abs(binary) // it runs in a directory of its own
				if err != nil {
					return err
				}
				o.against = append(o.against, path)
			}
			return nil
		})
	case "queries":
		f.IntVar(&o.writeRate, "write-rate", o.writeRate, "events a second that come in")
		f.IntVar(&o.getRate, "get-rate", o.getRate, "requests a second for one user")
		f.IntVar(&o.pageRate, "page-rate", o.pageRate, "requests a second for each kind of page")
	}
}

// numbers parses a list of positive integers.
func numbers(to *[]int) func(string) error {
	return func(s string) error {
		var list []int
		for part := range strings.SplitSeq(s, ",") {
			n, err := strconv.Atoi(part)
			if err != nil || n < 1 {
				return fmt.Errorf("%q is not a positive number", part)
			}
			list = append(list, n)
		}
		*to = list
		return nil
	}
}

// validate reports every problem at once.
func (o *options) validate(command string) error {
	var errs []error
	for _, v := range []struct {
		name string
		n    int
	}{
		{"users", o.users},
		{"events", o.events},
		{"partitions", o.partitions},
		{"runs", o.runs},
		{"samples", o.samples},
		{"backlog", o.backlog},
		{"factor", o.factor},
		{"write-rate", o.writeRate},
		{"get-rate", o.getRate},
		{"page-rate", o.pageRate},
		{"clients", o.clients},
	} {
		if v.n < 1 {
			errs = append(errs, fmt.Errorf("--%s must be at least 1", v.name))
		}
	}
	if !(o.skew >= 0 && o.skew <= 1) {
		errs = append(errs, errors.New("--skew must be from 0 to 1"))
	}
	if o.skew > 0 && o.users < hotUsers {
		errs = append(errs, fmt.Errorf("--skew wants at least %d users", hotUsers))
	}
	if o.warmups < 0 {
		errs = append(errs, errors.New("--warmup-runs must not be negative"))
	}
	if o.httpSamples < 0 || o.httpSamples > o.samples {
		errs = append(errs, errors.New("--http-samples must be from 0 to --samples"))
	}
	if o.apart != "" && o.flagsOf != "" {
		errs = append(errs, errors.New("--potok-flags are for potok run, which --apart does not run"))
	}
	if command == "compare" && len(o.against) == 0 {
		errs = append(errs, errors.New("--against is missing: the builds to compare this one with"))
	}
	if o.stalled < 0 || o.stalled > o.clients {
		errs = append(errs, errors.New("--stalled must be from 0 to --clients"))
	}
	for _, r := range o.rates {
		if r < o.samples {
			errs = append(errs, fmt.Errorf("--rates: %d is less than --samples", r))
		}
	}
	if o.duration <= 0 || o.warmup < 0 || o.linger < 0 || o.timeout <= 0 {
		errs = append(errs, errors.New("durations must be positive"))
	}
	for _, name := range o.with {
		if !slices.Contains(programNames(), name) {
			errs = append(errs, fmt.Errorf("--with: unknown program %q", name))
		}
	}
	return errors.Join(errs...)
}

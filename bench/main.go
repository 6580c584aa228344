// Command bench measures Potok on a real Kafka broker, beside Kafka Streams and beside a consumer that only scans. It starts
// the broker, fills the topics, runs the programs one after the other, checks every result completely, and prints tables. See
// README.md beside this file for what each figure means.
//
// The figures of processes (CPU, memory, bytes written) come from /proc and are missing where there is none.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUse    = 2
	exitWrong  = 3 // a program's result is not what was published
)

// errWrong means that everything ran and a result is not exactly right.
var errWrong = errors.New("a result is wrong")

// errUse means that the command line is not understood; what is wrong with it has been said.
var errUse = errors.New("wrong use")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code) // the only os.Exit
}

const helpText = `Usage: go run ./bench COMMAND [flags]

  throughput   Potok, Kafka Streams and a bare consumer on the same topics, one after the other
  latency      from publishing an event to seeing it, over HTTP and over the stream
  restart      warm, killed, cold, and with a backlog
  growth       10 times the users, 10 times the events, 16 and 64 partitions
  queries      against a view with many users under a write load
  clients      many streams, some of which never read, under a write load
  compare      CPU time of this build and others, which do the same at the same time

COMMAND --help lists the flags.
`

// parts are what this binary runs itself as while it measures.
var parts = map[string]func(ctx context.Context, args []string) error{
	scanCommand:    scan,
	controlCommand: control,
}

// command runs one of the commands and returns the exit code.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	commands := map[string]func(context.Context, *bench) error{
		"throughput": throughput,
		"latency":    latency,
		"restart":    restart,
		"growth":     growth,
		"queries":    queries,
		"clients":    clients,
		"compare":    compare,
	}
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	if part := parts[name]; part != nil {
		if err := part(ctx, args[1:]); err != nil {
			fmt.Fprintln(stderr, "bench:", err)
			return exitFailed
		}
		return exitDone
	}
	run, ok := commands[name]
	if !ok {
		fmt.Fprint(stderr, helpText)
		return exitUse
	}
	o, err := parse(name, args[1:], stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitDone
	case err != nil:
		return exitUse
	}
	b, err := open(ctx, o, stdout, stderr)
	if err == nil {
		err = errors.Join(run(ctx, b), b.close())
	}
	switch {
	case errors.Is(err, errWrong):
		fmt.Fprintln(stderr, "bench:", err)
		return exitWrong
	case err != nil:
		fmt.Fprintln(stderr, "bench:", err)
		return exitFailed
	}
	return exitDone
}

// Command potok joins a stream of users with a stream of what they do, keeps exact counts of it, and serves them.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

func main() {
	if os.Getenv("GOGC") == "" {
		// Most of what is allocated lives as long as a batch: more collections than by default cost little, and save a third of the memory.
		debug.SetGCPercent(40)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go calmMonitor()
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code) // the only os.Exit
}

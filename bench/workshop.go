package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/test/repository"
)

// bench is one run of the command: a broker, a directory, the binary of Potok. Its methods are for one goroutine, but for
// those of its Kafka clients.
type bench struct {
	options
	root    string // of the repository
	scratch string // for this run alone
	name    string // begins the names of all topics and groups; of this run alone, too
	env     []string
	broker  *broker
	kafka   *kgo.Client
	admin   *kadm.Client
	stdout  io.Writer
	stderr  io.Writer
	records []any // what --json gets
	serial  int   // of directories and topic prefixes
}

// open starts or finds the broker and builds Potok. What it has started is stopped again if it fails.
func open(ctx context.Context, o options, stdout, stderr io.Writer) (_ *bench, err error) {
	b := &bench{options: o, env: clean(os.Environ()), stdout: stdout, stderr: stderr}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.root, err = repository.Root(); err != nil {
		return nil, err
	}
	if b.dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("no cache directory, use --dir: %w", err)
		}
		b.dir = filepath.Join(cache, "potok-bench")
	}
	if b.dir, err = filepath.Abs(b.dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return nil, err
	}
	if b.scratch, err = os.MkdirTemp(b.dir, "run-"); err != nil {
		return nil, err
	}
	b.name = "bench-" + strings.TrimPrefix(filepath.Base(b.scratch), "run-")
	if b.potok == "" {
		b.logf("building potok")
		b.potok = filepath.Join(b.scratch, "potok")
		build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", b.potok, "./cmd/potok")
		build.Dir = b.root
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go build ./cmd/potok: %w\n%s", err, out)
		}
	} else if b.potok, err = filepath.Abs(b.potok); err != nil { // it runs in a directory of its own
		return nil, err
	}
	if b.broker, err = startBroker(ctx, b); err != nil {
		return nil, err
	}
	// By default it answers from what it knew 5 s ago: without the topics that a program has just made.
	b.kafka, err = kgo.NewClient(kgo.SeedBrokers(b.broker.servers...), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("kafka client: %w", err)
	}
	b.admin = kadm.NewClient(b.kafka)
	return b, nil
}

// close stops the broker, writes the figures and removes what is not kept.
func (b *bench) close() error {
	var errs []error
	if b.kafka != nil {
		if b.bootstrap != "" && !b.keep {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			errs = append(errs, b.drop(ctx, b.name))
			cancel()
		}
		b.kafka.Close()
	}
	if b.broker != nil {
		errs = append(errs, b.broker.stop())
	}
	if b.json != "" && len(b.records) > 0 {
		text, err := json.MarshalIndent(b.records, "", "  ")
		if err == nil {
			err = os.WriteFile(b.json, append(text, '\n'), 0o666)
		}
		errs = append(errs, err)
	}
	switch {
	case b.scratch == "":
	case b.keep:
		b.logf("everything is in %s", b.scratch)
	default:
		errs = append(errs, os.RemoveAll(b.scratch))
	}
	return errors.Join(errs...)
}

// logf tells the person who waits how far it is.
func (b *bench) logf(format string, args ...any) {
	fmt.Fprintf(b.stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// record keeps a figure for --json.
func (b *bench) record(v any) { b.records = append(b.records, v) }

// raw begins the names of the topics that hold what is published, and of nothing else.
func (b *bench) raw() string { return b.name + "-raw" }

// fresh returns a new directory and a name that no topic has yet.
func (b *bench) fresh(what string) (dir, prefix string, err error) {
	b.serial++
	prefix = fmt.Sprintf("%s-%s-%d", b.name, what, b.serial)
	dir = filepath.Join(b.scratch, prefix)
	return dir, prefix, os.MkdirAll(dir, 0o700)
}

// clean takes out what would change Potok's settings: it is measured as it comes.
func clean(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		return strings.HasPrefix(v, "POTOK_") && !strings.HasPrefix(v, "POTOK_KAFKA_") || strings.HasPrefix(v, "KAFKA_")
	})
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// broker is the Kafka broker that everything runs on.
type broker struct {
	servers []string
	pid     int // 0: not ours, and nothing of it can be measured
	dir     string
	script  string
	env     []string
}

// startBroker starts one by test/kafka/kafka.sh, unless there is one to be used.
func startBroker(ctx context.Context, b *bench) (*broker, error) {
	if b.bootstrap != "" {
		return &broker{servers: strings.Split(b.bootstrap, ",")}, nil
	}
	k := &broker{dir: filepath.Join(b.scratch, "broker"), script: filepath.Join(b.root, "test", "kafka", "kafka.sh"), env: b.env}
	b.logf("starting the broker")
	// A deleted topic's files stay for a minute by default: several runs' worth of data.
	out, err := k.run(ctx, "start", k.dir, "--until-exit", strconv.Itoa(os.Getpid()), "--set", "file.delete.delay.ms=5000")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(out) {
		if servers, ok := strings.CutPrefix(strings.TrimSpace(line), "KAFKA_BOOTSTRAP_SERVERS="); ok {
			k.servers = strings.Split(servers, ",")
		}
	}
	text, err := os.ReadFile(filepath.Join(k.dir, "pid"))
	if err == nil {
		k.pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	if err == nil && len(k.servers) == 0 {
		err = fmt.Errorf("kafka.sh printed no address: %q", out)
	}
	if err != nil {
		return nil, errors.Join(err, k.stop())
	}
	return k, nil
}

// stop ends the broker if it is ours. Its data are not needed any more, so it need not be in an orderly way.
func (k *broker) stop() error {
	if k.dir == "" {
		return nil
	}
	// Not the command's context, which may be why we stop.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := k.run(ctx, "kill", k.dir)
	return err
}

func (k *broker) run(ctx context.Context, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "bash", append([]string{k.script}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = k.env, &stdout, &stderr, time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kafka.sh %s: %w\n%s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}

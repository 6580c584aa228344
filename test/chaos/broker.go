//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// broker is a Kafka broker of test/kafka/kafka.sh. Beside the harness's own listener it has one for each instance, with a
// [link] in front of it, so that each instance's network can be cut or slowed down apart.
type broker struct {
	dir    string
	script string
	addr   string
	links  []*link // one for each instance

	mu     sync.Mutex
	down   bool
	lastUp time.Time // when it came up last
}

// maxInstances bounds the instances at any time, those that join for a while included.
const maxInstances = 6

// brokerTimeout bounds one run of the script.
const brokerTimeout = 3 * time.Minute

// startBroker runs a new broker with its data in dir; it ends with this process at the latest.
func startBroker(ctx context.Context, root, dir string) (*broker, error) {
	b := &broker{dir: dir, script: filepath.Join(root, "test", "kafka", "kafka.sh")}
	ports, err := freePorts(2 + maxInstances)
	if err != nil {
		return nil, err
	}
	own, controller := ports[0], ports[1]
	listeners := []string{fmt.Sprintf("CLIENT://127.0.0.1:%d", own)}
	advertised := []string{listeners[0]}
	protocols := []string{"CLIENT:PLAINTEXT", "CONTROLLER:PLAINTEXT"}
	for i, behind := range ports[2:] {
		l, err := newLink(fmt.Sprintf("127.0.0.1:%d", behind))
		if err != nil {
			return nil, err
		}
		b.links = append(b.links, l)
		name := fmt.Sprintf("LINK%d", i)
		listeners = append(listeners, fmt.Sprintf("%s://127.0.0.1:%d", name, behind))
		advertised = append(advertised, name+"://"+l.addr)
		protocols = append(protocols, name+":PLAINTEXT")
	}
	listeners = append(listeners, fmt.Sprintf("CONTROLLER://127.0.0.1:%d", controller))
	advertised = append(advertised, fmt.Sprintf("CONTROLLER://127.0.0.1:%d", controller))
	args := []string{"--port", strconv.Itoa(own)}
	for key, value := range map[string]string{
		"controller.quorum.voters":       fmt.Sprintf("1@127.0.0.1:%d", controller),
		"listeners":                      strings.Join(listeners, ","),
		"advertised.listeners":           strings.Join(advertised, ","),
		"listener.security.protocol.map": strings.Join(protocols, ","),
		"log.cleaner.backoff.ms":         "300", // tables compact while the run goes on
		"log.cleaner.threads":            "1",
		"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
	} {
		args = append(args, "--set", key+"="+value)
	}
	if err := b.start(ctx, args...); err != nil {
		b.closeLinks()
		return nil, err
	}
	return b, nil
}

// start starts the broker, or starts it again on its data and port.
func (b *broker) start(ctx context.Context, args ...string) error {
	out, err := b.run(ctx, "start", append([]string{b.dir, "--until-exit", strconv.Itoa(os.Getpid())}, args...)...)
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "KAFKA_BOOTSTRAP_SERVERS="); ok {
			b.addr = v
		}
	}
	for _, l := range b.links {
		if err := l.listen(); err != nil {
			return err
		}
	}
	b.mu.Lock()
	b.down, b.lastUp = false, time.Now()
	b.mu.Unlock()
	return nil
}

// kill ends it as a power cut would, but for what the system has in its caches.
func (b *broker) kill(ctx context.Context) error {
	b.mu.Lock()
	b.down = true
	b.mu.Unlock()
	for _, l := range b.links {
		l.deafen()
	}
	_, err := b.run(ctx, "kill", b.dir)
	return err
}

// signal sends the broker a signal: SIGSTOP and SIGCONT.
func (b *broker) signal(sig syscall.Signal) error {
	text, err := os.ReadFile(filepath.Join(b.dir, "pid"))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("broker's process id: %w", err)
	}
	b.mu.Lock()
	if b.down = sig == syscall.SIGSTOP; !b.down {
		b.lastUp = time.Now()
	}
	b.mu.Unlock()
	return syscall.Kill(pid, sig)
}

// troubled says whether the broker was away at any time since then: what ends for want of a broker is excused.
func (b *broker) troubled(since time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.down || b.lastUp.After(since)
}

func (b *broker) close() {
	_, _ = b.run(context.Background(), "kill", b.dir) // it ends with this process in any case
	b.closeLinks()
}

func (b *broker) closeLinks() {
	for _, l := range b.links {
		l.close()
	}
}

func (b *broker) run(ctx context.Context, command string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "bash", append([]string{b.script, command}, args...)...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the harness, which then ends the broker
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kafka.sh %s: %w\n%s", command, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}

// freePorts returns ports on which nobody listens, below those that systems give to outgoing connections: such a
// connection could take a stopped process's port before its restart.
func freePorts(n int) ([]int, error) {
	var ports []int
	var held []net.Listener
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for port := 20000 + int(time.Now().UnixNano()/1000)%10000; len(ports) < n; port++ {
		if port >= 32000 {
			return nil, fmt.Errorf("%d free ports: found %d", n, len(ports))
		}
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			held, ports = append(held, l), append(ports, port)
		}
	}
	return ports, nil
}

//go:build linux

package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/potok-streams/potok/internal/testkafka"
	"github.com/potok-streams/potok/test/loopback"
)

// TestDiskFull fills the disk of one of three instances. That one ends by itself and says where and what to do, the other two
// do its work, and every number stays exact; with room again it comes back.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small disk")
	}
	broker := testkafka.Start(t)
	disk := smallDisk(t, 32<<20)
	potok := buildPotok(t, "disk-full")
	env := reference(t, broker, "disk-full")
	p := newPublications(t, env)

	full := startProcess(t, potok, env, disk)
	full.ready(t) // before the others are there: the partitions that it keeps in the end are on its disk
	others := []*process{startProcess(t, potok, env, t.TempDir()), startProcess(t, potok, env, t.TempDir())}
	view := startView(t, potok, env)
	for _, o := range others {
		o.ready(t)
	}
	p.publish(t, 1000, 5000)
	p.settled(t, view)

	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	p.publish(t, 1000, 20000)
	full.endsForWantOfRoom(t, disk)
	p.settled(t, view)

	// On a disk that is full from the start not one table can be opened. That must end an instance, too: one that tried again and
	// again would keep its partitions.
	fill(t, filler) // what was there may have been removed
	empty := startProcess(t, potok, env, filepath.Join(disk, "empty"), "--instance-id", "empty")
	empty.endsForWantOfRoom(t, disk)
	p.publish(t, 100, 5000)
	p.settled(t, view)

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	full = startProcess(t, potok, env, disk)
	full.ready(t)
	p.publish(t, 100, 5000)
	p.settled(t, view)
	for _, o := range append(others, full, view) {
		o.stop(t)
	}
}

// diskDeadline bounds every wait of this test: a takeover waits for the session time-out.
const diskDeadline = time.Minute

// smallDisk mounts a disk of so many bytes.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("potok-test", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("size=%d,mode=700", bytes)); err != nil {
		t.Skipf("no small disk can be mounted: %v", err)
	}
	t.Cleanup(func() { // the processes on it have ended: their cleanups came later and run before this one
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fill makes a file longer until the disk takes no more of it.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 1 << 10, 1} { // the large ones for speed, the small ones for the last corner
		for err == nil {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("fill the disk: %v", err)
		}
		err = nil
	}
}

// process is a potok process that runs on its own.
type process struct {
	cmd   *exec.Cmd
	url   string
	ended chan struct{}
	log   bytes.Buffer // to be read when it has ended
	err   error        // as log
}

func startProcess(t *testing.T, potok string, env map[string]string, dir string, more ...string) *process {
	t.Helper()
	address := loopback.FreeAddress(t)
	return launch(t, potok, env, dir, address, append([]string{"process", "--metrics-listen", address, "--session-timeout", "8s"}, more...)...)
}

func startView(t *testing.T, potok string, env map[string]string) *process {
	t.Helper()
	address := loopback.FreeAddress(t)
	return launch(t, potok, env, t.TempDir(), address, "view", "--listen", address)
}

func launch(t *testing.T, potok string, env map[string]string, dir, address string, args ...string) *process {
	t.Helper()
	env = maps.Clone(env)
	env["POTOK_DATA_DIR"] = dir
	p := &process{cmd: exec.Command(potok, args...), url: "http://" + address, ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Stderr = environment(env), &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a killed test runs no cleanup
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has ended, most likely
		<-p.ended
		if t.Failed() {
			t.Logf("log of potok %s on %s:\n%s", args[0], dir, &p.log)
		}
	})
	return p
}

// ready waits until the process has its partitions and their tables.
func (p *process) ready(t *testing.T) {
	t.Helper()
	within(t, "potok is ready", func() error { return p.get("/readyz", nil) })
}

// endsForWantOfRoom waits until the process has ended, which it must do in order and by itself, and looks at what it says last.
func (p *process) endsForWantOfRoom(t *testing.T, dir string) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(diskDeadline):
		t.Fatalf("potok goes on with its disk full; /readyz: %v", p.get("/readyz", nil))
	}
	lines := strings.Split(strings.TrimSpace(p.log.String()), "\n")
	last := lines[len(lines)-1]
	if exit := (*exec.ExitError)(nil); !errors.As(p.err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("potok with a full disk ended with %v, want exit code 1", p.err)
	}
	for _, want := range []string{"potok: ", dir, "no space left on device", "make room on the disk of --data-dir and start again"} {
		if !strings.Contains(last, want) {
			t.Errorf("potok with a full disk says last: %q, which lacks %q", last, want)
		}
	}
}

// stop stops the process as an operator does; it must end well.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("potok has ended before it was stopped: %v", err)
	}
	if <-p.ended; p.err != nil {
		t.Errorf("potok ended with %v", p.err)
	}
}

// get reads an answer into a value, if that is not nil.
func (p *process) get(path string, into any) error {
	_, err := p.getWithLag(path, into)
	return err
}

func (p *process) getWithLag(path string, into any) (lag string, err error) {
	resp, err := http.Get(p.url + path)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.1000s", path, resp.Status, body)
	}
	if err == nil && into != nil {
		err = json.Unmarshal(body, into)
	}
	return resp.Header.Get("Potok-Lag"), err
}

// within waits until f returns nil.
func within(t *testing.T, what string, f func() error) {
	t.Helper()
	for end := time.Now().Add(diskDeadline); ; time.Sleep(100 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s: %v", what, diskDeadline, err)
		}
	}
}

// publications is what was published, and with that what the answers must be.
type publications struct {
	client        *kgo.Client
	users, events string // topics
	rnd           *rand.Rand
	known         map[string]bool
	counts        map[string]uint64
}

func newPublications(t *testing.T, env map[string]string) *publications {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(env["KAFKA_BOOTSTRAP_SERVERS"], ",")...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &publications{
		client: cl, users: env["POTOK_USERS_TOPIC"], events: env["POTOK_EVENTS_TOPIC"], rnd: rand.New(rand.NewPCG(1, 1)),
		known: map[string]bool{}, counts: map[string]uint64{},
	}
}

// publish publishes users, and events of users that are known and of others.
func (p *publications) publish(t *testing.T, users, events int) {
	t.Helper()
	var records []*kgo.Record
	add := func(topic string, message map[string]string) {
		message["event_timestamp"] = "2026-11-22 10:00:00"
		value, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, &kgo.Record{Topic: topic, Value: value})
	}
	for range users {
		id := fmt.Sprint("u", p.rnd.IntN(4000))
		p.known[id] = true
		add(p.users, map[string]string{"user_id": id, "name": "Имя " + id, "email": id + "@mail.ru"})
	}
	for range events {
		id := fmt.Sprint("u", p.rnd.IntN(4000))
		p.counts[id]++
		add(p.events, map[string]string{"user_id": id, "page": "https://example.com/", "event": fmt.Sprint("event ", p.rnd.IntN(5))})
	}
	if err := p.client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// total is what /v1/stats says of what was published.
type total struct {
	Known     int    `json:"users_known"`
	Counted   uint64 `json:"events_counted"`
	OfUnknown uint64 `json:"events_of_unknown_users"`
	Rejected  uint64 `json:"messages_rejected"`
	Lost      uint64 `json:"lost"`
}

// settled waits until everything published is in the view's answers, and compares all of them.
func (p *publications) settled(t *testing.T, view *process) {
	t.Helper()
	var got total
	within(t, "nothing is on its way", func() error {
		lag, err := view.getWithLag("/v1/stats", &got)
		if err == nil && lag != "0" {
			err = fmt.Errorf("lag is %s: %+v", lag, got)
		}
		return err
	})
	want := total{Known: len(p.known)}
	wantCounts := maps.Clone(p.counts)
	for id, n := range p.counts {
		want.Counted += n
		if !p.known[id] {
			want.OfUnknown += n
		}
	}
	for id := range p.known {
		wantCounts[id] += 0 // listed, too
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantCounts, countsOf(t, view)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

// countsOf pages through all users.
func countsOf(t *testing.T, view *process) map[string]uint64 {
	t.Helper()
	counts := map[string]uint64{}
	for cursor := ""; ; {
		var page struct {
			Users []struct {
				ID    string `json:"user_id"`
				Count uint64 `json:"event_count"`
			} `json:"users"`
			Next string `json:"next_cursor"`
		}
		if err := view.get("/v1/users?include=all&sort=user_id&limit=1000&cursor="+url.QueryEscape(cursor), &page); err != nil {
			t.Fatal(err)
		}
		for _, u := range page.Users {
			counts[u.ID] += u.Count
		}
		if cursor = page.Next; cursor == "" {
			return counts
		}
	}
}

//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// member is one potok process that is started again and again: an instance of `potok process`, or the view.
type member struct {
	name string
	job  *job
	link int // which of the broker's links it is behind; -1: none
	port int // of --metrics-listen or --listen

	mu      sync.Mutex
	dir     string
	dirs    int
	standby bool
	life    *life // nil: not running
	lives   int
}

// job is what the members of a run have in common.
type job struct {
	journal *journal
	broker  *broker
	binary  string
	dir     string   // of the run
	flags   []string // names and partitions
	session time.Duration
	tally   *logTally
}

// life is one start of a member up to its end.
type life struct {
	cmd     *exec.Cmd
	log     string
	began   time.Time
	done    chan struct{} // closed when the process is gone
	state   *os.ProcessState
	mu      sync.Mutex
	meant   bool // that it ends
	stopped bool // by SIGSTOP
}

// stopDeadline is how long a process may take to end after SIGTERM: its own deadline is 9 s.
const stopDeadline = 15 * time.Second

// slowStop is how long it takes at most when nothing is wrong.
const slowStop = 3 * time.Second

func (m *member) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", m.port, path) }

// freshDir makes the next start of the member use a directory that has never been used.
func (m *member) freshDir() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dirs++
	m.dir = filepath.Join(m.job.dir, "data", fmt.Sprintf("%s-%d", m.name, m.dirs))
}

// wipe empties the member's directory, as a lost disk would. keepID leaves the name that it has in its groups.
func (m *member) wipe(keepID bool) error {
	entries, err := os.ReadDir(m.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if keepID && e.Name() == "instance-id" {
			continue
		}
		err = errors.Join(err, os.RemoveAll(filepath.Join(m.dir, e.Name())))
	}
	return err
}

// start starts the process. When it ends without being meant to, that is wrong, and it is started again.
func (m *member) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.startLocked()
}

func (m *member) startLocked() error {
	if m.life != nil && m.life.alive() {
		return fmt.Errorf("%s is running", m.name)
	}
	m.lives++
	l := &life{log: filepath.Join(m.job.dir, "logs", fmt.Sprintf("%s.%d.log", m.name, m.lives)), began: time.Now(), done: make(chan struct{})}
	file, err := os.Create(l.log)
	if err != nil {
		return err
	}
	defer file.Close()
	address := m.job.broker.addr
	if m.link >= 0 {
		address = m.job.broker.links[m.link].addr
	}
	args := []string{"process", "--metrics-listen", fmt.Sprintf("127.0.0.1:%d", m.port), "--session-timeout", m.job.session.String()}
	if m.link < 0 {
		args = []string{"view", "--listen", fmt.Sprintf("127.0.0.1:%d", m.port)}
	} else if m.standby {
		args = append(args, "--standby")
	}
	args = append(append(args, "--data-dir", m.dir, "--log-format", "json", "--bootstrap-servers", address), m.job.flags...)
	l.cmd = exec.Command(m.job.binary, args...)
	l.cmd.Env = []string{"HOME=" + m.job.dir, "GOTRACEBACK=all"} // nothing of the surroundings
	l.cmd.Stdout, l.cmd.Stderr = file, file
	l.cmd.SysProcAttr = childAttr()
	if err := l.cmd.Start(); err != nil {
		return err
	}
	m.life = l
	go func() {
		err := l.cmd.Wait()
		l.state = l.cmd.ProcessState
		close(l.done)
		m.job.tally.read(l.log)
		l.mu.Lock()
		meant := l.meant
		l.mu.Unlock()
		if !meant {
			m.ended(l, err)
		}
	}()
	return nil
}

// ended looks into an end that nobody meant.
func (m *member) ended(l *life, err error) {
	// Only those that have just started may give up: they tell whoever started them that the settings may be wrong.
	away := m.job.broker.troubled(l.began) || m.link >= 0 && m.job.broker.links[m.link].troubled(l.began)
	if away && time.Since(l.began) < 30*time.Second {
		m.job.journal.note("%s gave up while the broker was away (%v), started again", m.name, err)
	} else {
		m.job.journal.wrong("%s ended by itself after %s: %v; log %s: %s", m.name, time.Since(l.began).Round(time.Millisecond), err, filepath.Base(l.log), lastLine(l.log))
	}
	time.Sleep(time.Second)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life == l { // nobody else has started it meanwhile
		if err := m.startLocked(); err != nil {
			m.job.journal.wrong("%s does not start: %v", m.name, err)
		}
	}
}

func lastLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	line := lines[len(lines)-1]
	return line[:min(len(line), 600)]
}

func (l *life) alive() bool {
	select {
	case <-l.done:
		return false
	default:
		return true
	}
}

func (l *life) signal(sig syscall.Signal) { _ = l.cmd.Process.Signal(sig) } // it may be gone

// now returns the present life.
func (m *member) now() *life {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.life
}

// kill ends the process with SIGKILL and waits until it is gone.
func (m *member) kill() {
	l := m.now()
	l.mu.Lock()
	l.meant = true
	l.mu.Unlock()
	l.signal(syscall.SIGKILL)
	<-l.done
	m.forget(l)
}

func (m *member) forget(l *life) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life == l {
		m.life = nil
	}
}

// stop ends the process with SIGTERM and judges how it ends.
func (m *member) stop() time.Duration {
	l := m.now()
	l.mu.Lock()
	l.meant = true
	l.mu.Unlock()
	began := time.Now()
	l.signal(syscall.SIGTERM)
	slow := time.AfterFunc(slowStop, func() { // what it waits for
		_ = os.WriteFile(l.log+".goroutines", []byte(fetch(m.url("/debug/pprof/goroutine?debug=2"))), 0o600)
	})
	defer slow.Stop()
	select {
	case <-l.done:
	case <-time.After(stopDeadline):
		l.signal(syscall.SIGQUIT) // its goroutines go to its log
		m.job.journal.wrong("%s did not end within %s of SIGTERM; log %s", m.name, stopDeadline, filepath.Base(l.log))
		select {
		case <-l.done:
		case <-time.After(5 * time.Second):
			l.signal(syscall.SIGKILL)
			<-l.done
		}
	}
	took := time.Since(began)
	if code := l.state.ExitCode(); code != 0 && took < stopDeadline {
		if began.Sub(l.began) < time.Second {
			m.job.journal.note("%s ended before it could know of SIGTERM", m.name)
		} else if m.job.broker.troubled(began.Add(-10 * time.Second)) {
			m.job.journal.note("%s ended with exit code %d after SIGTERM while the broker was away: %s", m.name, code, lastLine(l.log))
		} else {
			m.job.journal.wrong("%s ended with exit code %d, %s after SIGTERM; log %s: %s", m.name, code, took.Round(time.Millisecond), filepath.Base(l.log), lastLine(l.log))
		}
	}
	m.forget(l)
	return took
}

// freeze and thaw are SIGSTOP and SIGCONT.
func (m *member) freeze() {
	l := m.now()
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.signal(syscall.SIGSTOP)
}

func (m *member) thaw() {
	l := m.now()
	l.mu.Lock()
	l.stopped = false
	l.mu.Unlock()
	l.signal(syscall.SIGCONT)
}

func (m *member) running() bool {
	l := m.now()
	return l != nil && l.alive()
}

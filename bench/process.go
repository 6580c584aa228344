package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// stopDeadline is how long a program may take to stop before it is killed.
const stopDeadline = time.Minute

// errUnmeasured means that this system does not tell what a process has used.
var errUnmeasured = errors.New("no /proc here")

// usage is what a process has used so far.
type usage struct {
	CPU     float64 // seconds, of user and system
	Peak    int64   // bytes of memory at the highest point
	Written int64   // bytes given to the file system
}

func (u usage) since(before usage) usage {
	return usage{CPU: u.CPU - before.CPU, Peak: u.Peak, Written: u.Written - before.Written}
}

// process is a program that is being measured.
type process struct {
	cmd     *exec.Cmd
	started time.Time
	log     string
	done    chan struct{} // closed when it has ended
	err     error         // how it ended; after done
}

// start runs a program until it ends or ctx does. What it prints goes to a file in dir.
func (b *bench) start(ctx context.Context, dir, name string, args ...string) (*process, error) {
	return b.startWith(ctx, dir, nil, nil, name, args...)
}

// startWith is start with files for standard input and output; nil is none, and the log.
func (b *bench) startWith(ctx context.Context, dir string, stdin, stdout *os.File, name string, args ...string) (*process, error) {
	out, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, b.env, out, out
	if stdout != nil {
		cmd.Stdin, cmd.Stdout = stdin, stdout
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopDeadline
	p := &process{cmd: cmd, log: out.Name(), done: make(chan struct{}), started: time.Now()}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	go func() {
		p.err = cmd.Wait()
		_ = out.Close()
		close(p.done)
	}()
	return p, nil
}

// usage returns what the process has used so far.
func (p *process) usage() (usage, error) { return processUsage(p.cmd.Process.Pid) }

// failed returns why the process has ended, or nil if it runs.
func (p *process) failed() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended: %w\n%s", filepath.Base(p.cmd.Path), errors.Join(p.err, errEnded), tail(p.log))
	default:
		return nil
	}
}

var errEnded = errors.New("too early")

// stop ends the process by a signal and returns when it is gone.
func (p *process) stop(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(stopDeadline):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not stop within %s\n%s", filepath.Base(p.cmd.Path), stopDeadline, tail(p.log))
	}
	if exit := (*exec.ExitError)(nil); p.err != nil && sig != os.Kill && (!errors.As(p.err, &exit) || exit.ExitCode() > 0) {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(p.cmd.Path), p.err, tail(p.log))
	}
	return nil
}

// tail returns the end of a log.
func tail(name string) string {
	const length = 4 << 10
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-length):])
}

// treeSize returns the bytes of all files below a directory.
func treeSize(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // gone meanwhile
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if info, err := d.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	return size, err
}

//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/potok-streams/potok/test/repository"
)

// workshop is what the seeds of one command have in common: the program, the directory, and the broker if that is shared.
type workshop struct {
	options options
	stdout  io.Writer
	root    string // of the module
	dir     string
	ours    bool // the directory was made here
	binary  string
	shared  *broker
	kept    bool
}

func newWorkshop(ctx context.Context, o options, stdout io.Writer) (*workshop, error) {
	w := &workshop{options: o, stdout: stdout, dir: o.out, binary: o.potok}
	var err error
	if w.root, err = repository.Root(); err != nil {
		return nil, err
	}
	if w.dir == "" {
		w.ours = true
		w.dir, err = os.MkdirTemp("", "potok-chaos-")
	} else {
		if w.dir, err = filepath.Abs(w.dir); err == nil {
			err = os.MkdirAll(w.dir, 0o700)
		}
	}
	if err != nil {
		return nil, err
	}
	if w.binary == "" {
		w.binary = filepath.Join(w.dir, "potok")
		args := []string{"build", "-buildvcs=false", "-o", w.binary}
		if o.race {
			args = append(args, "-race")
		}
		cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/potok")...)
		cmd.Dir = w.root
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build potok: %w\n%s", err, out)
		}
	} else if w.binary, err = filepath.Abs(w.binary); err != nil {
		return nil, err
	}
	return w, nil
}

// borrow returns a broker and what gives it back.
func (w *workshop) borrow(ctx context.Context, dir string) (*broker, func(), error) {
	if !w.options.reuse {
		b, err := startBroker(ctx, w.root, filepath.Join(dir, "broker"))
		if err != nil {
			return nil, nil, err
		}
		return b, b.close, nil
	}
	if w.shared == nil {
		b, err := startBroker(ctx, w.root, filepath.Join(w.dir, "broker"))
		if err != nil {
			return nil, nil, err
		}
		w.shared = b
	}
	return w.shared, func() {}, nil
}

func (w *workshop) close() {
	if w.shared != nil {
		w.shared.close()
	}
	if !w.kept && w.ours && !w.options.keep {
		_ = os.RemoveAll(w.dir) // it is a temporary directory
	}
}

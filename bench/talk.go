package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

// talk is a process that says on its standard output how far it is, and waits on its standard input to be told to go on.
type talk struct {
	*process
	in  io.WriteCloser
	out *bufio.Reader
}

// talk starts such a process.
func (b *bench) talk(ctx context.Context, dir, name string, args ...string) (*talk, error) {
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p, err := b.startWith(ctx, dir, inRead, outWrite, name, args...)
	_ = inRead.Close()
	_ = outWrite.Close()
	if err != nil {
		_ = inWrite.Close()
		_ = outRead.Close()
		return nil, err
	}
	return &talk{process: p, in: inWrite, out: bufio.NewReaderSize(outRead, 1<<20)}, nil
}

// talkToPart starts this binary as one of its parts.
func (b *bench) talkToPart(ctx context.Context, dir, part string, args ...string) (*talk, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return b.talk(ctx, dir, self, append([]string{part}, args...)...)
}

// expect reads the next line, which has to begin with a word, and returns the rest.
func (t *talk) expect(word string) (string, error) {
	line, err := t.out.ReadString('\n')
	if err != nil {
		<-t.done
		return "", fmt.Errorf("waiting for %q: %w: %w", word, err, t.failed())
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), word)
	if !ok {
		return "", fmt.Errorf("waiting for %q: got %q", word, line)
	}
	return rest, nil
}

// end closes the conversation and kills the process if it goes on all the same.
func (t *talk) end() {
	_ = t.in.Close()
	_ = t.stop(os.Kill)
}

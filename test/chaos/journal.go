//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// journal is a run's fault log: what was done to whom, when, and what was found. Any number of goroutines may write.
type journal struct {
	mu     sync.Mutex
	file   *os.File
	echo   io.Writer // nil: none
	began  time.Time
	wrongs []string
}

func newJournal(path string, echo io.Writer) (*journal, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	return &journal{file: f, echo: echo, began: time.Now()}, nil
}

// note writes a line.
func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	line := fmt.Sprintf("%s %7.2f  %s\n", now.UTC().Format("15:04:05.000"), now.Sub(j.began).Seconds(), fmt.Sprintf(format, args...))
	_, _ = j.file.WriteString(line) // a full disk shows elsewhere
	if j.echo != nil {
		fmt.Fprint(j.echo, line)
	}
}

// wrong notes something that Potok must not do. The run goes on, and fails.
func (j *journal) wrong(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	j.note("WRONG: %s", text)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wrongs = append(j.wrongs, text)
}

func (j *journal) found() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.wrongs...)
}

func (j *journal) close() { _ = j.file.Close() }

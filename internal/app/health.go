package app

import (
	"fmt"
	"sync"
)

// Health knows how the stages of a program are. Its methods may be called by any number of goroutines.
type Health struct {
	mu     sync.Mutex
	stages []*stageHealth
}

type stageHealth struct {
	name     string
	progress func() any
	ready    bool
	failures int   // since it was last ready
	err      error // the last one

	starts, allFailures uint64
}

// Report is what [Health] says about a stage.
type Report struct {
	Stage    string `json:"stage"`
	Ready    bool   `json:"ready"`
	Failures int    `json:"failures,omitempty"` // in a row
	Error    string `json:"error,omitempty"`    // why it failed last, if it is not ready
	Progress any    `json:"progress,omitempty"`
}

func (h *Health) add(s Stage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stages = append(h.stages, &stageHealth{name: s.Name, progress: s.Progress})
}

func (h *Health) set(name string, f func(*stageHealth)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.stages {
		if s.name == name {
			f(s)
		}
	}
}

func (h *Health) starting(name string) {
	h.set(name, func(s *stageHealth) { s.ready, s.starts = false, s.starts+1 })
}

func (h *Health) ready(name string) {
	h.set(name, func(s *stageHealth) { s.ready, s.failures, s.err = true, 0, nil })
}

func (h *Health) failed(name string, err error) {
	h.set(name, func(s *stageHealth) {
		s.ready, s.failures, s.err = false, s.failures+1, err
		s.allFailures++
	})
}

func (h *Health) snapshot() []stageHealth {
	h.mu.Lock()
	defer h.mu.Unlock()
	stages := make([]stageHealth, len(h.stages))
	for i, s := range h.stages {
		stages[i] = *s
	}
	return stages
}

// State is how a stage is and has been.
type State struct {
	Stage    string
	Ready    bool
	Starts   uint64 // since the program began, the first one included
	Failures uint64 // the same
	Progress any    // as the stage reports it now, ready or not
}

// States tells how the stages are, in the order in which they start.
func (h *Health) States() []State {
	var states []State
	for _, s := range h.snapshot() {
		state := State{Stage: s.name, Ready: s.ready, Starts: s.starts, Failures: s.allFailures}
		if s.progress != nil {
			state.Progress = s.progress()
		}
		states = append(states, state)
	}
	return states
}

// Ready reports whether all stages are ready, and how each of them is.
func (h *Health) Ready() (ok bool, detail any) {
	stages := h.snapshot()
	ok = len(stages) > 0
	reports := make([]Report, 0, len(stages))
	for _, s := range stages {
		r := Report{Stage: s.name, Ready: s.ready, Failures: s.failures}
		if !s.ready {
			ok = false
			if s.err != nil {
				r.Error = fmt.Sprint(s.err)
			}
			if s.progress != nil {
				r.Progress = s.progress()
			}
		}
		reports = append(reports, r)
	}
	return ok, reports
}

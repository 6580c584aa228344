package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ticks is the unit of /proc's times, a second's part, on every architecture that Go knows.
const ticks = 100

// processUsage reads what a process has used so far.
func processUsage(pid int) (usage, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return usage{}, err
	}
	u := usage{}
	// The name may hold anything; what comes behind its last parenthesis starts with the state.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return usage{}, fmt.Errorf("%sstat: too short", dir)
	}
	for _, f := range fields[11:13] {
		n, err := strconv.ParseFloat(string(f), 64)
		if err != nil {
			return usage{}, fmt.Errorf("%sstat: %w", dir, err)
		}
		u.CPU += n / ticks
	}
	peak, err := field(dir+"status", "VmHWM:")
	if err != nil {
		return usage{}, err
	}
	u.Peak = peak << 10
	u.Written, err = field(dir+"io", "write_bytes:")
	return u, err
}

// field reads the number behind a name at the beginning of a line.
func field(file, name string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == name {
			return strconv.ParseInt(words[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s: no %s", file, name)
}

// systemCPU returns the CPU seconds that all processes together have used since the system started.
func systemCPU() (float64, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	words := strings.Fields(line)
	if len(words) < 8 {
		return 0, fmt.Errorf("/proc/stat: too short")
	}
	var sum float64
	for i, w := range words[1:8] { // user, nice, system, idle, iowait, irq, softirq
		if i == 3 || i == 4 {
			continue
		}
		n, err := strconv.ParseFloat(w, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		sum += n / ticks
	}
	return sum, nil
}

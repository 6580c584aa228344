//go:build !linux

package main

func processUsage(int) (usage, error) { return usage{}, errUnmeasured }

func systemCPU() (float64, error) { return 0, errUnmeasured }

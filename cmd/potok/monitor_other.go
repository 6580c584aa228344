//go:build !unix

package main

// calmMonitor does nothing here.
func calmMonitor() {}

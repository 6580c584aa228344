//go:build !(linux || darwin || freebsd)

package main

// fileSystem is how large the file system of a directory is, and how much of it is left. Here it is not known.
func fileSystem(string) (free, size uint64, known bool) { return 0, 0, false }

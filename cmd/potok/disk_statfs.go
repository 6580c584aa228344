//go:build linux || darwin || freebsd

package main

import "syscall"

// fileSystem is how large the file system of a directory is, and how much of it is left for this user.
func fileSystem(dir string) (free, size uint64, known bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, false
	}
	block := uint64(s.Bsize)                                        //nolint:unconvert // the types differ between systems
	return uint64(s.Bavail) * block, uint64(s.Blocks) * block, true //nolint:unconvert // the same
}

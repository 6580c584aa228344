package main

import "syscall"

// childAttr has a child end with the harness, whatever happens to that.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

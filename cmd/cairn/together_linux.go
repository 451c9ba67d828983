package main

import (
	"os/exec"
	"syscall"
)

// endTogether has cmd, which is not started yet, sent SIGTERM should the calling
// thread end before it does, as it does when this process is killed.
func endTogether(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}

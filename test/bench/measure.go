package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// sampling is how often memory is looked at, once a process has run for a
// while. What it takes for a shorter time can be missed.
const sampling = 20 * time.Millisecond

// usage is what a command took, with all processes that it started.
type usage struct {
	wall time.Duration
	cpu  time.Duration // user and system time
	sync time.Duration // that a sync takes afterwards: what the command left to the kernel
	memory
}

// memory is that of a process tree, in bytes. Other systems than Linux do not
// tell.
type memory struct {
	private  int64 // RssAnon + RssShmem: what the kernel cannot just drop
	resident int64 // VmRSS: with the touched pages of mapped files
}

// measure runs cmd. A run that ends with the exit code warning counts, but is
// reported.
func measure(ctx context.Context, cmd *exec.Cmd, warning int) (usage, error) {
	var u usage
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return u, err
	}
	ended := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { u.memory = peak(cmd.Process.Pid, ended) })
	err := cmd.Wait()
	u.wall = time.Since(begun)
	close(ended)
	watch.Wait()
	u.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	begun = time.Now()
	syscall.Sync()
	u.sync = time.Since(begun)
	switch {
	case ctx.Err() != nil:
		return u, ctx.Err()
	case err != nil && cmd.ProcessState.ExitCode() == warning:
		fmt.Fprintf(os.Stderr, "%s warns: %s\n", cmd, stderr.Bytes())
	case err != nil:
		return u, fmt.Errorf("%s: %w: %s", cmd, err, stderr.Bytes())
	}
	return u, nil
}

// peak watches the process tree below pid until ended is closed.
func peak(pid int, ended <-chan struct{}) memory {
	var top memory
	for pause := sampling / 16; ; pause = min(2*pause, sampling) {
		var now memory
		now.add(pid)
		top.private = max(top.private, now.private)
		top.resident = max(top.resident, now.resident)
		select {
		case <-ended:
			return top
		case <-time.After(pause):
		}
	}
}

// add adds the memory of pid and everything below it. A process that is gone
// has none.
func (m *memory) add(pid int) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(status)) {
		field := strings.Fields(line)
		if len(field) != 3 || field[2] != "kB" {
			continue
		}
		kib, _ := strconv.ParseInt(field[1], 10, 64)
		switch field[0] {
		case "RssAnon:", "RssShmem:":
			m.private += kib << 10
		case "VmRSS:":
			m.resident += kib << 10
		}
	}
	lists, _ := filepath.Glob(filepath.Join(dir, "task", "*", "children"))
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for _, child := range strings.Fields(string(children)) {
			if pid, err := strconv.Atoi(child); err == nil {
				m.add(pid)
			}
		}
	}
}

// selfCPU returns the time that this process has spent on processors.
func selfCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

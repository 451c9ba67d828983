package locking

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Self names the calling process, or no process where the system does not tell.
func Self() Process {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Process{}
	}
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return Process{}
	}
	var namespace uint64
	if _, err := fmt.Sscanf(link, "pid:[%d]", &namespace); err != nil {
		return Process{}
	}
	// A /proc of another namespace, mounted here, would number us differently.
	own, err := os.Readlink("/proc/self")
	if err != nil || own != strconv.Itoa(os.Getpid()) {
		return Process{}
	}
	stat, err := readStat(uint64(os.Getpid()))
	if err != nil {
		return Process{}
	}
	return Process{
		BootID:    strings.TrimSpace(string(boot)),
		Namespace: namespace,
		PID:       uint64(os.Getpid()),
		Start:     stat.start,
	}
}

// Look tells whether p, a process other than the caller's or its own, still
// runs. It answers Dead only if nobody of that name can come back.
func Look(p Process) Liveness {
	if !p.sharesKernel(Self()) || p.PID == 0 || p.PID > math.MaxInt32 {
		return Untold
	}
	// Asking the kernel first: /proc may hide the processes of other users.
	if err := unix.Kill(int(p.PID), 0); errors.Is(err, unix.ESRCH) {
		return Dead
	}
	stat, err := readStat(p.PID)
	if err != nil {
		return Untold
	}
	if stat.start != p.Start || stat.state == 'Z' || stat.state == 'X' {
		return Dead // the number is another's by now, or only the corpse is left
	}
	return Alive
}

type processStat struct {
	state byte
	start uint64
}

// readStat reads /proc/<pid>/stat; see proc_pid_stat(5).
func readStat(pid uint64) (processStat, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	p, err := os.ReadFile(path)
	if err != nil {
		return processStat{}, err
	}
	// The second field is the command in parentheses and may hold anything.
	const state, start = 3, 22
	fields := bytes.Fields(p[bytes.LastIndexByte(p, ')')+1:])
	if len(fields) <= start-state || len(fields[0]) != 1 {
		return processStat{}, fmt.Errorf("read %s: %d fields are too few", path, len(fields))
	}
	ticks, err := strconv.ParseUint(string(fields[start-state]), 10, 64)
	if err != nil {
		return processStat{}, fmt.Errorf("read %s: start time: %w", path, err)
	}
	return processStat{state: fields[0][0], start: ticks}, nil
}

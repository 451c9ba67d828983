package locking

// A Process names one process among all that ever ran on one kernel. The zero
// value names none, and is never judged dead.
type Process struct {
	BootID    string // one run of one kernel
	Namespace uint64 // the pid namespace's inode
	PID       uint64
	Start     uint64 // when it started, clock ticks since boot
}

// A Liveness says what one process can tell about another.
type Liveness int

// The answers to "does that process still run?"
const (
	Untold Liveness = iota // it ran elsewhere, or it cannot be seen from here
	Alive
	Dead // no process of that name runs, and none ever will
)

// sharesKernel reports whether p and q see the same processes under the same
// numbers, so that the absence of one of them means something.
func (p Process) sharesKernel(q Process) bool {
	return p.BootID != "" && p.BootID == q.BootID && p.Namespace != 0 && p.Namespace == q.Namespace
}

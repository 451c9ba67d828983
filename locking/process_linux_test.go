package locking

import (
	"os"
	"os/exec"
	"testing"
)

func TestLookAtProcesses(t *testing.T) {
	t.Parallel()
	self := Self()
	if self.PID != uint64(os.Getpid()) || self.BootID == "" || self.Namespace == 0 || self.Start == 0 {
		t.Fatalf("got %+v, want this process in full", self)
	}
	if got := Look(self); got != Alive {
		t.Errorf("this process: got %d, want Alive", got)
	}
	recycled := self
	recycled.Start--
	if got := Look(recycled); got != Dead {
		t.Errorf("an earlier process with this number: got %d, want Dead", got)
	}
	for name, change := range map[string]func(*Process){
		"another boot":      func(p *Process) { p.BootID = "x" },
		"another namespace": func(p *Process) { p.Namespace++ },
		"no number":         func(p *Process) { p.PID = 0 },
		"a huge number":     func(p *Process) { p.PID = 1 << 40 },
		"nothing known":     func(p *Process) { *p = Process{} },
	} {
		p := self
		p.Start-- // would be dead otherwise
		change(&p)
		if got := Look(p); got != Untold {
			t.Errorf("%s: got %d, want Untold", name, got)
		}
	}
}

func TestLookAtKilledProcess(t *testing.T) {
	t.Parallel()
	child := exec.Command("sleep", "1000")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	p := Self()
	p.PID = uint64(child.Process.Pid)
	stat, err := readStat(p.PID)
	if err != nil {
		t.Fatal(err)
	}
	p.Start = stat.start
	if got := Look(p); got != Alive {
		t.Errorf("running: got %d, want Alive", got)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err == nil {
		t.Error("the child ended well, want killed")
	}
	if got := Look(p); got != Dead {
		t.Errorf("killed: got %d, want Dead", got)
	}
}

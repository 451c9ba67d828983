// Package servers starts the real servers that cairn's tests talk to. They
// listen on loopback only, and end with the test process, however that ends.
// With go test -short there are none: tests that ask for one are skipped.
// Otherwise a server that does not start fails the test.
package servers

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// needed skips t where no servers are to be started.
func needed(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a server; -short starts none")
	}
}

// keeper runs the command that follows it until its standard input ends, which
// is when the process that holds the other end does; then it kills the command
// and removes the directory that is named first.
const keeper = `trap '' HUP INT TERM
dir=$1; shift
"$@" </dev/null &
cat >/dev/null
kill -9 $! 2>/dev/null
wait
rm -rf "$dir"`

// start runs a server that keeps everything it has below dir, and its output in
// dir/log. The server is killed and dir removed when this process ends.
func start(dir string, env []string, name string, args ...string) error {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("sh", append([]string{"-c", keeper, "keeper", dir, name}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	// A signal from the terminal is for the tests, which end the server.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	alive, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	pipes.Store(dir, alive)
	return cmd.Start()
}

// pipes are what the servers live on. Nobody closes them but the end of this
// process; a pipe that nobody knows any more would be closed before.
var pipes sync.Map

// freePort returns a port of the loopback interface that nobody listens on now.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// logTail returns the end of the log of the server in dir.
func logTail(dir string) string {
	f, err := os.Open(filepath.Join(dir, "log"))
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	const tail = 4 << 10
	if info, err := f.Stat(); err == nil && info.Size() > tail {
		_, _ = f.Seek(-tail, io.SeekEnd)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s says:\n%s", f.Name(), text)
}

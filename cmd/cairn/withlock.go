package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"cairn/locking"
)

// withLockCmd runs a command while nobody writes to the repository.
type withLockCmd struct {
	Command []string `arg:"" passthrough:"" help:"The command and its arguments, after --."`
}

// Help implements kong's longer help.
func (withLockCmd) Help() string {
	return `Example: a copy of the whole repository at rest, for which backups wait.

    cairn -r /mnt/backup/cairn with-lock -- rsync -a /mnt/backup/cairn/ far:cairn/

The command gets the lock for itself: it waits until nobody writes to the
repository, and whoever wants to write meanwhile waits for it. Reading goes on. A
cairn command that writes to the same repository must not be run inside: it
would wait for its own end.

Cairn exits with the command's exit code. If another run takes the lock over,
because this machine was asleep or cut off for minutes, the command is sent
SIGTERM and cairn exits with code 5. On Linux it is sent that, too, if cairn itself
is killed, for nobody keeps the lock up then.`
}

// killAfter is how long a command may take to end after SIGTERM.
const killAfter = 10 * time.Second

// Run implements the verb.
func (c *withLockCmd) Run(ctx context.Context, g *globals) (err error) {
	command := c.Command
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	if len(command) == 0 {
		return usage(errors.New("a command is missing: cairn with-lock -- COMMAND ARGUMENT…"))
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return usage(err) // before anybody waits
	}
	v, err := g.open(ctx)
	if err != nil {
		return err
	}
	defer v.close(&err)
	return v.Hold(ctx, func(ctx context.Context) error {
		g.term.clear()
		cmd := exec.CommandContext(ctx, path, command[1:]...)
		cmd.Args[0] = command[0]
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = killAfter
		// The kernel goes by the thread that starts the command: it has to last as
		// long as cairn does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		endTogether(cmd)
		return commandEnded(ctx, cmd.Run())
	})
}

// commandEnded returns how the verb ends when its command has.
func commandEnded(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), locking.ErrLeaseLost) {
		return fmt.Errorf("the command was ended: %w", locking.ErrLeaseLost)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return commandError(128 + int(status.Signal()))
	}
	return commandError(exit.ExitCode())
}

// commandError is the exit code of a command that cairn ran, which has said
// itself what there is to say.
type commandError int

func (e commandError) Error() string { return fmt.Sprintf("the command exited with code %d", int(e)) }

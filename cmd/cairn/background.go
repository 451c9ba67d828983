package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// detachedVariable says to a mount that it is the process in the background, and
// which file it tells that it is ready.
const detachedVariable = "CAIRN_MOUNT_DETACHED"

// readyDescriptor is that file: the first one behind standard error.
const readyDescriptor = 3

// background runs this command line again, in a process that stays, and returns
// when that says it is ready or ends. It has the terminal until then: it may ask
// for a passphrase.
func background(ctx context.Context, g *globals) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find cairn itself: %w", err)
	}
	ours, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ours.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), detachedVariable+"=true")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("go to the background: %w", err), theirs.Close())
	}
	if err := theirs.Close(); err != nil {
		return err
	}
	if said, err := io.ReadAll(ours); err == nil && len(said) > 0 {
		return cmd.Process.Release() // it goes on alone
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return commandError(exit.ExitCode()) // it has said why
	}
	if err == nil {
		err = errors.New("it ended at once")
	}
	return fmt.Errorf("go to the background: %w", err)
}

// detach cuts the process off from whoever started it, and tells him that it is
// ready. What there is to say from now on goes to the file log.
func detach(g *globals, log string) error {
	if err := os.MkdirAll(filepath.Dir(log), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer nothing.Close()
	if !g.cli.Quiet {
		fmt.Fprintf(g.term.out, "  what goes wrong from now on is in %s\n", log)
	}
	for to, from := range []*os.File{nothing, file, file} {
		if err := replace(int(from.Fd()), to); err != nil {
			return fmt.Errorf("go to the background: %w", err)
		}
	}
	g.term.err, g.term.live = dated{file}, false
	if _, err := syscall.Setsid(); err != nil && !errors.Is(err, syscall.EPERM) { // it leads one already
		return fmt.Errorf("go to the background: %w", err)
	}
	ready := os.NewFile(readyDescriptor, "ready")
	_, err = ready.WriteString("ready\n")
	return errors.Join(err, ready.Close())
}

// dated writes the time before each line.
type dated struct{ w io.Writer }

func (d dated) Write(p []byte) (int, error) {
	line := time.Now().Format(time.RFC3339) + " " + strings.TrimRight(string(p), "\n") + "\n"
	if _, err := io.WriteString(d.w, line); err != nil {
		return 0, err
	}
	return len(p), nil
}

package main

import (
	"context"
	"errors"
	"fmt"

	"cairn/backend"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/pipeline/compact"
	"cairn/pipeline/mount"
	"cairn/pipeline/repository"
	"cairn/pipeline/restore"
)

// Exit codes. They are part of what scripts rely on: the README lists them.
const (
	exitDone        = 0
	exitWarnings    = 1
	exitFailed      = 2
	exitNoRepo      = 3
	exitKey         = 4
	exitLocked      = 5
	exitDamaged     = 6
	exitRolledBack  = 7
	exitForked      = 8
	exitFull        = 9
	exitInterrupted = 130
)

// errWarnings ends a run that did its work and warned about parts of it.
var errWarnings = errors.New("done, with warnings")

// errInterrupted ends a run that a signal stopped, errCheckpoint a backup that
// kept what it had stored by then.
var (
	errInterrupted = errors.New("interrupted")
	errCheckpoint  = errors.New("interrupted")
)

// interrupted returns err as an errInterrupted if it is what became of a run
// whose ctx a signal has ended: what it was doing just then is of no interest.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return errInterrupted
	}
	return err
}

// errUnreadable ends a run that could not even open the repository, because an
// object that everything hangs on is damaged or gone.
var errUnreadable = errors.New("the repository is damaged")

// unreadable returns the error of opening a repository as an errUnreadable, if
// it is one. That there is none, or no key for it, is no damage.
func unreadable(err error) error {
	if errors.Is(err, repository.ErrNoKey) || !objects.IsCorrupt(err) && !isMissing(err) && !errors.Is(err, locking.ErrNoHead) {
		return err
	}
	return fmt.Errorf("%w: %w", errUnreadable, err)
}

// isMissing reports whether the store was reached and lacks an object, or its
// end.
func isMissing(err error) bool {
	var short *backend.ShortError
	return errors.Is(err, backend.ErrNotExist) || errors.As(err, &short)
}

// usageError is a command line that cannot be understood.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(err error) error { return &usageError{err} }

func isUsage(err error) bool {
	var u *usageError
	return errors.As(err, &u)
}

// outcome is how an error ends the program: its code, and what to do next.
type outcome struct {
	is   func(error) bool
	code int
	hint string
}

func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

// outcomes are tried in order.
var outcomes = []outcome{
	{isUsage, exitFailed, "cairn --help shows the commands, cairn COMMAND --help what one is given"},
	{is(errCheckpoint), exitInterrupted, "what was stored is kept; the next run goes on from it"},
	{is(errCompacting), exitInterrupted, "what was done is kept; the next run goes on from it"},
	{is(errInterrupted), exitInterrupted, ""},
	{is(repository.ErrNotFound), exitNoRepo, "check the path, or create one with: cairn -r PATH init"},
	{is(repository.ErrIncomplete), exitNoRepo, ""},
	{is(repository.ErrNoKey), exitKey, ""},
	{is(crypt.ErrWrongPassphrase), exitKey, "nothing was changed; try again, or name another key with --key-file"},
	{is(crypt.ErrWeakSlot), exitKey, ""},
	{is(crypt.ErrNoEpoch), exitKey, ""},
	{is(locking.ErrLocked), exitLocked, ""},
	{is(locking.ErrLeaseLost), exitLocked, ""},
	{is(locking.ErrRunning), exitLocked, "a backup of the same files began earlier and goes on: nothing is lost; wait for it, or end it and run the command again"},
	{is(compact.ErrInUse), exitLocked, ""},
	{is(locking.ErrRolledBack), exitRolledBack, ""},
	{is(locking.ErrForked), exitForked, ""},
	{is(backend.ErrFull), exitFull, "nothing that was committed is lost: make room and run the command again"},
	{is(restore.ErrFull), exitFull, "what was restored so far is in place: make room there, or name another --target, and run the command again"},
	{is(mount.ErrNoHelper), exitFailed, "install the package fuse3, or let root mount"},
	{is(mount.ErrNoOthers), exitFailed, "root can allow it with the line user_allow_other in /etc/fuse.conf; without --allow-other only you can look"},
	{is(mount.ErrRefused), exitFailed, "it has said why above: the directory must be yours and /dev/fuse open to you"},
	{is(errDamaged), exitDamaged, ""},
	{is(locking.ErrNoHead), exitDamaged, "nothing was changed: cairn rebuild-head says what can be brought back, and asks before it does"},
	{is(locking.ErrBroken), exitDamaged, "put it back from another copy of the repository if there is one; if not, cairn rebuild-head says what can be brought back, and asks before it does"},
	{is(errUnreadable), exitDamaged, "nothing can be read without it: put it back from another copy of the repository if there is one, and remove nothing else"},
	{objects.IsCorrupt, exitDamaged, "run cairn check --read-data to see what is affected; nothing was changed"},
	{is(repository.ErrNoChunk), exitDamaged, ""},
	{isMissing, exitDamaged, "run cairn check to see what is affected; nothing was changed"},
}

// end prints err, if there is anything to say, and returns the exit code.
func (t *terminal) end(err error) int {
	t.clear()
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errWarnings):
		return exitWarnings
	}
	var command commandError
	if errors.As(err, &command) {
		return int(command)
	}
	code, hint := exitFailed, ""
	for _, o := range outcomes {
		if o.is(err) {
			code, hint = o.code, o.hint
			break
		}
	}
	if isUsage(err) && t.verb != "" {
		hint = "cairn " + t.verb + " --help shows what it is given"
	}
	t.say(messageJSON{Level: "error", Text: err.Error(), Hint: hint, Code: code})
	return code
}

package locking

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"cairn/backend"
)

// What can go wrong besides the store's own errors. Test with errors.Is.
var (
	// ErrLeaseLost: another run took the lease of an exclusive run over.
	ErrLeaseLost = errors.New("lost the turn to write: another run took it over; " +
		"nothing that was uploaded is lost, run the command again")
	// ErrCondemned: a pack that the run counts on was condemned, because nothing
	// that was committed needed it, and the run has not stored its chunks anew.
	ErrCondemned = errors.New("a pack was condemned by another run, which removes what nothing needs; " +
		"nothing that was committed is lost, run the command again")
	// ErrMarkStale: the repository is not any more what a mark was made of, or
	// the run has lost the lease since.
	ErrMarkStale = errors.New("the repository has changed since it was looked at")
	// ErrLocked is matched by every *LockedError.
	ErrLocked = errors.New("another run is writing to the repository")
	// ErrNoHead: the store is there and its head is not, so the repository was
	// not fully created, or was damaged.
	ErrNoHead = errors.New("repository has no head")
	// ErrBroken: a record that the chain names is damaged or missing.
	ErrBroken = errors.New("the chain of commits is broken")
	// ErrRolledBack is matched by every *RolledBackError.
	ErrRolledBack = errors.New("repository was rolled back")
	// ErrForked is matched by every *ForkedError.
	ErrForked = errors.New("repository was forked")
	// ErrOutcomeUnknown: the store did not say whether a commit took effect,
	// and could not be asked. It did, or it did not; the next run sees which.
	ErrOutcomeUnknown = errors.New("the store did not answer whether the commit took effect; the next run will see")
)

// LockedError says who writes to the repository, or is to write first, so that
// one's own turn did not come in the time that one was ready to wait.
type LockedError struct{ Waiting }

// Error says who, since when, and what to do next.
func (e *LockedError) Error() string {
	var b strings.Builder
	p := e.Ahead
	if e.Queued {
		b.WriteString("another run waits to write to the repository, and its turn comes first: ")
	} else {
		b.WriteString("another run is writing to the repository: ")
	}
	fmt.Fprintf(&b, "%s@%s", p.User, p.Host)
	if p.Command != "" {
		fmt.Fprintf(&b, " (%q)", p.Command)
	}
	fmt.Fprintf(&b, " since %s", p.Since.Local().Format("2006-01-02 15:04:05 MST"))
	if e.Silent > e.Takeover/4 { // a beat is missing: they come oftener than that
		fmt.Fprintf(&b, ", no sign of life for %s", e.Silent.Round(time.Second))
	}
	fmt.Fprintf(&b, "; nothing is lost: wait for it, "+
		"or if that run is gone, wait with a --lock-wait above %s, and it is taken over by itself", e.Takeover)
	return b.String()
}

// Is makes every LockedError match ErrLocked.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// RolledBackError says that head is older than what was seen of it before.
type RolledBackError struct{ Witnessed, Found Mark }

// Error names the way on.
func (e *RolledBackError) Error() string {
	return fmt.Sprintf("%v: it is at %s and was seen at %s from here; "+
		"if it was restored from a copy on purpose, run again with --accept-rollback", ErrRolledBack, e.Found, e.Witnessed)
}

// Is makes every RolledBackError match ErrRolledBack.
func (e *RolledBackError) Is(target error) bool { return target == ErrRolledBack }

// ForkedError says that the repository went another way from somewhere before
// what was seen of it.
type ForkedError struct{ Witnessed, Found Mark }

// Error names the way on.
func (e *ForkedError) Error() string {
	return fmt.Sprintf("%v: it has another commit than %s, which was seen from here, at that place: %s; "+
		"if it was restored from a copy on purpose, run again with --accept-rollback", ErrForked, e.Witnessed, e.Found)
}

// Is makes every ForkedError match ErrForked.
func (e *ForkedError) Is(target error) bool { return target == ErrForked }

// inDoubt returns err, as an ErrOutcomeUnknown if a swap may be in effect.
func inDoubt(err error) error {
	if errors.Is(err, backend.ErrUnknown) {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return err
}

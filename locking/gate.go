package locking

import "context"

// A gate is a mutex that one can stop waiting for. Make it with newGate.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

// enter waits until nobody else is inside; after nil, leave must follow.
func (g gate) enter(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g gate) leave() { <-g }

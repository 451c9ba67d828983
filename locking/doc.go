// Package locking says what may change in a repository now. It speaks the
// protocol of PROTOCOL.md: one small register holds the lease and the pointer
// to the newest commit record, so that a commit by a run that has lost its
// lease fails by itself.
//
// A Chain reads a repository's history. A Writer, begun on it, is one run that
// changes it:
//
//	news, err := chain.Refresh(ctx)
//	w, ctx, err := chain.Begin(ctx, run)
//	defer w.Release(context.WithoutCancel(ctx))
//	err = w.Ensure(ctx)                             // before every Put
//	err = w.Commit(ctx, checkpoint, locking.Yield)  // others may go first now
//	err = w.Commit(ctx, commit, locking.Release)    // names what was put
//
// What removes packs condemns them first, by a mark of one state:
//
//	basis, state, err := w.Basis(ctx)
//	err = w.Condemn(ctx, commit, basis, locking.Keep) // ErrMarkStale: from the start
package locking

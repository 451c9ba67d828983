package retry

import (
	"context"

	"cairn/backend"
)

// Cell is a store's register, as package backend describes it.
type Cell interface {
	Load(ctx context.Context, ifChanged backend.Tag) ([]byte, backend.Tag, error)
	Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error)
}

// Register is a register that repeats the loads of another.
type Register struct {
	under   Cell
	options Options
}

// NewRegister returns a Register that stands on under.
func NewRegister(under Cell, o Options) *Register {
	return &Register{under: under, options: o.withDefaults()}
}

// Load returns the register's value; see package backend.
func (r *Register) Load(ctx context.Context, ifChanged backend.Tag) ([]byte, backend.Tag, error) {
	type loaded struct {
		value []byte
		tag   backend.Tag
	}
	l, err := repeat(ctx, r.options, "load", "head", func() (loaded, error) {
		value, tag, err := r.under.Load(ctx, ifChanged)
		return loaded{value, tag}, err
	})
	return l.value, l.tag, err
}

// Swap replaces the register's value; see package backend. It is never
// repeated: a second attempt would conflict with the first.
func (r *Register) Swap(ctx context.Context, old backend.Tag, value []byte) (backend.Tag, error) {
	return r.under.Swap(ctx, old, value)
}

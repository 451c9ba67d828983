package main

import (
	"context"
	"errors"
	"fmt"

	"cairn/backend"
	"cairn/backend/probe"
	"cairn/backend/s3"
	"cairn/pipeline/repository"
)

// packs is what the keys of packs begin with.
const packs = "packs/"

// bucket is the location of a repository in a bucket of S3.
type bucket struct {
	g   *globals
	url string // as it was typed; it has no secret in it
	o   s3.Options
}

// parseBucket reads the URL of a place in a bucket.
func (g *globals) parseBucket(typed string) (location, error) {
	o, err := s3.Parse(typed)
	if err != nil {
		return nil, usage(fmt.Errorf("--repo: %w", err))
	}
	o.ClassOf = packs
	o.Tap = g.wire.tap()
	return &bucket{g: g, url: typed, o: o}, nil
}

func (b *bucket) String() string    { return b.url }
func (b *bucket) directory() string { return "" }

// transfers are large where every request costs money and a round trip. On two
// cores a backup keeps below 192 MB with these packs.
func (b *bucket) transfers() transfers { return transfers{pack: 30 << 20, read: 16 << 20, puts: 3} }

func (b *bucket) find(ctx context.Context) (found, error) {
	s, err := s3.Open(ctx, b.o)
	if err != nil {
		return foreign, err
	}
	state, err := s.Inspect(ctx)
	err = errors.Join(err, s.Close())
	if err == nil && state == backend.Missing {
		return noBucket, nil
	}
	return foundAs(state, err)
}

func (b *bucket) open(ctx context.Context) (repository.Store, error) {
	s, err := s3.Open(ctx, b.o)
	if err != nil {
		return repository.Store{}, err
	}
	return b.g.patient(s), nil
}

func (b *bucket) create(ctx context.Context, m making) (repository.Store, error) {
	s, err := s3.Open(ctx, b.o)
	if err != nil {
		return repository.Store{}, err
	}
	o := b.o
	o.Conditions, err = b.prepare(ctx, s, m)
	if err := errors.Join(err, s.Close()); err != nil {
		return repository.Store{}, err
	}
	if s, err = s3.Open(ctx, o); err != nil {
		return repository.Store{}, err
	}
	if err := s.Create(ctx); err != nil {
		return repository.Store{}, errors.Join(err, s.Close())
	}
	return b.g.patient(s), nil
}

// prepare makes the bucket, if it should, and finds out how writers are kept apart
// there.
func (b *bucket) prepare(ctx context.Context, s *s3.Store, m making) (s3.Conditions, error) {
	state, err := s.Inspect(ctx)
	if err == nil && state == backend.Missing && m.bucket {
		err = s.CreateBucket(ctx)
	}
	if err != nil {
		return s3.Conditional, err
	}
	keeps, verdict, err := b.probe(ctx, s)
	if err != nil {
		return s3.Conditional, err
	}
	if keeps == s3.Unconditional && !m.alone {
		return s3.Conditional, fmt.Errorf("%w (%s): nothing was created; "+
			"if only one cairn at a time will ever write there, --single-writer goes on without", errNotApart, verdict)
	}
	return keeps, nil
}

// probe finds out how writers can be kept apart in a store: in one object, in a
// chain of them, or not at all. The verdict is that of an object.
func (b *bucket) probe(ctx context.Context, s *s3.Store) (s3.Conditions, probe.Verdict, error) {
	verdict, err := probe.Run(ctx, probe.Thorough, func() (probe.Cell, error) { return s.Scratch(probeName()), nil })
	switch {
	case errors.Is(err, s3.ErrConditions):
		return s3.Unconditional, probe.None, nil
	case err != nil:
		return s3.Conditional, verdict, err
	case verdict == probe.CAS:
		return s3.Conditional, verdict, nil
	case verdict == probe.None:
		return s3.Unconditional, verdict, nil
	}
	chain, err := probe.Run(ctx, probe.Thorough, func() (probe.Cell, error) { return s.ScratchChain(probeName()), nil })
	if err != nil || chain == probe.CAS {
		return s3.CreateOnly, verdict, err
	}
	return s3.Unconditional, verdict, nil
}

// errNotApart ends an init where two writers that meet would harm each other.
var errNotApart = errors.New("this store ignores conditional requests: of two cairns that write at the same time, " +
	"one would undo what the other has committed, and its archives would be lost")

func (b *bucket) examine(ctx context.Context) (examinee, error) {
	s, err := s3.Open(ctx, b.o)
	if err != nil {
		return examinee{}, err
	}
	return examinee{Subject: probe.Subject{
		Store:         b.g.patient(s).Backend,
		Cell:          func() (probe.Cell, error) { return s.Scratch(probeName()), nil },
		Chain:         func() (probe.Cell, error) { return s.ScratchChain(probeName()), nil },
		RefusesDamage: func(ctx context.Context) (bool, error) { return s.RefusesDamage(ctx, probeName()) },
	}}, nil
}

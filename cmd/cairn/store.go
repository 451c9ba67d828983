package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cairn/backend"
	"cairn/backend/local"
	"cairn/backend/pace"
	"cairn/backend/probe"
	"cairn/backend/retry"
	"cairn/backend/s3"
	"cairn/backend/sftp"
	"cairn/locking"
	"cairn/pipeline/repository"
)

// A location is where a repository is, or is to be: what --repo names. There is
// one implementation for every kind of store.
type location interface {
	// String names the location for people, as one may type it. It holds no
	// secret.
	String() string
	// find tells what is there.
	find(ctx context.Context) (found, error)
	// create makes a store, if need be, in a location that holds nothing
	// foreign, and opens it.
	create(ctx context.Context, m making) (repository.Store, error)
	// open opens the store, whose caller closes it. Where one look tells that
	// there is no repository, it answers ErrNotFound; elsewhere opening the
	// repository will, and open spares the request.
	open(ctx context.Context) (repository.Store, error)
	// examine returns what there is to examine in the store, which must be one of
	// ours or, in a bucket, nothing.
	examine(ctx context.Context) (examinee, error)
	// transfers returns how much should go there and come from there at a time.
	transfers() transfers
	// directory returns where on this machine the repository lies, so that no
	// backup takes it in; empty if it lies elsewhere.
	directory() string
}

// found is what can be at a location: a store of ours, something that is not
// ours, or nothing.
type found int

// What find tells.
const (
	nothing found = iota
	ours
	foreign
	noBucket // and so nothing, but what would hold it is not there either
)

// foundAs is what is at a location, from what Inspect answers.
func foundAs(state backend.State, err error) (found, error) {
	switch {
	case err != nil:
		return foreign, err
	case state == backend.Ours:
		return ours, nil
	case state == backend.Foreign:
		return foreign, nil
	}
	return nothing, nil
}

// transfers say how much goes there and comes from there at a time; 0 is as
// usual, near by.
type transfers struct {
	pack int   // length of a pack of data, bytes
	read int64 // length of a restore's read, bytes
	puts int   // packs that compaction stores at the same time
}

// making says what may be done to make a store. The zero value is cautious.
type making struct {
	bucket bool // make the bucket too
	alone  bool // the user promises that only one process at a time will write
}

// location returns the repository that the command line or the environment
// names, or else the default one.
func (g *globals) location() (location, error) {
	if g.cli.Repo == "" {
		p, err := findPlaces()
		return directory(p.defaultRepository()), err
	}
	return g.parseLocation(g.cli.Repo)
}

// parseLocation returns what a person means by typed: the URL of a remote store,
// or a directory. A colon before slashes is no part of any sensible path.
func (g *globals) parseLocation(typed string) (location, error) {
	scheme, _, isURL := strings.Cut(typed, "://")
	switch {
	case strings.HasPrefix(scheme, "s3:"):
		return nil, usage(errors.New("--repo: write s3://BUCKET/PREFIX for Amazon, and s3+https://HOST:PORT/BUCKET/PREFIX for others"))
	case !isURL:
		path, err := filepath.Abs(typed)
		return directory(path), err
	case s3.IsURL(scheme):
		return g.parseBucket(typed)
	case scheme == sftp.Scheme:
		return g.parseHost(typed)
	}
	return nil, usage(fmt.Errorf("--repo: %s:// is not a kind of store that this version knows; "+
		"name a directory, s3://BUCKET/PREFIX or sftp://USER@HOST/PATH", scheme))
}

// remoteStore is a store behind a network, before anything makes up for that.
type remoteStore interface {
	backend.Backend
	locking.Register
}

// patient returns s with the calls repeated that may succeed when repeated, and
// no more under way than the way there carries. A person is told what the run is
// waiting for.
func (g *globals) patient(s remoteStore) repository.Store {
	o := retry.Options{Peer: new(retry.Peer), Notify: func(w retry.Wait) {
		g.term.warn("%v; trying again in %s", w.Err, max(time.Second, w.Pause.Round(time.Second)))
	}}
	way := pace.New(s, pace.Options{})
	return repository.Store{Backend: retry.New(way, o), Register: retry.NewRegister(s, o), PackSize: way.Size}
}

// openStore opens the store at loc, which must be there.
func openStore(ctx context.Context, loc location) (repository.Store, error) {
	s, err := loc.open(ctx)
	switch {
	case errors.Is(err, repository.ErrNotFound):
		return s, fmt.Errorf("%w at %s", repository.ErrNotFound, loc)
	case err != nil:
		return s, fmt.Errorf("repository %s: %w", loc, err)
	}
	return s, nil
}

// checkLocation makes sure that nothing of somebody else's is at loc.
func checkLocation(ctx context.Context, loc location, m making) error {
	is, err := loc.find(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("create repository %s: %w", loc, err)
	case is == foreign:
		return fmt.Errorf("create repository %s: it holds something else; name an empty or a new place", loc)
	case is == noBucket && !m.bucket:
		return fmt.Errorf("create repository %s: there is no such bucket: look at the name, or make it with: cairn init --create-bucket", loc)
	}
	return nil
}

// createStore makes a store at loc, if need be, and opens it.
func createStore(ctx context.Context, loc location, m making) (repository.Store, error) {
	if err := checkLocation(ctx, loc, m); err != nil {
		return repository.Store{}, err
	}
	s, err := loc.create(ctx, m)
	if err != nil {
		return s, fmt.Errorf("create repository %s: %w", loc, err)
	}
	return s, nil
}

// directory is the location of a repository on a mounted file system: its
// absolute path.
type directory string

func (d directory) String() string    { return string(d) }
func (d directory) directory() string { return string(d) }

func (d directory) transfers() transfers { return transfers{} }

func (d directory) find(context.Context) (found, error) { return foundAs(local.Inspect(string(d))) }

func (d directory) create(ctx context.Context, _ making) (repository.Store, error) {
	if err := os.MkdirAll(filepath.Dir(string(d)), 0o700); err != nil {
		return repository.Store{}, err
	}
	if err := local.Create(string(d)); err != nil {
		return repository.Store{}, err
	}
	return d.open(ctx)
}

func (d directory) open(ctx context.Context) (repository.Store, error) {
	is, err := d.find(ctx)
	if err != nil {
		return repository.Store{}, err
	}
	if is != ours {
		return repository.Store{}, repository.ErrNotFound
	}
	s, err := local.Open(string(d), local.Options{})
	if err != nil {
		return repository.Store{}, err
	}
	return repository.Store{Backend: s, Register: s}, nil
}

func (d directory) examine(context.Context) (examinee, error) {
	s, err := local.Open(string(d), local.Options{})
	if err != nil {
		return examinee{}, err
	}
	return examinee{Subject: probe.Subject{
		Store: s, Cell: func() (probe.Cell, error) { return s.Scratch(probeName()), nil },
	}}, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"cairn/locking"
	"cairn/pipeline/repository"
)

// globals are what every verb is given.
type globals struct {
	cli  *cli
	term *terminal
	wire *wire
}

// place holds cairn's own directories of this user.
type place struct{ data, config, cache, state string }

func findPlaces() (place, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return place{}, fmt.Errorf("find the home directory: %w", err)
	}
	dir := func(variable, otherwise string) string {
		if base := os.Getenv(variable); filepath.IsAbs(base) {
			return filepath.Join(base, "cairn")
		}
		return filepath.Join(home, otherwise, "cairn")
	}
	return place{
		data:   dir("XDG_DATA_HOME", ".local/share"),
		config: dir("XDG_CONFIG_HOME", ".config"),
		cache:  dir("XDG_CACHE_HOME", ".cache"),
		state:  dir("XDG_STATE_HOME", ".local/state"),
	}, nil
}

// defaultRepository is where backups go when no repository is named, and
// defaultKey the key file that opens it.
func (p place) defaultRepository() string { return filepath.Join(p.data, "repository") }
func (p place) defaultKey() string        { return filepath.Join(p.config, "repository.key") }

// keyFor returns the key file that opens the default repository: the one that
// is named, or else the one that was made with it, if it was.
func (p place) keyFor(s secret) string {
	if s.keyFile != "" || s.passphrase != nil {
		return s.keyFile
	}
	if _, err := os.Stat(p.defaultKey()); err != nil {
		return ""
	}
	return p.defaultKey()
}

// session is an open repository and where everything that belongs to it lies.
type session struct {
	*repository.Repository
	location location
	keyFile  string
	places   place

	passphraseFile string
	store          repository.Store

	mu   sync.Mutex
	told map[string]bool // what was warned about; guarded by mu
}

// warn tells what did no harm, once however often it is met. It may be called
// by several goroutines.
func (v *session) warn(t *terminal, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.told[err.Error()] {
		return
	}
	if v.told == nil {
		v.told = map[string]bool{}
	}
	v.told[err.Error()] = true
	t.warn("warning: %v", err)
}

// warnings returns how often warn had something new to tell.
func (v *session) warnings() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return uint64(len(v.told))
}

// open opens the repository for a verb. What it warns about is counted.
func (g *globals) open(ctx context.Context) (*session, error) {
	p, err := findPlaces()
	if err != nil {
		return nil, err
	}
	return g.openWithCache(ctx, p.cache)
}

// openArchive opens the repository to read the archive that ref names among
// those that n leaves: see repository.FindAmong.
func (g *globals) openArchive(ctx context.Context, ref string, n narrowing) (v *session, a repository.Archive, err error) {
	v, err = g.open(ctx)
	if err != nil {
		return nil, a, err
	}
	if err = v.Sync(ctx); err == nil {
		a, err = repository.FindAmong(n.keep(v.Archives()), ref)
	}
	if err != nil {
		v.close(&err)
		return nil, a, err
	}
	g.goesBy("archive", &a)
	return v, a, nil
}

// openWithCache is open with the index cache in another place.
func (g *globals) openWithCache(ctx context.Context, cache string) (*session, error) {
	v, secret, err := g.connect(ctx)
	if err != nil {
		return nil, err
	}
	v.places.cache = cache
	if err := v.unlock(ctx, g, secret); err != nil {
		return nil, errors.Join(fmt.Errorf("repository %s: %w", v.location, err), v.store.Backend.Close())
	}
	g.opened(v)
	return v, nil
}

// connect opens the store and finds what opens the repository in it.
func (g *globals) connect(ctx context.Context) (v *session, secret secret, err error) {
	loc, err := g.location()
	if err != nil {
		return nil, secret, err
	}
	p, err := findPlaces()
	if err != nil {
		return nil, secret, err
	}
	secret, err = g.findSecret(ctx)
	if err != nil {
		return nil, secret, err
	}
	if g.cli.Repo == "" {
		secret.keyFile = p.keyFor(secret)
	}
	store, err := openStore(ctx, loc)
	if err != nil {
		return nil, secret, err
	}
	return &session{
		location: loc, store: store, places: p, keyFile: secret.keyFile, passphraseFile: g.passphraseFile(),
	}, secret, nil
}

// cacheSize is a number of bytes, as people write it, or 0.
type cacheSize byteSize

// UnmarshalText reads "500MB", "2GiB" or "0".
func (s *cacheSize) UnmarshalText(text []byte) error {
	if string(text) == "0" {
		*s = 0
		return nil
	}
	return (*byteSize)(s).UnmarshalText(text)
}

// commandShown is how much of the command line others who wait are shown, in
// characters: it stands in the one object that every beat writes anew.
const commandShown = 200

func (v *session) unlock(ctx context.Context, g *globals, s secret) error {
	o, noKey, err := v.options(ctx, g, s)
	if err != nil {
		return err
	}
	v.Repository, err = repository.Open(ctx, v.store, o)
	if noKey != nil && errors.Is(err, repository.ErrNoKey) {
		return noKey // why there is none; that there is a repository at all comes first
	}
	return unreadable(err)
}

// options returns how the repository is opened. With noKey, which is an
// ErrNoKey, it is not: no key is at hand.
func (v *session) options(ctx context.Context, g *globals, s secret) (o repository.Options, noKey, err error) {
	timing, err := g.timing()
	if err != nil {
		return o, nil, err
	}
	u, noKey := s.unlocker(ctx, g.term)
	o = repository.Options{
		Unlock: u, Location: v.location.String(), CacheDir: v.places.cache, StateDir: v.places.state,
		Command: clip(strings.Join(os.Args, " "), commandShown),
		Wait:    time.Duration(g.cli.LockWait), Waiting: g.waiting, Timing: timing,
		Warn: func(err error) { v.warn(g.term, err) },
	}
	if v.location.directory() == "" {
		o.MetaLimit = int64(g.cli.CacheLimit)
	}
	if g.term.live && !g.cli.Quiet {
		o.Indexing = func(done, total int) {
			if done%100 == 0 {
				g.term.status(fmt.Sprintf("reading where chunks are: %d of %s", done, count(uint64(total), "pack")))
			}
		}
	}
	o.Host, o.User = identity()
	if g.cli.AcceptRollback {
		o.Rollback = locking.AcceptRollback
	}
	return o, noKey, nil
}

// close gives up the repository, joining what goes wrong to err.
func (v *session) close(err *error) {
	*err = errors.Join(*err, v.Repository.Close(), v.store.Backend.Close())
}

// waiting says whom the run is waiting for.
func (g *globals) waiting(w locking.Waiting) {
	them, does := who(w.Ahead.User, w.Ahead.Host), "writes to the repository"
	if w.Queued {
		does = "waits, too, and whose turn comes first,"
	}
	if w.Waited == 0 { // a new one, or a new place
		g.term.warn("waiting for %s, who %s since %s (%s); place %d in the queue; stale after %s of silence",
			them, does, w.Ahead.Since.Local().Format("2006-01-02 15:04:05"), name(w.Ahead.Command), w.Place, took(w.Takeover))
	}
	if g.term.live && !g.cli.Quiet && !g.term.asJSON {
		g.term.waits(fmt.Sprintf("waiting: place %d in the queue; %s silent for %s, stale after %s",
			w.Place, them, w.Silent.Truncate(time.Second), took(w.Takeover)))
	}
}

// timing returns how fast leases and polls go: as they are for people, or as
// fast as a test asks for with --test-ttl. A lease that ends early is no danger,
// for its holder queues again; it is only of no use to anybody else.
func (g *globals) timing() (locking.Timing, error) {
	ttl := time.Duration(g.cli.TestTTL)
	if ttl != 0 && (ttl < 100*time.Millisecond || ttl > 5*time.Minute) {
		return locking.Timing{}, usage(fmt.Errorf("--test-ttl is for tests, and from 100ms to 5m: not %s", ttl))
	}
	return locking.Timing{TTL: ttl}, nil
}

// identity returns this host's and this user's names, as far as they are known.
func identity() (host, login string) {
	host, _ = os.Hostname()
	if u, err := user.Current(); err == nil {
		login = u.Username
	}
	return host, login
}

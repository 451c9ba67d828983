package repository

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"cairn/backend"
	"cairn/index"
	"cairn/objects"
	"cairn/objects/pack"
	"cairn/pipeline/packer"

	"github.com/zeebo/blake3"
)

const (
	metaDir = "packs"

	// wholeMeta is the longest pack of metadata that is read whole when some of
	// it is wanted, bytes. Writers make them of 2 to 8 MiB.
	wholeMeta = 16 << 20
)

// metaCache keeps packs of metadata on this machine, where the store is far:
// those that it wrote, for its next backup reads them again, and those that it
// read. A pack is one file, named like the pack. What is in it is never
// trusted: a frame that does not open is read from the store. Its methods may
// be called concurrently, and by several processes.
type metaCache struct {
	dir   string
	limit int64 // bytes; 0: nothing is kept

	mu    sync.Mutex // one pack is fetched at a time
	held  int64      // bytes, about; guarded by mu
	known bool       // held was counted; guarded by mu
}

func newMetaCache(o *Options, repo objects.RepositoryID) *metaCache {
	return &metaCache{dir: filepath.Join(o.CacheDir, repo.String(), metaDir), limit: o.MetaLimit}
}

func (c *metaCache) path(id objects.ID) string { return filepath.Join(c.dir, id.String()) }

// read returns length bytes of a pack from off on, if it is here.
func (c *metaCache) read(id objects.ID, off, length int64) ([]byte, bool) {
	f, err := os.Open(c.path(id))
	if err != nil {
		return nil, false
	}
	defer f.Close()
	p := make([]byte, length)
	if _, err := f.ReadAt(p, off); err != nil {
		return nil, false
	}
	return p, true
}

// used says that a pack is of use now: the one that was of none for longest
// goes first.
func (c *metaCache) used(id objects.ID) {
	now := time.Now()
	_ = os.Chtimes(c.path(id), now, now) // else it goes a little earlier
}

// forget removes a pack that is not what it should be.
func (c *metaCache) forget(id objects.ID) { _ = os.Remove(c.path(id)) }

// keep keeps a pack. That it cannot be kept costs requests and nothing else.
// The caller holds mu.
func (c *metaCache) keep(id objects.ID, parts ...[]byte) {
	p := slices.Concat(parts...)
	if int64(len(p)) > c.limit {
		return
	}
	if !c.known {
		c.held, c.known = c.size(), true
	}
	if replaceFile(c.path(id), p) == nil {
		c.held += int64(len(p))
	}
	if c.held > c.limit {
		c.held = c.evict(c.limit - c.limit/8)
	}
}

func (c *metaCache) files() (list []fs.FileInfo) {
	entries, _ := os.ReadDir(c.dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			list = append(list, info)
		}
	}
	return list
}

func (c *metaCache) size() (n int64) {
	for _, f := range c.files() {
		n += f.Size()
	}
	return n
}

// evict removes what was of no use for longest, until no more than that many
// bytes are left, and returns how many are.
func (c *metaCache) evict(most int64) (left int64) {
	files := c.files()
	slices.SortFunc(files, func(a, b fs.FileInfo) int {
		return cmp.Or(b.ModTime().Compare(a.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	for _, f := range files {
		if left+f.Size() <= most {
			left += f.Size()
			continue
		}
		if err := os.Remove(filepath.Join(c.dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			left += f.Size()
		}
	}
	return left
}

// KeepPack keeps a pack that this run has made durable, if it is one of metadata:
// packer.Options.Stored.
func (r *Repository) KeepPack(p *pack.Pack) {
	if p.Kind != objects.Meta || r.meta.limit == 0 {
		return
	}
	r.meta.mu.Lock()
	defer r.meta.mu.Unlock()
	r.meta.keep(p.ID, p.Parts...)
}

// metaFrame opens the frame of metadata at place.
func (r *Repository) metaFrame(ctx context.Context, place index.Place) ([]byte, error) {
	off, length := int64(place.Frame.Off), int64(place.Frame.Stored)
	if r.meta.limit > 0 {
		if raw, ok := r.keptFrame(place); ok {
			return raw, nil
		}
		r.meta.mu.Lock()
		defer r.meta.mu.Unlock()
		if raw, ok := r.keptFrame(place); ok { // by who held mu before
			return raw, nil
		}
		if p, ok := r.fetchMeta(ctx, place.Pack); ok {
			return r.OpenFrame(nil, objects.Meta, place.Key, place.Frame, p[off:off+length])
		}
	}
	sealed, err := r.Read(ctx, place.Pack, off, length)
	if err != nil {
		return nil, err
	}
	return r.OpenFrame(nil, objects.Meta, place.Key, place.Frame, sealed)
}

// keptFrame opens a frame of a pack that is on this machine. A pack in which it
// is not what it should be is not any more.
func (r *Repository) keptFrame(place index.Place) ([]byte, bool) {
	sealed, ok := r.meta.read(place.Pack, int64(place.Frame.Off), int64(place.Frame.Stored))
	if !ok {
		return nil, false
	}
	raw, err := r.OpenFrame(nil, objects.Meta, place.Key, place.Frame, sealed)
	if err != nil {
		r.meta.forget(place.Pack)
		return nil, false
	}
	r.meta.used(place.Pack)
	return raw, true
}

// fetchMeta reads a pack whole and keeps it: what is wanted next lies beside
// what is wanted now, and one request costs more than a few hundred KiB. It
// answers false where that cannot be, or the pack is not whole: then the frame
// is read by itself, and the reason found again. The caller holds meta.mu.
func (r *Repository) fetchMeta(ctx context.Context, id objects.ID) ([]byte, bool) {
	p, live := r.State().Packs.Get(id)
	if !live || p.Length > wholeMeta {
		return nil, false
	}
	stored, err := r.store.Backend.Get(ctx, packer.Key(id), backend.Range{})
	if err != nil || objects.ID(blake3.Sum256(stored)) != id {
		return nil, false
	}
	r.meta.keep(id, stored)
	return stored, true
}

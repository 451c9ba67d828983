package repository

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"cairn/backend"
	"cairn/locking"
	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/objects/record"
)

// What a new repository's config says (FORMAT.md §4, and §12 for the reasons).
const (
	chunkUnit = 128 << 10
	fixedUnit = 128 << 10
	frameSize = 1 << 20
)

// InitOptions say how a new repository is protected.
type InitOptions struct {
	Passphrase []byte // for a slot in the repository; not needed with KeyFile
	KDF        crypt.KDF
	Label      string
	Created    time.Time
	ChunkUnit  uint32 // bytes, FORMAT.md §6.2; 0: 128 KiB

	// KeyFile, if set, is given the text of a key file, to be stored durably
	// outside the repository before it returns; no slot is written then.
	KeyFile func(repo objects.RepositoryID, text []byte) error
}

// Init creates a repository in store and returns its ID. It counts as there
// from the moment its config is: an Init that is interrupted before leaves
// nothing that the next one minds.
func Init(ctx context.Context, store Store, o InitOptions) (objects.RepositoryID, error) {
	_, err := store.Backend.Stat(ctx, configKey)
	if err == nil {
		return objects.RepositoryID{}, ErrExists
	}
	if !errors.Is(err, backend.ErrNotExist) {
		return objects.RepositoryID{}, fmt.Errorf("look for a repository: %w", err)
	}
	if err := lostConfig(ctx, store.Backend); err != nil {
		return objects.RepositoryID{}, err
	}
	n, err := newKeys(rand.Reader)
	if err != nil {
		return objects.RepositoryID{}, err
	}
	if err := n.protect(ctx, store, o); err != nil {
		return objects.RepositoryID{}, err
	}
	if err := n.config(ctx, store, o); err != nil {
		return objects.RepositoryID{}, err
	}
	// Should we die here, Open makes the head of a repository without commits.
	chain, err := locking.New(locking.Options{Register: store.Register, Records: store.Backend, Keys: n.keys})
	if err == nil {
		err = chain.Init(ctx)
	}
	if err != nil {
		return objects.RepositoryID{}, fmt.Errorf("create head: %w", err)
	}
	return n.id, nil
}

// newRepository is a repository before it is anywhere.
type newRepository struct {
	id     objects.RepositoryID
	master crypt.Master
	keys   *crypt.Keys
}

func newKeys(random io.Reader) (*newRepository, error) {
	n := new(newRepository)
	if _, err := io.ReadFull(random, n.id[:]); err != nil {
		return nil, fmt.Errorf("make repository id: %w", err)
	}
	var err error
	if n.master, err = crypt.NewMaster(random); err != nil {
		return nil, err
	}
	n.keys, err = crypt.Derive(n.master, n.id, crypt.Preferred())
	return n, err
}

// protect stores the master, sealed, in a slot or in a key file.
func (n *newRepository) protect(ctx context.Context, store Store, o InitOptions) error {
	body, err := crypt.SealSlot(rand.Reader, n.master, n.id, o.Passphrase, o.KDF, o.Label, o.Created)
	if err != nil {
		return fmt.Errorf("seal key: %w", err)
	}
	if o.KeyFile != nil {
		return o.KeyFile(n.id, crypt.EncodeKeyFile(body))
	}
	if err := store.Backend.Put(ctx, slotKey(body), objects.Twice(body)); err != nil {
		return fmt.Errorf("store slot: %w", err)
	}
	return nil
}

func (n *newRepository) config(ctx context.Context, store Store, o InitOptions) error {
	stored, err := record.EncodeConfig(n.keys, record.Config{
		Repository: n.id, AEAD: n.keys.AEAD(), Created: o.Created,
		ChunkUnit: cmp.Or(o.ChunkUnit, chunkUnit), FixedUnit: fixedUnit, FrameSize: frameSize,
	}, rand.Reader)
	if err != nil {
		return fmt.Errorf("make config: %w", err)
	}
	err = store.Backend.Put(ctx, configKey, stored)
	if errors.Is(err, backend.ErrExist) {
		return ErrExists // somebody was faster; our slot names another repository and is ignored
	}
	if err != nil {
		return fmt.Errorf("store config: %w", err)
	}
	return nil
}

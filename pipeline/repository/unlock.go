package repository

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cairn/backend"
	"cairn/objects"
	"cairn/objects/crypt"
)

const configKey backend.Key = "config"

// Unlocker is how a repository is opened: with a key file, a passphrase, or a
// key file that has a passphrase. The zero Unlocker opens nothing.
type Unlocker struct {
	KeyFile []byte // contents of a key file, or nil

	// Passphrase is asked when one is needed; what names what it is for, for
	// a prompt. The slice is the caller's.
	Passphrase func(what string) ([]byte, error)
}

// unlock returns the master, and the slot that it was in if that is not a key
// file. Slots are read from the repository unless one is given.
func (u Unlocker) unlock(ctx context.Context, r *Repository, repo objects.RepositoryID, given []byte) (crypt.Master, []byte, error) {
	if u.KeyFile != nil {
		master, err := u.fromFile(repo)
		return master, nil, err
	}
	if given != nil {
		return u.fromSlots(r, [][]byte{given})
	}
	slots, damage, err := r.slots(ctx, repo)
	if err != nil {
		return crypt.Master{}, nil, err
	}
	if len(slots) == 0 && damage != nil {
		return crypt.Master{}, nil, damage
	}
	return u.fromSlots(r, slots)
}

// askingOnce returns u with a passphrase that is asked for once and then known.
func (u Unlocker) askingOnce() Unlocker {
	ask := u.Passphrase
	if ask == nil {
		return u
	}
	known := map[string][]byte{}
	u.Passphrase = func(what string) ([]byte, error) {
		if p, ok := known[what]; ok {
			return p, nil
		}
		p, err := ask(what)
		if err == nil {
			known[what] = p
		}
		return p, err
	}
	return u
}

// fromFile opens the key file. Only there may a slot have no passphrase.
func (u Unlocker) fromFile(repo objects.RepositoryID) (crypt.Master, error) {
	body, err := crypt.DecodeKeyFile(u.KeyFile)
	if err != nil {
		return crypt.Master{}, fmt.Errorf("read key file: %w", err)
	}
	names, kdf, err := crypt.PeekSlot(body)
	if err != nil {
		return crypt.Master{}, fmt.Errorf("read key file: %w", err)
	}
	if names != repo {
		return crypt.Master{}, fmt.Errorf("%w: the key file is for repository %s, this one is %s", ErrNoKey, names, repo)
	}
	var passphrase []byte
	if !kdf.None() {
		if passphrase, err = u.Passphrase("the key file"); err != nil {
			return crypt.Master{}, err
		}
	}
	slot, err := crypt.OpenKeySlot(body, passphrase)
	if err != nil {
		return crypt.Master{}, fmt.Errorf("open key file: %w", err)
	}
	return slot.Master, nil
}

// fromSlots tries the passphrase on every slot.
func (u Unlocker) fromSlots(r *Repository, slots [][]byte) (crypt.Master, []byte, error) {
	if len(slots) == 0 {
		return crypt.Master{}, nil, fmt.Errorf("%w: this repository has no passphrase; it is opened with its key file (--key-file or CAIRN_KEY_FILE)", ErrNoKey)
	}
	if u.Passphrase == nil {
		return crypt.Master{}, nil, fmt.Errorf("%w: a passphrase is needed", ErrNoKey)
	}
	passphrase, err := u.Passphrase("the repository")
	if err != nil {
		return crypt.Master{}, nil, err
	}
	for _, body := range slots {
		slot, err := crypt.OpenSlot(body, passphrase)
		if errors.Is(err, crypt.ErrWrongPassphrase) {
			continue
		}
		if err != nil {
			r.warn(fmt.Errorf("open slot: %w", err))
			continue
		}
		return slot.Master, body, nil
	}
	return crypt.Master{}, nil, crypt.ErrWrongPassphrase
}

// slots returns the bodies of the slots that may open this repository, and
// what is wrong with one that cannot be read.
func (r *Repository) slots(ctx context.Context, repo objects.RepositoryID) (bodies [][]byte, damage, err error) {
	for info, err := range r.store.Backend.List(ctx, "keys/") {
		if err != nil {
			return nil, nil, fmt.Errorf("list keys: %w", err)
		}
		body, err := r.slot(ctx, info.Key)
		if err != nil {
			damage = err
			r.warn(err)
			continue
		}
		names, kdf, err := crypt.PeekSlot(body)
		switch {
		case err != nil:
			r.warn(fmt.Errorf("read %s: %w", info.Key, err))
		case names != repo: // FORMAT.md §5.4
		case kdf.None(): // FORMAT.md §5.3
			r.warn(fmt.Errorf("%s has no passphrase and is not used: whoever put it there could read everything", info.Key))
		default:
			bodies = append(bodies, body)
		}
	}
	return bodies, damage, nil
}

// slot reads one slot, from whichever of its copies is whole.
func (r *Repository) slot(ctx context.Context, key backend.Key) ([]byte, error) {
	id, err := objects.ParseID(strings.TrimPrefix(string(key), "keys/"))
	if err != nil {
		return nil, fmt.Errorf("%s is no slot of cairn and is not used: %w", key, err)
	}
	stored, err := r.store.Backend.Get(ctx, key, backend.Range{})
	if err != nil {
		return nil, fmt.Errorf("read slot: %w", err)
	}
	body, damaged, err := crypt.SlotBody(id, stored)
	if err == nil && damaged {
		r.warn(fmt.Errorf("one of the two copies of %s is damaged; the other one is used", key))
	}
	return body, err
}

// slotKey is where a slot is stored (FORMAT.md §2).
func slotKey(body []byte) backend.Key {
	return backend.Key("keys/" + crypt.SlotName(body).String())
}

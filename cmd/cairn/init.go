package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"cairn/objects"
	"cairn/objects/crypt"
	"cairn/pipeline/repository"
)

// initCmd creates a repository.
type initCmd struct {
	KDF string `enum:"default,strong" default:"default" placeholder:"COST" help:"How costly it is to try a passphrase: default (64 MiB of memory, about 0.2 s) or strong (1 GiB). Of no use with --key-file."`

	CreateBucket bool `help:"Make the bucket too, if it is missing."`
	SingleWriter bool `help:"Go on although the store cannot keep two writers apart: you promise that only one cairn at a time will ever write there."`
}

// Help implements kong's longer help.
func (initCmd) Help() string {
	return `The directory is made if missing, and must be empty. The key is protected by a
passphrase, which is asked for, or with --key-file written to a new file of its
own outside the repository:

    cairn -r /mnt/backup/cairn init
    cairn -r /mnt/backup/cairn --key-file ~/cairn.key init
    cairn -r s3://my-bucket/cairn init

In a bucket, nothing else may lie below the prefix. Stores are tried first:
whether they keep two writers apart that meet.

Without passphrase or key file nobody can read the backups, you included.`
}

// Run implements the verb.
func (c *initCmd) Run(ctx context.Context, g *globals) error {
	loc, err := g.location()
	if err != nil {
		return err
	}
	s, err := g.findSecret(ctx)
	if err != nil {
		return err
	}
	return g.create(ctx, loc, s, c.kdf(), making{bucket: c.CreateBucket, alone: c.SingleWriter})
}

func (c *initCmd) kdf() crypt.KDF {
	if c.KDF == "strong" {
		return crypt.StrongKDF()
	}
	return crypt.DefaultKDF()
}

// create makes a repository at loc, protected by s, and says where it is.
func (g *globals) create(ctx context.Context, loc location, s secret, kdf crypt.KDF, m making) error {
	if err := checkLocation(ctx, loc, m); err != nil {
		return err // before a passphrase is asked for
	}
	o := repository.InitOptions{KDF: kdf, Created: time.Now(), Label: "made by cairn init"}
	if s.keyFile != "" {
		o.KDF = crypt.NoKDF()
		o.KeyFile = func(_ objects.RepositoryID, text []byte) error { return writeKeyFile(s.keyFile, text) }
	} else {
		var err error
		if o.Passphrase, err = s.newPassphrase(ctx, g.term); err != nil {
			return err
		}
		if len(o.Passphrase) == 0 {
			return errors.New("the passphrase is empty; nothing was created")
		}
	}
	store, err := createStore(ctx, loc, m)
	if err != nil {
		return err
	}
	id, err := repository.Init(ctx, store, o)
	if err != nil {
		return fmt.Errorf("create repository %s: %w", loc, errors.Join(err, store.Backend.Close()))
	}
	g.created(loc, s.keyFile, id)
	return store.Backend.Close()
}

// created says what there is now, and what to do about it.
func (g *globals) created(loc location, keyFile string, id objects.RepositoryID) {
	if g.cli.Quiet {
		return
	}
	t := g.term
	t.warn("created repository %s (%s)", loc, id)
	if keyFile == "" {
		t.warn("it opens with your passphrase only: without it nobody can read it, you included")
		return
	}
	t.warn("its key is %s", keyFile)
	t.warn("copy the key to another place now: without it nobody can read the backups, you included")
}

// writeKeyFile writes a new key file durably.
func writeKeyFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return keyFileExists(path)
	}
	if err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	return syncDirectory(filepath.Dir(path))
}

// keyFileExists says what there is to know of the key file at path. It may be
// the only one of a repository that is elsewhere, so it is never touched; it may
// also be what an init left that was killed before there was a repository. That
// only a person can tell.
func keyFileExists(path string) error {
	of := "is not whole"
	if text, err := os.ReadFile(path); err == nil {
		if body, err := crypt.DecodeKeyFile(text); err == nil {
			of = describeKey(body)
		}
	}
	return fmt.Errorf("key file %s exists already and is left as it is; it %s: "+
		"if an init that was interrupted has left it, it opens nothing, so remove it and run this again; if not, name another with --key-file", path, of)
}

// describeKey returns what the slot of a key file is for, and when it was made
// where that can be read without a passphrase.
func describeKey(body []byte) string {
	repo, kdf, err := crypt.PeekSlot(body)
	if err != nil {
		return "cannot be read"
	}
	of := "is for repository " + repo.String()
	if kdf.None() {
		if slot, err := crypt.OpenKeySlot(body, nil); err == nil {
			of += ", made " + slot.Created.Local().Format("2006-01-02 15:04:05")
		}
	}
	return of
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

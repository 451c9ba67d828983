package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"cairn/backend/probe"
	"cairn/backend/sftp"
	"cairn/pipeline/repository"
)

// host is the location of a repository in a directory of an SFTP server.
type host struct {
	g  *globals
	at sftp.Location

	mu sync.Mutex
	// store is connected and waits for whoever opens it: a look at what is there
	// and the store that follows need log in only once. Guarded by mu.
	store *sftp.Store
}

// parseHost reads the URL of a directory on an SFTP server.
func (g *globals) parseHost(typed string) (location, error) {
	at, err := sftp.Parse(typed)
	if err != nil {
		return nil, usage(fmt.Errorf("--repo: %w", err))
	}
	return &host{g: g, at: at}, nil
}

func (h *host) String() string       { return h.at.String() }
func (h *host) directory() string    { return "" }
func (h *host) transfers() transfers { return transfers{puts: 3} }

// connect returns the connected store, which take gives away.
func (h *host) connect(ctx context.Context) (*sftp.Store, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.store != nil {
		return h.store, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("find the home directory: %w", err)
	}
	_, login := identity()
	h.store, err = sftp.Dial(ctx, h.at, sftp.Options{
		Home: home, User: login, AgentSocket: os.Getenv("SSH_AUTH_SOCK"),
		Ask: h.g.term.askLine, Tap: h.g.wire.tap(),
	})
	return h.store, err
}

// take returns the store for somebody who will close it.
func (h *host) take() repository.Store {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.store
	h.store = nil
	return h.g.patient(s)
}

func (h *host) find(ctx context.Context) (found, error) {
	s, err := h.connect(ctx)
	if err != nil {
		return foreign, err
	}
	return foundAs(s.Inspect(ctx))
}

func (h *host) create(ctx context.Context, _ making) (repository.Store, error) {
	s, err := h.connect(ctx)
	if err == nil {
		err = s.Create(ctx)
	}
	verdict := probe.None
	if err == nil {
		verdict, err = probe.Run(ctx, probe.Quick, func() (probe.Cell, error) { return s.Scratch(probeName()), nil })
	}
	switch {
	case err != nil:
		return repository.Store{}, err
	case verdict != probe.CAS:
		return repository.Store{}, errLetsBothIn
	}
	return h.take(), nil
}

// errLetsBothIn ends an init on a server that does not keep writers apart.
var errLetsBothIn = errors.New("this server let two writers make the same file: of two cairns that write at the same time, " +
	"one would undo what the other has committed; keep the repository on another")

func (h *host) open(ctx context.Context) (repository.Store, error) {
	is, err := h.find(ctx)
	if err != nil {
		return repository.Store{}, err
	}
	if is != ours {
		return repository.Store{}, repository.ErrNotFound
	}
	return h.take(), nil
}

func (h *host) examine(ctx context.Context) (examinee, error) {
	s, err := h.connect(ctx)
	if err != nil {
		return examinee{}, err
	}
	return examinee{
		Subject: probe.Subject{
			Store: h.take().Backend, Cell: func() (probe.Cell, error) { return s.Scratch(probeName()), nil },
		},
		flushing: func(ctx context.Context) (finding, error) {
			is, err := s.Flushing(ctx)
			switch {
			case err != nil:
				return finding{}, err
			case is == sftp.FlushesAll:
				return finding{Result: good, Seen: "files and directories are on the disk when a write ends"}, nil
			case is == sftp.FlushesFiles:
				return finding{Result: weak, Seen: "files are on the disk when a write ends; the server does not say so of their names"}, nil
			}
			return finding{Result: weak, Seen: "the server writes to its disk when it likes: after a crash of its machine, run cairn check"}, nil
		},
	}, nil
}

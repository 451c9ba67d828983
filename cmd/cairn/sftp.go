package main

import (
	"context"
	"fmt"
	"os"
	"sync"

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
func (h *host) transfers() transfers { return transfers{} }

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
	switch state, err := s.Inspect(ctx); {
	case err != nil:
		return foreign, err
	case state == sftp.Ours:
		return ours, nil
	case state == sftp.Foreign:
		return foreign, nil
	}
	return nothing, nil
}

func (h *host) create(ctx context.Context, _ making) (repository.Store, error) {
	s, err := h.connect(ctx)
	if err == nil {
		err = s.Create(ctx)
	}
	if err != nil {
		return repository.Store{}, err
	}
	return h.take(), nil
}

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

package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cairn/locking"
	"cairn/objects/record"
)

// A Setting is a property of a repository that can be changed. Its value is
// part of the history: every run on every host sees the newest.
type Setting struct {
	Name    string
	About   string // for people
	Default string
	check   func(value string) error
}

// ErrNoSetting says that there is no setting of a name.
var ErrNoSetting = errors.New("no such setting")

// Settings returns all settings there are, by name.
func Settings() []Setting {
	return []Setting{{
		Name: locking.WritersSetting,
		About: "in-turn: backups to this repository wait for each other. " +
			"parallel: they run side by side; only the moment of their commit is serial.",
		Default: locking.InTurn.String(),
		check: func(value string) error {
			_, err := locking.ParseWriters(value)
			return err
		},
	}}
}

// findSetting returns the setting of a name, or an ErrNoSetting.
func findSetting(name string) (Setting, error) {
	all := Settings()
	i := slices.IndexFunc(all, func(s Setting) bool { return s.Name == name })
	if i < 0 {
		return Setting{}, fmt.Errorf("%w: %q", ErrNoSetting, name)
	}
	return all[i], nil
}

// Setting returns the value of a setting, as of when the repository was read
// last, and whether anybody has set it.
func (r *Repository) Setting(name string) (value string, set bool, err error) {
	s, err := findSetting(name)
	if err != nil {
		return "", false, err
	}
	if value, set := r.State().Settings[name]; set {
		return string(value), true, nil
	}
	return s.Default, false, nil
}

// Set changes a setting, for everybody. It answers false, and changes nothing,
// if it has that value already.
func (r *Repository) Set(ctx context.Context, name, value string, now time.Time) (changed bool, err error) {
	s, err := findSetting(name)
	if err != nil {
		return false, err
	}
	if err := s.check(value); err != nil {
		return false, fmt.Errorf("set %s: %w", name, err)
	}
	if old, set := r.State().Settings[name]; set && string(old) == value {
		return false, nil
	}
	lease, ctx, err := r.chain.Begin(ctx, locking.Run{
		Host: r.o.Host, User: r.o.User, Command: r.o.Command, Wait: r.o.Wait, Waiting: r.o.Waiting,
	})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, lease.Release(context.WithoutCancel(ctx))) }()
	c := &record.Commit{
		Made: now, Host: r.o.Host, User: r.o.User,
		Settings: []record.Setting{{Name: name, Value: []byte(value)}},
	}
	if err := lease.Commit(ctx, c, locking.Release); err != nil {
		return false, fmt.Errorf("set %s: %w", name, err)
	}
	return true, r.Refresh(ctx)
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// phase is one thing that a tool does.
type phase string

const (
	version   phase = "version"
	initial   phase = "init"
	empty     phase = "list" // of the archives of an empty repository
	first     phase = "first"
	unchanged phase = "unchanged"
	changed   phase = "changed"
	restored  phase = "restore"
	deleted   phase = "delete"
	compacted phase = "compact"
)

// A tool is a program that makes backups, called in one way. Commands are
// words; $dir is the place of the repository, $repo is the repository in it,
// $target is where a restore goes and starts, $archive and $latest are
// names of archives, $paths is what to back up, $keep how many archives are to
// stay, and $old the ids of the others.
type tool struct {
	name    string
	program string // looked up, unless it is a path
	env     string
	s3      string // what the address of a bucket begins with; empty: there are no repositories in buckets
	warning int    // exit code of a run that did its work, with warnings

	version, init, list, backup, restore string

	unchanged string // command for what did not change; empty: backup

	delete, compact string // of the older archives, and of the room that they took
	ids             string // prints archives with their ids as JSON, the oldest first; empty: delete needs none
}

// known returns all tools; program is the path of cairn. The passphrase
// protects nothing.
func known(program string) []*tool {
	cairn := tool{
		name: "cairn", program: program, warning: 1, env: "CAIRN_REPOSITORY=$repo CAIRN_KEY_FILE=$dir/key", s3: "s3+http://",
		version: "version", init: "init -q", list: "list", backup: "backup -q $paths", restore: "restore -q latest --target $target",
		delete: "delete -q $old", compact: "compact -q --now", ids: "--json list",
	}
	withPassphrase := cairn
	withPassphrase.name, withPassphrase.env = "cairn-passphrase", "CAIRN_REPOSITORY=$repo CAIRN_PASSPHRASE=not-a-secret"

	restic := tool{
		name: "restic", program: "restic", warning: 3,
		env: "RESTIC_REPOSITORY=$repo RESTIC_PASSWORD=not-a-secret RESTIC_CACHE_DIR=$dir/cache", s3: "s3:http://",
		version: "version", init: "init -q", list: "snapshots", backup: "backup -q $paths", restore: "restore -q latest --target $target",
		delete: "forget -q --keep-last $keep", compact: "prune -q",
	}
	borg := tool{
		name: "borg", program: "borg", warning: 1,
		env:     "BORG_REPO=$repo BORG_PASSPHRASE=not-a-secret BORG_BASE_DIR=$dir/home",
		version: "--version", init: "init -e repokey-blake2", list: "list", backup: "create ::$archive $paths", restore: "extract ::$latest",
		delete: "prune --keep-last $keep", compact: "compact",
	}
	withZstd := borg
	withZstd.name, withZstd.backup = "borg-zstd", "create --compression zstd,3 ::$archive $paths"

	// No backup: it copies, and looks for changes with find.
	floor := tool{
		name: "floor", program: "env",
		version: "cp --version", init: "mkdir $repo", list: "ls $repo", backup: "cp -a -t $repo -- $paths", restore: "cp -a -T -- $repo $target",
		unchanged: `find $paths -printf %s/%T@/%C@/%i/%P\n`,
	}
	return []*tool{&cairn, &withPassphrase, &restic, &borg, &withZstd, &floor}
}

// choose returns the tools that names lists, and the names of those that are
// not installed.
func choose(all []*tool, names string) (found []*tool, missing []string, err error) {
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(t *tool) bool { return t.name == name })
		if i < 0 {
			return nil, nil, fmt.Errorf("no tool is called %q", name)
		}
		if _, err := exec.LookPath(all[i].program); err != nil {
			missing = append(missing, name)
			continue
		}
		found = append(found, all[i])
	}
	return found, missing, nil
}

// words returns the command for a phase.
func (t *tool) words(phase phase) []string {
	command := t.backup
	switch {
	case phase == version:
		command = t.version
	case phase == initial:
		command = t.init
	case phase == empty:
		command = t.list
	case phase == restored:
		command = t.restore
	case phase == deleted:
		command = t.delete
	case phase == compacted:
		command = t.compact
	case phase == unchanged && t.unchanged != "":
		command = t.unchanged
	}
	return strings.Fields(command)
}

// place is where one repository and everything about it lies: a directory.
type place string

func (p place) repo() string   { return filepath.Join(string(p), "repo") }
func (p place) home() string   { return filepath.Join(string(p), "home") }
func (p place) target() string { return filepath.Join(string(p), "restored") }

// make makes the directories that a tool takes for granted.
func (p place) make() error {
	for _, dir := range []string{p.home(), p.target()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// job is one run of a tool.
type job struct {
	tool    *tool
	at      place
	bucket  *bucket // that the repository is in; nil: it is in at
	phase   phase
	archive string   // that a backup makes; empty: called like the phase
	latest  phase    // that made an archive, called like it
	paths   []string // to back up
	keep    int      // archives that are to stay
	old     []string // ids of the others, if the tool wants them
}

// command returns a run that knows nothing of the user who benchmarks.
func (j *job) command(ctx context.Context) *exec.Cmd {
	values := map[string]string{"dir": string(j.at), "repo": j.repo(), "target": j.at.target(),
		"archive": cmp.Or(j.archive, string(j.phase)), "latest": string(j.latest), "keep": strconv.Itoa(j.keep)}
	expand := func(word string) string { return os.Expand(word, func(name string) string { return values[name] }) }
	cmd := exec.CommandContext(ctx, j.tool.program)
	for _, word := range j.tool.words(j.phase) {
		switch word {
		case "$paths":
			cmd.Args = append(cmd.Args, j.paths...)
		case "$old":
			cmd.Args = append(cmd.Args, j.old...)
		default:
			cmd.Args = append(cmd.Args, expand(word))
		}
	}
	cmd.Dir = j.at.target()
	cmd.Env = []string{"HOME=" + j.at.home(), "TMPDIR=" + j.at.home(), "PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
	for _, setting := range strings.Fields(j.tool.env) {
		cmd.Env = append(cmd.Env, expand(setting))
	}
	if j.bucket != nil {
		cmd.Env = append(cmd.Env, j.bucket.env()...)
	}
	return cmd
}

// buildCairn builds the cairn of this module.
func buildCairn(ctx context.Context, path string) error {
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "cairn/cmd/cairn").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build cairn: %w: %s", err, out)
	}
	return nil
}

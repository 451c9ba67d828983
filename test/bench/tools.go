package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The secrets of these repositories protect nothing.
const passphrase = "correct horse battery staple"

// phase is what is done with a repository, one after another. It names the
// archive that it makes.
type phase string

const (
	first     phase = "first"
	unchanged phase = "unchanged"
	changed   phase = "changed"
	restored  phase = "restore"
)

// A tool is a program that makes backups, called in one way.
type tool struct {
	name    string
	program string // looked up, unless it is a path
	env     func(p place) []string
	warning int // exit code of a run that did its work, with warnings

	// Arguments. A restore starts in the directory that it is to fill.
	version func(p place) []string
	init    func(p place) []string
	list    func(p place) []string // lists the archives
	backup  func(p place, name phase, paths []string) []string
	restore func(p place, latest phase) []string
}

// place is where one repository and everything about it lies: a directory.
type place string

func (p place) in(name string) string { return filepath.Join(string(p), name) }
func (p place) repo() string          { return p.in("repo") }
func (p place) target() string        { return p.in("restored") }

// make makes the directories that a tool takes for granted.
func (p place) make() error {
	for _, dir := range []string{p.in("home"), p.in("tmp"), p.target()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// command returns a run of t that knows nothing of the user who benchmarks.
func (t *tool) command(ctx context.Context, p place, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, t.program, args...)
	cmd.Dir = p.target()
	cmd.Env = append([]string{"HOME=" + p.in("home"), "TMPDIR=" + p.in("tmp"), "PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}, t.env(p)...)
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

// known returns all tools; program is the path of cairn.
func known(program string) []*tool {
	return []*tool{
		cairn("cairn", program, func(p place) []string { return []string{"CAIRN_KEY_FILE=" + p.in("key")} }),
		cairn("cairn-passphrase", program, func(place) []string { return []string{"CAIRN_PASSPHRASE=" + passphrase} }),
		restic(), borg("borg"), borg("borg-zstd", "--compression", "zstd,3"), floor(),
	}
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

func cairn(name, program string, secret func(place) []string) *tool {
	return &tool{
		name: name, program: program, warning: 1,
		env:     func(p place) []string { return append(secret(p), "CAIRN_REPOSITORY="+p.repo()) },
		version: func(place) []string { return []string{"version"} },
		init:    func(place) []string { return []string{"init", "-q"} },
		list:    func(place) []string { return []string{"list"} },
		backup: func(_ place, _ phase, paths []string) []string {
			return append([]string{"backup", "-q"}, paths...)
		},
		restore: func(p place, _ phase) []string { return []string{"restore", "-q", "latest", "--target", p.target()} },
	}
}

func restic() *tool {
	return &tool{
		name: "restic", program: "restic", warning: 3,
		env: func(p place) []string {
			return []string{"RESTIC_REPOSITORY=" + p.repo(), "RESTIC_PASSWORD=" + passphrase, "RESTIC_CACHE_DIR=" + p.in("cache")}
		},
		version: func(place) []string { return []string{"version"} },
		init:    func(place) []string { return []string{"init", "-q"} },
		list:    func(place) []string { return []string{"snapshots"} },
		backup: func(_ place, _ phase, paths []string) []string {
			return append([]string{"backup", "-q"}, paths...)
		},
		restore: func(p place, _ phase) []string { return []string{"restore", "-q", "latest", "--target", p.target()} },
	}
}

func borg(name string, options ...string) *tool {
	return &tool{
		name: name, program: "borg", warning: 1,
		env: func(p place) []string {
			return []string{"BORG_REPO=" + p.repo(), "BORG_PASSPHRASE=" + passphrase, "BORG_BASE_DIR=" + p.in("home")}
		},
		version: func(place) []string { return []string{"--version"} },
		init:    func(place) []string { return []string{"init", "-e", "repokey-blake2"} },
		list:    func(place) []string { return []string{"list"} },
		backup: func(_ place, name phase, paths []string) []string {
			return slices.Concat([]string{"create"}, options, []string{"::" + string(name)}, paths)
		},
		restore: func(_ place, latest phase) []string { return []string{"extract", "::" + string(latest)} },
	}
}

// floor is no backup: it copies, and looks for changes with find.
func floor() *tool {
	return &tool{
		name: "floor", program: "sh",
		env:     func(place) []string { return nil },
		version: func(place) []string { return []string{"-c", "cp --version | head -n 1"} },
		init:    func(p place) []string { return []string{"-c", `exec mkdir "$0"`, p.repo()} },
		list:    func(p place) []string { return []string{"-c", `exec ls "$0"`, p.repo()} },
		backup: func(p place, name phase, paths []string) []string {
			script := `exec cp -a -- "$@" "$0"`
			if name == unchanged {
				script = `exec find "$@" -printf '%s %T@ %C@ %i %P\n'`
			}
			return append([]string{"-c", script, p.repo()}, paths...)
		},
		restore: func(p place, _ phase) []string { return []string{"-c", `exec cp -a -- "$0/." .`, p.repo()} },
	}
}

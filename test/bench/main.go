// Command bench measures cairn: "peers" beside what a user would pick instead,
// "room" likewise where archives are deleted, "tiny" likewise after very many
// small backups, "unit" with chunks of different sizes. It prints Markdown.
//
//	go run ./test/bench peers --tree /usr/share --image disk.img --random 1G --tiny 100000
//	go run ./test/bench room --bytes 2G
//	go run ./test/bench tiny --runs 1000 --store minio
//	go run ./test/bench unit --image disk.img
//
// Everything it writes lies below one new directory in --work, which is
// removed at the end and not before: where many files have just been removed,
// ext4 is slow to make new ones. A MinIO has another one, where temporary files
// are. There must be room for everything that all runs store and restore. Only
// figures of one run compare.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const synopsis = `usage: bench peers [--tree DIR]... [--image FILE] [--random BYTES] [--tiny N] [--runs N] [--tools LIST] [--work DIR]
       bench room [--bytes BYTES] [--archives N] [--runs N] [--tools LIST] [--work DIR]
       bench tiny [--runs N] [--files N] [--store local|minio] [--tools LIST] [--work DIR]
       bench unit [--image FILE] [--file BYTES] [--units LIST] [--work DIR]`

var errUsage = errors.New(synopsis)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
}

// run runs one command line and writes its tables to out.
func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	var verb interface {
		flags(*flag.FlagSet)
		run(ctx context.Context, work string, out io.Writer) error
	}
	switch args[0] {
	case "peers":
		verb = new(peers)
	case "room":
		verb = new(room)
	case "tiny":
		verb = new(series)
	case "unit":
		verb = new(units)
	default:
		return errUsage
	}
	f := flag.NewFlagSet("bench "+args[0], flag.ContinueOnError)
	parent := f.String("work", "", "write below this `directory` (default: that for temporary files)")
	verb.flags(f)
	if err := f.Parse(args[1:]); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return errUsage
	}
	work, err := newWork(*parent)
	if err != nil {
		return err
	}
	return errors.Join(verb.run(ctx, work, out), remove(work))
}

// newWork returns a new directory, by its absolute path.
func newWork(parent string) (string, error) {
	work, err := os.MkdirTemp(parent, "cairn-bench-")
	if err != nil {
		return "", err
	}
	return filepath.Abs(work)
}

// remove removes work with everything in it, restored directories that nobody
// may write to included.
func remove(work string) error {
	err := filepath.WalkDir(work, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	return errors.Join(err, os.RemoveAll(work))
}

// size is a flag: a number of bytes, with K, M or G for powers of 1024.
type size int64

// String implements flag.Value.
func (s *size) String() string { return strconv.FormatInt(int64(*s), 10) }

// Set implements flag.Value.
func (s *size) Set(text string) error {
	digits, shift := strings.TrimRight(text, "KMG"), 0
	if suffix := text[len(digits):]; suffix != "" {
		shift = 10 * (strings.Index("KMG", suffix) + 1)
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift || len(text)-len(digits) > 1 {
		return fmt.Errorf("%q is no number of bytes like 64K", text)
	}
	*s = size(n << shift)
	return nil
}

// list is a flag that may be given several times.
type list []string

// String implements flag.Value.
func (l *list) String() string { return strings.Join(*l, ",") }

// Set implements flag.Value.
func (l *list) Set(text string) error {
	*l = append(*l, text)
	return nil
}

// Cairn makes encrypted, deduplicating backups.
//
// There is one file for every verb; what they share is in store.go (what
// --repo can name), repo.go (how a repository is opened), secret.go (keys and
// passphrases), term.go (what a person sees) and exit.go (how a run ends).
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"cairn/cmd/manual"
)

// cli is the command line: flags that every verb has, and the verbs.
type cli struct {
	Repo           string    `short:"r" env:"CAIRN_REPOSITORY" placeholder:"PLACE" help:"The repository: a directory, sftp://USER@HOST/PATH, s3://BUCKET/PREFIX, or s3+https://HOST:PORT/BUCKET/PREFIX (default: a directory under your home)."`
	KeyFile        string    `placeholder:"FILE" type:"path" help:"Open the repository with this key file ($$CAIRN_KEY_FILE)."`
	PassphraseFile string    `placeholder:"FILE" type:"path" help:"Read the passphrase from the first line of this file ($$CAIRN_PASSPHRASE_FILE)."`
	LockWait       wait      `default:"1h" placeholder:"TIME" help:"How long to wait while another run writes to the repository; 0 fails at once (default: ${default})."`
	CacheLimit     cacheSize `default:"1GiB" env:"CAIRN_CACHE_LIMIT" placeholder:"SIZE" help:"How much metadata of a remote repository is kept on this machine, so that it is not read again; 0: none (default: ${default})."`
	LimitUpload    kibibytes `placeholder:"KIB" help:"Send at most so many KiB a second to a remote repository."`
	LimitDownload  kibibytes `placeholder:"KIB" help:"Receive at most so many KiB a second from a remote repository."`
	AcceptRollback bool      `help:"Go on although the repository is older than what was last seen of it from here, or has another history."`
	JSON           bool      `name:"json" help:"Print results, warnings and errors as JSON, one object a line."`
	TestTTL        wait      `name:"test-ttl" hidden:"" env:"CAIRN_TEST_TTL" default:"0"` // see globals.timing
	Quiet          bool      `short:"q" xor:"loudness" help:"Print nothing but results, warnings and errors."`
	Verbose        verbosity `short:"v" type:"counter" xor:"loudness" help:"Also say what a run goes by, and figures; -vv: list every file, too, and why."`

	Init     initCmd     `cmd:"" help:"Create a repository."`
	Backup   backupCmd   `cmd:"" aliases:"create" help:"Make an archive of files and directories."`
	List     listCmd     `cmd:"" aliases:"snapshots" help:"List the archives."`
	Ls       lsCmd       `cmd:"" help:"List what is in an archive."`
	Info     infoCmd     `cmd:"" help:"Describe the repository, or one archive."`
	Restore  restoreCmd  `cmd:"" aliases:"extract" help:"Bring back an archive, or parts of it."`
	Delete   deleteCmd   `cmd:"" aliases:"rm" help:"Remove archives."`
	Compact  compactCmd  `cmd:"" help:"Free the room of what no archive needs."`
	Check    checkCmd    `cmd:"" help:"Check that the repository is whole."`
	Doctor   doctorCmd   `cmd:"" help:"Try out whether a place can keep a repository."`
	Lock     lockCmd     `cmd:"" help:"Show who writes to the repository, or take the lock away."`
	WithLock withLockCmd `cmd:"" help:"Run a command while nobody writes to the repository."`
	Config   configCmd   `cmd:"" help:"Show or change the settings of the repository."`

	Cat catCmd `cmd:"" help:"Print a file of an archive."`

	RebuildHead rebuildHeadCmd `cmd:"" help:"Make the head of a repository anew that has lost it."`

	ExportTar exportTarCmd `cmd:"" help:"Write an archive as a tar file."`
	ImportTar importTarCmd `cmd:"" help:"Make an archive of a tar file."`
	Mount     mountCmd     `cmd:"" help:"Show an archive, or all of them, as directories."`
	Umount    umountCmd    `cmd:"" help:"End what mount has begun."`

	Man        manCmd        `cmd:"" help:"Write the manual pages."`
	Completion completionCmd `cmd:"" help:"Write completions for a shell."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

const description = `Encrypted, deduplicating backups.

Make a first backup, into a repository under your home directory:

    cairn backup --init ~/Documents

or into one of your choice:

    cairn -r /mnt/backup/cairn init
    cairn -r /mnt/backup/cairn backup ~/Documents`

func main() { os.Exit(run(os.Args[1:])) }

const (
	// gcPercent is how much garbage may pile up, in percent of what is in use.
	// Cairn makes little of it and holds large buffers that hold no pointers, so
	// that collecting often costs next to nothing and saves half of the memory.
	gcPercent = 20
	// gcPercentFirst takes its place until something has been collected, which is
	// when the heap has grown to this part of 4 MiB: to 8 MiB. A run that has little
	// to do allocates 5 MiB in all and ends without a collection. With gcPercent, the
	// heap would be collected from 0.8 MiB on, half a dozen times, at the cost of a
	// sixth of the run, to save memory that nobody misses.
	gcPercentFirst = 200
)

// limitGarbage sets how much garbage may pile up, unless the user has.
func limitGarbage() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(gcPercentFirst)
	collected := new([64]byte) // by the first collection: nothing else refers to it
	runtime.AddCleanup(collected, func(percent int) { debug.SetGCPercent(percent) }, gcPercent)
}

// run runs one command line and returns its exit code.
func run(args []string) int {
	limitGarbage()
	t := newTerminal()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	c, parsed, err := parse(args)
	t.asJSON = c.JSON
	if err != nil {
		var at *kong.ParseError
		if errors.As(err, &at) {
			t.verb = verbOf(at.Context)
		}
		return t.end(usage(err))
	}
	t.verb = verbOf(parsed)
	ctx, over := interruptible(t)
	defer over()
	g := &globals{cli: c, term: t, wire: newWire(c)}
	parsed.BindTo(ctx, (*context.Context)(nil))
	err = parsed.Run(g)
	g.traffic()
	return t.end(interrupted(ctx, err))
}

// verbOf returns the command that was typed, as far as there is one.
func verbOf(parsed *kong.Context) string {
	if verb := parsed.Selected(); verb != nil {
		return manual.Words(parsed.Model, verb)
	}
	return ""
}

// parse returns what a command line says.
//
// It takes kong some milliseconds to learn all verbs, much of a run that has
// little to do. So it is first told of those only whose names are among the
// arguments, wherever they stand: a verb that is typed is one of them, and what is
// understood without the others means the same with them. What is not, and
// whoever asks for help, gets an answer from a parser that knows everything.
func parse(args []string) (*cli, *kong.Context, error) {
	c := new(cli)
	parser := newParser(c, kong.NoDefaultHelp(), kong.IgnoreFields(unnamed(args)))
	if parsed, err := parser.Parse(gather(parser.Model, args)); err == nil {
		return c, parsed, nil
	}
	c = new(cli)
	parser = newParser(c)
	parsed, err := parser.Parse(gather(parser.Model, args))
	return c, parsed, err
}

// unnamed returns a pattern for the fields of cli that are verbs which the
// arguments do not name.
func unnamed(args []string) string {
	var fields []string
	for field := range reflect.TypeFor[cli]().Fields() {
		aliases := strings.Split(field.Tag.Get("aliases"), ",")
		named := func(arg string) bool {
			return strings.EqualFold(strings.ReplaceAll(arg, "-", ""), field.Name) || slices.Contains(aliases, arg)
		}
		if _, isVerb := field.Tag.Lookup("cmd"); isVerb && !slices.ContainsFunc(args, named) {
			fields = append(fields, field.Name)
		}
	}
	return `^cli\.(` + strings.Join(fields, "|") + `)$`
}

// newParser returns what parses command lines into c.
func newParser(c *cli, options ...kong.Option) *kong.Kong {
	parser, err := kong.New(c, append(options,
		kong.Name("cairn"), kong.Description(description), kong.UsageOnError(),
		kong.Help(manual.Help), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: manual.Width}),
		kong.Writers(os.Stdout, os.Stderr),
	)...)
	if err != nil {
		panic(err) // the model above is wrong
	}
	return parser
}

// patience is how long a run that was interrupted may take to end without a word.
const patience = 3 * time.Second

// interruptible returns a context that SIGINT and SIGTERM end, until over is called:
// from then on the first changes nothing, for how the run ended is decided. A
// second one ends the program at once; t says so if the first takes a while, as it
// does where a store does not answer that has yet to be told what to keep.
func interruptible(t *terminal) (ctx context.Context, over func()) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	forget := context.AfterFunc(ctx, func() {
		stop()
		time.AfterFunc(patience, func() {
			t.say(messageJSON{
				Level: "note", Text: "interrupted: this ends when it is clear what is kept",
				Hint: "interrupt it once more to end it at once: what is stored stays for the next run",
			})
		})
	})
	return ctx, func() { forget() }
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/term"

	"cairn/objects/crypt"
	"cairn/pipeline/repository"
)

// secret is where the key comes from: at most one key file and at most one
// passphrase.
type secret struct {
	keyFile    string // path, or empty
	passphrase func() ([]byte, error)
}

// passphraseSources are the environment's, of which at most one may be set.
var errTwoSources = errors.New("passphrase is given twice")

// findSecret applies the rule that a flag beats the environment and that two
// sources of one kind are an error.
func (g *globals) findSecret(ctx context.Context) (secret, error) {
	s := secret{keyFile: g.cli.KeyFile}
	if s.keyFile == "" {
		s.keyFile = os.Getenv("CAIRN_KEY_FILE")
	}
	if s.keyFile == "" {
		s.keyFile = credential("cairn-key")
	}
	if g.cli.PassphraseFile != "" {
		s.passphrase = passphraseFile(g.cli.PassphraseFile)
		return s, nil
	}
	for _, source := range []struct {
		name string
		read func(value string) func() ([]byte, error)
	}{
		{"CAIRN_PASSPHRASE_FILE", passphraseFile},
		{"CAIRN_PASSPHRASE_FD", passphraseDescriptor},
		{"CAIRN_PASSPHRASE_COMMAND", func(v string) func() ([]byte, error) { return passphraseCommand(ctx, v) }},
		{"CAIRN_PASSPHRASE", func(v string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(v), nil } }},
	} {
		value, set := os.LookupEnv(source.name)
		if !set {
			continue
		}
		if s.passphrase != nil {
			return s, fmt.Errorf("%w: %s and another CAIRN_PASSPHRASE variable are set; unset one", errTwoSources, source.name)
		}
		s.passphrase = source.read(value)
	}
	if path := credential("cairn-passphrase"); s.passphrase == nil && path != "" {
		s.passphrase = passphraseFile(path)
	}
	return s, nil
}

// passphraseFile returns the file that the passphrase is read from, if it is.
func (g *globals) passphraseFile() string {
	if g.cli.PassphraseFile != "" {
		return g.cli.PassphraseFile
	}
	return os.Getenv("CAIRN_PASSPHRASE_FILE")
}

// credential returns the path of a systemd credential, if there is one.
func credential(name string) string {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return ""
	}
	path := dir + "/" + name
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// unlocker opens a repository with s, asking on the terminal for what is
// missing. With an error, which is an ErrNoKey, comes one that opens nothing.
func (s secret) unlocker(ctx context.Context, t *terminal) (repository.Unlocker, error) {
	var u repository.Unlocker
	if s.keyFile != "" {
		text, err := os.ReadFile(s.keyFile)
		if err != nil {
			return u, fmt.Errorf("%w: read key file: %w", repository.ErrNoKey, err)
		}
		if _, err := crypt.DecodeKeyFile(text); err != nil {
			return u, fmt.Errorf("%w: %s: %w", repository.ErrNoKey, s.keyFile, err)
		}
		u.KeyFile = text
	}
	u.Passphrase = func(what string) ([]byte, error) {
		if s.passphrase != nil {
			return s.passphrase()
		}
		return t.ask(ctx, "Passphrase for "+what+": ")
	}
	return u, nil
}

// newPassphrase returns the passphrase for a new repository, asking twice.
func (s secret) newPassphrase(ctx context.Context, t *terminal) ([]byte, error) {
	if s.passphrase != nil {
		return s.passphrase()
	}
	first, err := t.ask(ctx, "New passphrase: ")
	if err != nil {
		return nil, err
	}
	second, err := t.ask(ctx, "The same again: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(first, second) {
		return nil, errors.New("the two passphrases differ; nothing was created")
	}
	return first, nil
}

// ask asks for what opens the repository.
func (t *terminal) ask(ctx context.Context, prompt string) ([]byte, error) {
	line, err := t.askLine(ctx, prompt)
	if errors.Is(err, errNoTerminal) {
		return nil, fmt.Errorf("%w: no passphrase is given and there is no terminal to ask on: "+
			"set CAIRN_PASSPHRASE_FILE, CAIRN_PASSPHRASE_COMMAND or CAIRN_KEY_FILE", repository.ErrNoKey)
	}
	return line, err
}

// errNoTerminal says that nobody can be asked.
var errNoTerminal = errors.New("there is no terminal to ask on")

// askLine reads a line from the terminal without showing it. The read cannot be
// called off: if ctx ends, by a signal, the program ends here, and the
// terminal shows again what is typed.
func (t *terminal) askLine(ctx context.Context, prompt string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, errNoTerminal
	}
	defer tty.Close()
	if state, err := term.GetState(int(tty.Fd())); err == nil {
		defer context.AfterFunc(ctx, func() {
			term.Restore(int(tty.Fd()), state)
			os.Exit(t.end(errInterrupted))
		})()
	}
	t.clear()
	fmt.Fprint(tty, prompt)
	line, err := term.ReadPassword(int(tty.Fd()))
	fmt.Fprintln(tty)
	if err != nil {
		return nil, fmt.Errorf("read passphrase: %w", err)
	}
	return line, nil
}

func passphraseFile(path string) func() ([]byte, error) {
	return func() ([]byte, error) {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("%w: read passphrase: %w", repository.ErrNoKey, err)
		}
		return firstLine(text), nil
	}
}

func passphraseDescriptor(value string) func() ([]byte, error) {
	return func() ([]byte, error) {
		fd, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%w: CAIRN_PASSPHRASE_FD=%s is not the number of an open file", repository.ErrNoKey, value)
		}
		text, err := io.ReadAll(os.NewFile(uintptr(fd), "CAIRN_PASSPHRASE_FD"))
		if err != nil {
			return nil, fmt.Errorf("%w: read passphrase: %w", repository.ErrNoKey, err)
		}
		return firstLine(text), nil
	}
}

func passphraseCommand(ctx context.Context, command string) func() ([]byte, error) {
	return func() ([]byte, error) {
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
		cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
		text, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%w: CAIRN_PASSPHRASE_COMMAND: %w", repository.ErrNoKey, err)
		}
		return firstLine(text), nil
	}
}

func firstLine(text []byte) []byte {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

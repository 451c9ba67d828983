package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ncruces/go-strftime"

	"cairn/pipeline/walk"
)

// naming says what is known of an archive besides what it holds.
type naming struct {
	Name    string   `placeholder:"SERIES" help:"What backups of these paths are called together (default: the paths). {hostname} {fqdn} {user} {pid} {now} {utcnow} {now:%Y-%m-%d} are replaced."`
	Host    string   `placeholder:"HOST" help:"The host that the archive is of (default: this one)."`
	Time    string   `placeholder:"TIME" help:"The time that the archive is of (default: now): 2026-01-31, \"2026-01-31 22:00\", 2026-01-31T22:00:00Z."`
	Comment string   `placeholder:"TEXT" help:"A remark, with the same placeholders."`
	Tag     []string `placeholder:"TAG" help:"A word to find the archive by; may be given several times, or several with commas."`
}

// names are what a run calls its archive.
type names struct {
	host, user string
	time       time.Time
	start      time.Time // time, if it was given; zero: the run's own
	series     string    // empty: after the roots
	name       string    // of the archive, if no other has it
	comment    string
	tags       []string
}

const (
	timeInNames = "2006-01-02T15:04:05"
	defaultTime = "%Y-%m-%dT%H:%M:%S"
)

// names works out what the flags say.
func (n *naming) names() (names, error) {
	host, login := identity()
	out := names{host: host, user: login, time: time.Now()}
	if n.Host != "" {
		out.host = n.Host
	}
	var err error
	if n.Time != "" {
		if out.time, err = parseTime(n.Time); err != nil {
			return names{}, usage(fmt.Errorf("--time: %w", err))
		}
		out.start = out.time
	}
	// Archives of one series share the placeholders of what is new in every run,
	// and not what stands for them.
	if out.series, err = out.expand(n.Name, keepNew); err == nil {
		out.name, err = out.expand(n.Name, fillNew)
	}
	if err != nil {
		return names{}, usage(fmt.Errorf("--name: %w", err))
	}
	if out.comment, err = out.expand(n.Comment, fillNew); err != nil {
		return names{}, usage(fmt.Errorf("--comment: %w", err))
	}
	if out.name == "" {
		out.name, _, _ = strings.Cut(out.host, ".")
	}
	if out.name == out.series || n.Name == "" {
		out.name += "-" + out.time.Format(timeInNames)
	}
	for _, tag := range n.Tag {
		if tag = strings.TrimSpace(tag); tag == "" {
			return names{}, usage(errors.New("--tag: a tag is empty"))
		}
		out.tags = append(out.tags, tag)
	}
	slices.Sort(out.tags)
	out.tags = slices.Compact(out.tags)
	return out, nil
}

// parseTime reads a time as people write it, local unless it says otherwise.
func parseTime(typed string) (time.Time, error) {
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02",
	} {
		if t, err := time.ParseInLocation(layout, typed, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time such as 2026-01-31, 2026-01-31T22:00 or 2026-01-31T22:00:00Z", typed)
}

// expansion says what becomes of the placeholders of what is new in every run.
type expansion uint8

const (
	fillNew expansion = iota
	keepNew
)

// expand replaces the placeholders of text. {{ and }} are braces.
func (n *names) expand(text string, how expansion) (string, error) {
	var b strings.Builder
	for text != "" {
		i := strings.IndexAny(text, "{}")
		if i < 0 {
			i = len(text)
		}
		b.WriteString(text[:i])
		switch text = text[i:]; {
		case text == "":
		case strings.HasPrefix(text, "{{"), strings.HasPrefix(text, "}}"):
			b.WriteByte(text[0])
			text = text[2:]
		default:
			inner, rest, closed := strings.Cut(text[1:], "}")
			if text[0] == '}' || !closed {
				return "", errors.New("a brace stands alone: write {{ or }} for one")
			}
			value, err := n.value(inner, how)
			if err != nil {
				return "", err
			}
			b.WriteString(value)
			text = rest
		}
	}
	return b.String(), nil
}

// value returns what a placeholder stands for.
func (n *names) value(placeholder string, how expansion) (string, error) {
	kind, format, formatted := strings.Cut(placeholder, ":")
	if formatted && kind != "now" && kind != "utcnow" {
		return "", fmt.Errorf("{%s}: only {now} and {utcnow} take a format", placeholder)
	}
	at := n.time
	switch kind {
	case "hostname":
		return n.host, nil
	case "fqdn":
		return fullName(n.host), nil
	case "reverse-fqdn":
		labels := strings.Split(fullName(n.host), ".")
		slices.Reverse(labels)
		return strings.Join(labels, "."), nil
	case "user":
		return n.user, nil
	case "utcnow":
		at = at.UTC()
	case "now", "pid":
	default:
		return "", fmt.Errorf("{%s} stands for nothing: there are {hostname}, {fqdn}, {reverse-fqdn}, {user}, {pid}, {now} and {utcnow}", placeholder)
	}
	if how == keepNew {
		return "{" + placeholder + "}", nil
	}
	switch {
	case kind == "pid":
		return strconv.Itoa(os.Getpid()), nil
	case !formatted:
		format = defaultTime
	}
	return strftime.Format(format, at), nil
}

// fullName returns the host's name with its domain, if somebody knows it.
func fullName(host string) string {
	full, err := net.LookupCNAME(host)
	if err != nil || full == "" {
		return host
	}
	return strings.TrimSuffix(full, ".")
}

// archive returns a name that no archive has yet.
func (n *names) archive(v *session) string {
	unique := n.name
	for i := 2; v.State().Archives.Named(unique); i++ {
		unique = fmt.Sprintf("%s-%d", n.name, i)
	}
	return unique
}

// seriesOf names a series after its roots.
func seriesOf(roots []walk.Root) string {
	var list []string
	for _, root := range roots {
		list = append(list, root.Source)
	}
	return strings.Join(list, " ")
}

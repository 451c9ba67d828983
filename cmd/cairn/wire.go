package main

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"

	"cairn/backend"
	"cairn/backend/meter"
	"cairn/backend/pace"
)

// wire is what lies between this program and the store, if that is a network:
// it counts what goes there, and holds it up.
type wire struct {
	meter  meter.Meter
	limits *pace.Limits
}

func newWire(c *cli) *wire {
	return &wire{limits: pace.NewLimits(int64(c.LimitUpload), int64(c.LimitDownload))}
}

// tap returns what a store is given of it.
func (w *wire) tap() *backend.Tap {
	return &backend.Tap{
		Conn:    func(c net.Conn) net.Conn { return w.limits.Conn(w.meter.Conn(c)) },
		Request: w.meter.Request,
	}
}

// trafficJSON is what went to a store and came from it.
type trafficJSON struct {
	Requests map[string]uint64 `json:"requests"`
	Sent     uint64            `json:"sent"`
	Received uint64            `json:"received"`
}

// traffic tells, with -v, what went to the store and came from it.
func (g *globals) traffic() {
	t := g.wire.meter.Total()
	if t.Sent == 0 || !g.verbose(details) {
		return
	}
	var kinds []string
	for _, kind := range t.Kinds() {
		kinds = append(kinds, fmt.Sprintf("%d %s", t.Requests[kind], kind))
	}
	g.term.say(messageJSON{
		Level: "note", Traffic: &trafficJSON{t.Requests, t.Sent, t.Received},
		Text: fmt.Sprintf("%s: %s; %s sent, %s received", count(t.All(), "request"), strings.Join(kinds, ", "), size(t.Sent), size(t.Received)),
	})
}

// summary prints, as JSON, the one result of a command, with what it took to get
// there from a remote repository as the last field.
func (g *globals) summary(result any) error {
	t := g.wire.meter.Total()
	if t.Sent == 0 {
		return g.term.json(result)
	}
	object, err := plainJSON(result)
	if err != nil {
		return err
	}
	traffic, err := plainJSON(trafficJSON{t.Requests, t.Sent, t.Received})
	if err != nil {
		return err
	}
	return g.term.json(json.RawMessage(fmt.Sprintf(`%s,"traffic":%s}`, strings.TrimSuffix(object, "}"), traffic)))
}

// plainJSON returns v as terminal.json prints it.
func plainJSON(v any) (string, error) {
	var line strings.Builder
	err := writeJSON(&line, v)
	return strings.TrimSuffix(line.String(), "\n"), err
}

// kibibytes are bytes, written in units of 1024 of them.
type kibibytes int64

// UnmarshalText reads "500".
func (k *kibibytes) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 40)
	if err != nil {
		return fmt.Errorf("%q is not a number of KiB a second", text)
	}
	*k = kibibytes(n << 10)
	return nil
}

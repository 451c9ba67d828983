package test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cairn/test/servers"
)

var (
	turnsSize = flag.Int("turns.size", 0, "what each server of TestTurns and TestTurnsFarAway backs up, MB; 0: 24, and 8 where the store is far")
	turnsRate = flag.Int("turns.rate", 3, "how much the way of each server of TestTurnsFarAway carries, MB/s; 0: any amount")
)

const (
	turnsServers = 8
	turnsGain    = 3 // how many times as fast writers have to be side by side where the store is far
)

// TestTurns starts the backups of eight servers at the same moment: all come
// through, one after the other, and nobody waits more than twice his fair share.
func TestTurns(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	c := newContest(t, newBox(t), 24)
	c.fair(c.start())
	c.check()
}

// TestTurnsFarAway does the same with a store that is 50 ms away, in turn and side
// by side: the latter is at least three times as fast, for the way of one does not
// become longer by what others send.
func TestTurnsFarAway(t *testing.T) {
	minio := servers.MinIO(t)
	bucket := minio.Bucket(t)
	far := func(b *box) {
		proxy := servers.Between(t, minio.Endpoint, servers.Faults{Delay: 50 * time.Millisecond, Rate: int64(*turnsRate) * 1e6})
		b.useRepo(fmt.Sprintf("s3+http://%s/%s/repo", proxy.Addr(), bucket))
	}
	b := newBox(t)
	b.env = append(b.env, "AWS_ACCESS_KEY_ID="+minio.AccessKey, "AWS_SECRET_ACCESS_KEY="+minio.SecretKey)
	far(b)
	c := newContest(t, b, 8)
	for _, b := range c.boxes {
		far(b)
	}
	turns := c.start()
	c.fair(turns)
	inTurn := last(turns)
	b.want(done, "config", "set", "writers", "parallel")
	c.renew()
	turns = c.start()
	parallel := last(turns)
	if slices.MaxFunc(turns, longerHeld).held < parallel/3 {
		t.Errorf("got turns %v, want them to be at the same time", turns)
	}
	gain := inTurn.Seconds() / parallel.Seconds()
	t.Logf("eight in turn %.2f s, side by side %.2f s: %.1f times as fast", inTurn.Seconds(), parallel.Seconds(), gain)
	if gain < turnsGain {
		t.Errorf("side by side was %.1f times as fast, want %d", gain, turnsGain)
	}
	c.check()
}

// A turn is how one server fared.
type turn struct {
	end          time.Duration // from when all began
	waited, held time.Duration // for the lease, and with it
}

func (t turn) String() string {
	return fmt.Sprintf("%.2f+%.2f s", t.waited.Seconds(), t.held.Seconds())
}

func longerHeld(a, b turn) int { return int(a.held - b.held) }

// last returns when the last of turns, which are in order, was over.
func last(turns []turn) time.Duration { return turns[len(turns)-1].end }

// A contest is several servers that back up to one repository.
type contest struct {
	t     testing.TB
	owner *box
	boxes []*box
	size  int // of what each backs up, MB
	seed  int
}

// newContest returns a contest in which each backs up so many megabytes, unless
// -turns.size says otherwise.
func newContest(t testing.TB, owner *box, size int) *contest {
	t.Helper()
	if *turnsSize > 0 {
		size = *turnsSize
	}
	owner.want(done, "init")
	c := &contest{t: t, owner: owner, size: size}
	for range turnsServers {
		b := newBox(t)
		b.env = append(slices.Clone(owner.env), "HOME="+b.dir+"/home")
		c.boxes = append(c.boxes, b)
	}
	c.renew()
	return c
}

// renew gives every server new files.
func (c *contest) renew() {
	for _, b := range c.boxes {
		c.seed++
		write(c.t, b.src+"/file", noise(byte(c.seed), c.size*1_000_000))
	}
	settle()
}

// start lets all back up at once and returns their turns, those that were over
// first first.
func (c *contest) start() []turn {
	c.t.Helper()
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		turns []turn
		wrong []string
	)
	begun := time.Now()
	for _, b := range c.boxes {
		group.Go(func() {
			var said bytes.Buffer
			cmd := b.command(append([]string{"--json"}, b.backupArgs()...)...)
			cmd.Stderr = &said
			out, err := cmd.Output()
			end := time.Since(begun)
			var told struct {
				Waited float64 `json:"seconds_waited"`
				Held   float64 `json:"seconds_locked"`
			}
			if err == nil {
				err = json.Unmarshal(out, &told)
			}
			mu.Lock()
			defer mu.Unlock()
			turns = append(turns, turn{end, seconds(told.Waited), seconds(told.Held)})
			if err != nil {
				wrong = append(wrong, fmt.Sprintf("%v\n%s", err, &said))
			}
		})
	}
	group.Wait()
	if len(wrong) > 0 {
		c.t.Fatalf("%d of %d backups ended badly:\n%s", len(wrong), len(c.boxes), strings.Join(wrong, "\n"))
	}
	return turns
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// fair wants turns to have been one after the other, and nobody to have waited
// more than twice as long as the turns before his took: locking/PROTOCOL.md §6.
func (c *contest) fair(turns []turn) {
	c.t.Helper()
	share := time.Duration(0)
	for k, t := range turns {
		c.t.Logf("server %d waited %.2f s, its share is %.2f s; it was done in %.2f s, after %.2f s",
			k+1, t.waited.Seconds(), share.Seconds(), t.held.Seconds(), t.end.Seconds())
		if k > 0 && t.waited > 2*share {
			c.t.Errorf("server %d waited %s, want at most twice %s", k+1, t.waited, share)
		}
		if t.end < share {
			c.t.Errorf("server %d was done after %s, want it not before all others were, in %s", k+1, t.end, share)
		}
		share += t.held
	}
}

// check wants the repository whole, with nobody in its queue.
func (c *contest) check() {
	c.t.Helper()
	c.owner.want(done, "check", "--read-data")
	if r := c.owner.want(done, "lock", "show"); !strings.Contains(r.out, "nobody") {
		c.t.Errorf("after all is done:\n%s", r.out)
	}
}

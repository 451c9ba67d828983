package test

import (
	"flag"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cairn/test/servers"
)

var (
	turnsSize = flag.Int("turns.size", 12, "what each server of TestTurns backs up, MB")
	turnsGain = flag.Float64("turns.gain", 0, "how many times as fast TestTurnsFarAway must be side by side")
	turnsTTL  = flag.String("turns.ttl", "15s", "the ttl of its leases, with which polls scale")
)

const turnsServers = 8

// TestTurns starts the backups of eight servers at the same moment: all come
// through, one after the other, and nobody waits more than twice as long as
// those before him need.
func TestTurns(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	c := newContest(t, newBox(t), turnsServers)
	alone := c.alone()
	ends := c.start()
	for k, end := range ends {
		share := time.Duration(k+1) * alone
		t.Logf("server %d was done after %.2f s: %.2f of its share", k+1, end.Seconds(), end.Seconds()/share.Seconds())
		// At the start all of them read and compress their first packs at once.
		// How long one alone takes is measured at another moment than the rest.
		if most := 2*share + 2*alone + 5*time.Second; end > most {
			t.Errorf("server %d was done after %s, want at most %s", k+1, end, most)
		}
	}
	c.check()
}

// TestTurnsFarAway does the same with a store that is 50 ms away, in turn and side
// by side. How much faster the latter is depends on how much of the time goes
// into waiting for the store, and here that is up to who else needs the
// processors: it is wanted only where -turns.gain says so.
func TestTurnsFarAway(t *testing.T) {
	minio := servers.MinIO(t)
	b := newBox(t)
	b.useRepo(fmt.Sprintf("s3+http://%s/%s/repo", delayed(t, minio.Endpoint, 25*time.Millisecond), minio.Bucket(t)))
	b.env = append(b.env, "AWS_ACCESS_KEY_ID="+minio.AccessKey, "AWS_SECRET_ACCESS_KEY="+minio.SecretKey)
	c := newContest(t, b, turnsServers)
	alone := c.alone()
	watched := c.watch()
	inTurn := slices.Max(c.start())
	if most := watched(); most > 1 {
		t.Errorf("%d servers held the lease together, want one", most)
	}
	b.want(done, "config", "set", "writers", "parallel")
	c.renew()
	watched = c.watch()
	parallel := slices.Max(c.start())
	if most := watched(); most < 2 {
		t.Errorf("%d servers held the lease together, want several", most)
	}
	gain := inTurn.Seconds() / parallel.Seconds()
	t.Logf("one alone %.2f s; eight in turn %.2f s, side by side %.2f s: %.1f times as fast",
		alone.Seconds(), inTurn.Seconds(), parallel.Seconds(), gain)
	if gain < *turnsGain {
		t.Errorf("side by side was %.1f times as fast, want %.1f", gain, *turnsGain)
	}
	c.check()
}

// A contest is several servers that back up to one repository.
type contest struct {
	t     testing.TB
	owner *box
	boxes []*box
	seed  int
}

func newContest(t testing.TB, owner *box, n int) *contest {
	t.Helper()
	owner.env = append(owner.env, "CAIRN_TEST_TTL="+*turnsTTL)
	owner.want(done, "init")
	c := &contest{t: t, owner: owner}
	for range n {
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
		write(c.t, b.src+"/file", noise(byte(c.seed), *turnsSize*1_000_000))
	}
	settle()
}

// alone returns how long a backup of as much takes with nobody else there.
func (c *contest) alone() time.Duration {
	c.t.Helper()
	c.seed++
	write(c.t, c.owner.src+"/file", noise(byte(c.seed), *turnsSize*1_000_000))
	settle()
	begun := time.Now()
	c.owner.want(done, c.owner.backupArgs()...)
	return time.Since(begun)
}

// start lets all back up at once and returns when each was done, the first first.
func (c *contest) start() []time.Duration {
	c.t.Helper()
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		ends  []time.Duration
		wrong []string
	)
	begun := time.Now()
	for _, b := range c.boxes {
		group.Go(func() {
			out, err := b.command(b.backupArgs()...).CombinedOutput()
			mu.Lock()
			defer mu.Unlock()
			ends = append(ends, time.Since(begun))
			if err != nil {
				wrong = append(wrong, fmt.Sprintf("%v\n%s", err, out))
			}
		})
	}
	group.Wait()
	if len(wrong) > 0 {
		c.t.Fatalf("%d of %d backups ended badly:\n%s", len(wrong), len(c.boxes), strings.Join(wrong, "\n"))
	}
	return ends
}

// watch looks at who holds the lease until the function that it returns is
// called, which answers how many did at the same time.
func (c *contest) watch() (stop func() int) {
	var (
		group sync.WaitGroup
		most  int
		done  = make(chan struct{})
	)
	group.Go(func() {
		for {
			out, err := c.owner.command("--json", "lock", "show").Output()
			if err != nil {
				c.t.Errorf("lock show: %v", err)
				return
			}
			most = max(most, strings.Count(string(out), `"place":0,`))
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	return func() int {
		close(done)
		group.Wait()
		return most
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

// delayed returns the address of a proxy that lets everything on its way to and
// from address take so long, and is as wide as that.
func delayed(t testing.TB, address string, delay time.Duration) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var group sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		group.Wait()
	})
	group.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", address)
			if err != nil {
				near.Close()
				continue
			}
			group.Go(func() { carry(far, near, delay) })
			group.Go(func() { carry(near, far, delay) })
		}
	})
	return listener.Addr().String()
}

// carry carries what comes from from to to, each piece so long after it came.
func carry(to, from net.Conn, delay time.Duration) {
	type piece struct {
		data []byte
		at   time.Time
	}
	way := make(chan piece, 4096)
	var group sync.WaitGroup
	group.Go(func() {
		defer to.Close()
		for p := range way {
			time.Sleep(time.Until(p.at))
			if _, err := to.Write(p.data); err != nil {
				from.Close() // and the reader ends, which is not to wait for room
				for range way {
				}
				return
			}
		}
	})
	for {
		buffer := make([]byte, 64<<10)
		n, err := from.Read(buffer)
		if n > 0 {
			way <- piece{buffer[:n], time.Now().Add(delay)}
		}
		if err != nil {
			break
		}
	}
	close(way)
	group.Wait()
}

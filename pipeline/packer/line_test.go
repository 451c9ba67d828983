package packer_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cairn/backend"
	"cairn/backend/mem"
	"cairn/backend/pace"
	"cairn/backend/retry"
	"cairn/backend/s3"
	"cairn/objects"
	"cairn/pipeline/packer"
	"cairn/test/servers"
)

// TestSizeOfPacks holds that packs are as short as they should be, and that one
// goes ahead while nobody knows how short that is.
func TestSizeOfPacks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var mu sync.Mutex
		size, measured, puts := int64(2*frameSize), false, 0
		answer := make(chan struct{})
		b.store.Hook = func(op mem.Op, _ backend.Key, at mem.Moment) error {
			if op != mem.Put || at != mem.Before {
				return nil
			}
			mu.Lock()
			puts++
			mu.Unlock()
			<-answer
			return nil
		}
		o := b.options(3)
		o.Size = func() (int64, bool) {
			mu.Lock()
			defer mu.Unlock()
			return size, measured
		}
		p, ctx := packer.New(context.Background(), o)
		f := b.framer(p, objects.Data)
		fed := make(chan error, 1)
		go func() { fed <- feed(ctx, f, 200) }()
		synctest.Wait()
		taken := p.Stats.Raw.Load()
		if puts != 1 || taken > 7*frameSize {
			t.Errorf("while nothing is known: got %d packs under way and %d bytes taken, want 1 and about two packs of %d", puts, taken, size)
		}
		mu.Lock()
		measured = true
		mu.Unlock()
		close(answer)
		must(t, <-fed)
		packs, err := p.Close()
		must(t, err)
		for _, pack := range packs {
			if pack.Kind == objects.Data && pack.Length > uint64(size+2*frameSize) {
				t.Errorf("got a pack of %d bytes, want about %d", pack.Length, size)
			}
		}
	})
}

// TestSizeWithoutAnAnswer holds that whoever waits to know is let go when the run
// ends.
func TestSizeWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		lost := errors.New("gone")
		b.store.Hook = func(op mem.Op, _ backend.Key, at mem.Moment) error {
			if op == mem.Put && at == mem.Before {
				time.Sleep(time.Minute)
				return lost
			}
			return nil
		}
		o := b.options(3)
		o.Size = func() (int64, bool) { return frameSize, false }
		p, ctx := packer.New(context.Background(), o)
		if err := feed(ctx, b.framer(p, objects.Data), 200); !errors.Is(err, lost) {
			t.Errorf("feed: got %v, want %v", err, lost)
		}
		if _, err := p.Close(); !errors.Is(err, lost) {
			t.Errorf("close: got %v, want %v", err, lost)
		}
	})
}

// TestOverSlowLine stores 60 MB in a real bucket over a line of 32 Mbit/s that
// breaks every 4 seconds: as much in between as one of 1 Mbit/s that breaks
// every two minutes. TestSlowLine of package test takes that one, for as long as
// it takes. It sets the environment, and so is not parallel.
func TestOverSlowLine(t *testing.T) {
	const rate, holds, total = 4e6, 4 * time.Second, 60e6
	server := servers.MinIO(t)
	proxy := servers.Between(t, server.Endpoint, servers.Faults{Rate: rate})
	store := openBucket(t, server, proxy.Addr())
	way := pace.New(store, pace.Options{Span: holds / 4})
	b := newBench(t)
	o := b.options(3)
	o.Target, o.FrameSize = 30<<20, 256<<10
	o.Store, o.Size = retry.New(way, retry.Options{FirstWait: 100 * time.Millisecond}), way.Size

	stop := proxy.CutEach(holds)
	p, ctx := packer.New(t.Context(), o)
	f := b.framer(p, objects.Data)
	const chunk = 128 << 10
	for i := range uint64(total) / chunk {
		_, err := f.Put(ctx, noise(i, chunk))
		must(t, err)
	}
	must(t, f.Flush(ctx))
	packs, err := p.Close()
	must(t, err)
	stop()
	kept, sent := float64(p.Stats.Stored.Load()), float64(proxy.Sent())
	t.Logf("%d packs of %.0f bytes in all, %.0f sent: %.1f %% twice", len(packs), kept, sent, 100*(sent/kept-1))
	if sent > 1.1*kept {
		t.Errorf("%.1f %% were sent twice, want at most a tenth", 100*(sent/kept-1))
	}
	for _, pack := range packs {
		info, err := store.Stat(t.Context(), packer.Key(pack.ID))
		if err != nil || info.Size != int64(pack.Length) {
			t.Errorf("pack %s: got %d bytes, %v, want %d", pack.ID.Short(), info.Size, err, pack.Length)
		}
	}
}

// openBucket opens a store in a new bucket of a server, reached at addr.
func openBucket(t *testing.T, server *servers.S3, addr string) *s3.Store {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", server.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.SecretKey)
	o, err := s3.Parse("s3+http://" + addr + "/" + server.Bucket(t) + "/cairn")
	must(t, err)
	store, err := s3.Open(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	return store
}

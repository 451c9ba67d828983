//go:build !(linux && (386 || arm || mips || mipsle))

package mount

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sync/errgroup"
)

// Mounted is a directory that shows archives.
type Mounted struct {
	dir    string
	server *fuse.Server
	fs     *fileSystem
	cancel context.CancelFunc
}

// readMost is how many bytes the kernel asks for at a time, at most.
const readMost = 1 << 20

// New shows archives at dir, which is there. They are read under ctx, but not
// only until it ends. Wait must follow.
func New(ctx context.Context, dir string, s Source, o Options) (*Mounted, error) {
	if err := mayMount(o); err != nil {
		return nil, fmt.Errorf("mount at %s: %w", dir, err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	fs := newFileSystem(ctx, s, o)
	if o.Only == nil {
		if err := fs.refresh(); err != nil {
			cancel()
			return nil, err
		}
	}
	options := fuse.MountOptions{
		Name: "cairn", FsName: "cairn", AllowOther: o.AllowOther,
		Options:  []string{"ro"},
		MaxWrite: readMost, MaxReadAhead: readMost, MaxBackground: 32,
		DirectMount: os.Geteuid() == 0,
		Logger:      log.New(warner(o.Warn), "", 0),
		EnableAcl:   o.AllowOther, // who may look is decided by the kernel then
	}
	if o.AllowOther {
		options.Options = append(options.Options, "default_permissions")
	}
	server, err := fuse.NewServer(fs, dir, &options)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("mount at %s: %w", dir, refused(err))
	}
	return &Mounted{dir: dir, server: server, fs: fs, cancel: cancel}, nil
}

// warner passes on what the library has to say.
type warner func(error)

func (w warner) Write(p []byte) (int, error) {
	w(fmt.Errorf("%s", p))
	return len(p), nil
}

// Wait serves the kernel until somebody unmounts the directory. When ctx ends it
// is unmounted here; from those who still use it then it is taken away, and they
// meet errors once the process has ended, which nobody waits for. Ready is called
// when the directory can be used.
func (m *Mounted) Wait(ctx context.Context, ready func() error) error {
	defer m.fs.content.Close()
	defer m.cancel()
	served := make(chan struct{})
	var group errgroup.Group
	group.Go(func() error {
		defer close(served)
		m.server.Serve()
		return nil
	})
	err := m.server.WaitMount()
	if err == nil {
		err = ready()
	}
	if err != nil {
		return errors.Join(err, m.stop(served))
	}
	select {
	case <-served:
		return group.Wait()
	case <-ctx.Done():
		return m.stop(served)
	}
}

// stop unmounts the directory.
func (m *Mounted) stop(served <-chan struct{}) error {
	if err := Unmount(m.dir); err != nil {
		return detach(m.dir)
	}
	<-served
	return nil
}

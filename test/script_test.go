package test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"cairn/test/servers"
)

// TestScript runs the scripts of testdata/script. They are written to be read:
// each shows one thing that people do with cairn. Besides the commands of
// testscript they have those below. Each runs in a directory of its own,
// $WORK, with a home directory in it and nothing else in the environment.
func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/script",
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("HOME", home)
			env.Setenv("PATH", filepath.Dir(program)+string(os.PathListSeparator)+env.Getenv("PATH"))
			return os.MkdirAll(home, 0o755)
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    cmdExits,
			"sametree": cmdSameTree,
			"allfiles": cmdAllFiles,
			"flip":     cmdFlip,
			"socket":   cmdSocket,
			"sparse":   cmdSparse,
			"settle":   cmdSettle,
			"firstid":  cmdFirstID,
			"pause":    cmdPause,
			"unpause":  cmdUnpause,
			"minio":    cmdMinIO,
			"answers":  cmdAnswers,
			"storm":    cmdStorm,
			"policy":   cmdPolicy,
			"sshd":     cmdSSHD,
		},
	})
}

// cmdExits: "exits N program args..." runs a program that must end with the
// exit code N.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s: got exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// cmdSameTree: "sametree A B" wants two directories to hold the same: names,
// types, modes, owners, times to the nanosecond, contents, links, attributes.
func cmdSameTree(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: sametree A B")
	}
	got, err := describeTree(ts.MkAbs(args[0]), owners)
	ts.Check(err)
	want, err := describeTree(ts.MkAbs(args[1]), owners)
	ts.Check(err)
	if len(got) == 0 || len(want) == 0 {
		ts.Fatalf("there is nothing to compare")
	}
	if d := differences(got, want); (d != "") != neg {
		ts.Fatalf("%s and %s:\n%s", args[0], args[1], d)
	}
}

// cmdAllFiles: "allfiles DIR FILE" writes the names and hashes of all files
// below DIR to FILE.
func cmdAllFiles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: allfiles DIR FILE")
	}
	var b strings.Builder
	dir := ts.MkAbs(args[0])
	ts.Check(filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		sum, err := hashFile(path)
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintln(&b, rel, sum)
		return err
	}))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b.String()), 0o644))
}

// cmdFlip: "flip FILE OFFSET" changes one bit of a file, of which there may be
// a pattern that only one matches. Negative offsets count from the end.
func cmdFlip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip FILE OFFSET")
	}
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(found) != 1 {
		ts.Fatalf("%s matches %d files, want one", args[0], len(found))
	}
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	content, err := os.ReadFile(found[0])
	ts.Check(err)
	if at < 0 {
		at += len(content)
	}
	content[at] ^= 0x10
	ts.Check(os.WriteFile(found[0], content, 0o600))
}

// cmdSocket: "socket PATH" makes a socket.
func cmdSocket(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: socket PATH")
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: ts.MkAbs(args[0])})
	ts.Check(err)
	ts.Defer(func() { l.Close() })
}

// cmdSparse: "sparse FILE KIB" wants a file to take at most so much of the disk.
func cmdSparse(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: sparse FILE KIB")
	}
	limit, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	taken := info.Sys().(*syscall.Stat_t).Blocks / 2
	if (taken <= limit) == neg {
		ts.Fatalf("%s takes %d KiB", args[0], taken)
	}
}

// cmdSettle: "settle" waits until the times of what was written vouch for it:
// files that changed a moment before a backup are read again by the next.
func cmdSettle(*testscript.TestScript, bool, []string) { settle() }

func settle() { time.Sleep(50 * time.Millisecond) }

// cmdFirstID: "firstid FILE" sets ID to the id of the first archive that FILE,
// the output of cairn list, shows.
func cmdFirstID(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: firstid FILE")
	}
	lines := strings.Split(ts.ReadFile(args[0]), "\n")
	if len(lines) < 2 {
		ts.Fatalf("%s shows no archive", args[0])
	}
	id, _, _ := strings.Cut(lines[1], " ")
	ts.Setenv("ID", id)
}

// cmdMinIO: "minio" starts MinIO, and sets the keys for it, and $S3 to the URL of
// a bucket that nobody else uses and that is not there yet. "minio HEADER..." is
// the same behind a proxy that makes it ignore these headers of what is put.
func cmdMinIO(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: minio [HEADER...]")
	}
	s, err := servers.StartMinIO()
	ts.Check(err)
	host := s.Endpoint
	if len(args) > 0 {
		proxy := s.Forget(args...)
		ts.Defer(proxy.Close)
		host = proxy.Listener.Addr().String()
	}
	ts.Setenv("AWS_ACCESS_KEY_ID", s.AccessKey)
	ts.Setenv("AWS_SECRET_ACCESS_KEY", s.SecretKey)
	ts.Setenv("AWS_SESSION_TOKEN", "")
	ts.Setenv("BUCKET", "script-"+strings.ToLower(rand.Text()))
	ts.Setenv("S3", fmt.Sprintf("s3+http://%s/%s", host, ts.Getenv("BUCKET")))
}

// cmdAnswers: "answers STATUS TYPE FILE" starts a server that answers everything
// with what is in FILE, at $ANSWERS.
func cmdAnswers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: answers STATUS TYPE FILE")
	}
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	body := ts.ReadFile(args[2])
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", args[1])
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	ts.Defer(server.Close)
	ts.Setenv("ANSWERS", server.Listener.Addr().String())
}

// cmdStorm: "storm STATUS FILE" puts a server before the MinIO that $S3 is at, and
// $S3 there: it answers the first request, and every other one, more or less, with
// what is in FILE.
func cmdStorm(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: storm STATUS FILE")
	}
	status, err := strconv.Atoi(args[0])
	ts.Check(err)
	body := ts.ReadFile(args[1])
	s, err := servers.StartMinIO()
	ts.Check(err)
	through := s.Handler(func(*httputil.ProxyRequest) {})
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Turn and turn about would hit all swaps, or none; chance alone may hit
		// nothing.
		if asked.Add(1) > 1 && mathrand.IntN(2) == 0 {
			through.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	ts.Defer(server.Close)
	ts.Setenv("S3", fmt.Sprintf("s3+http://%s/%s", server.Listener.Addr(), ts.Getenv("BUCKET")))
}

// cmdSSHD: "sshd LINE..." starts OpenSSH's server, with these lines in its
// configuration, and lets $HOME log in there. $SFTP is the URL of a directory
// that is not there yet, and $SFTPDIR the directory. "sshd -without REQUEST" is a
// server that does not grant a request of SFTP.
func cmdSSHD(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: sshd [-without REQUEST] [LINE...]")
	}
	var o servers.OpenSSHOptions
	if len(args) > 1 && args[0] == "-without" {
		o.Denied, args = args[1], args[2:]
	}
	o.Lines = args
	s, stop, err := servers.StartOpenSSH(o)
	ts.Defer(stop)
	ts.Check(err)
	dotSSH := filepath.Join(ts.Getenv("HOME"), ".ssh")
	ts.Check(errors.Join(os.RemoveAll(dotSSH), os.Symlink(filepath.Join(s.Home, ".ssh"), dotSSH)))
	ts.Setenv("SFTP", s.URL("desk"))
	ts.Setenv("SFTPDIR", filepath.Join(s.Dir, "desk"))
}

// cmdPolicy: "policy" sets keys that may do what README.md says is needed for a
// repository at $S3/cairn, and nothing else. "policy ACTION..." takes these
// actions away.
func cmdPolicy(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: policy [ACTION...]")
	}
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	ts.Check(err)
	_, after, _ := strings.Cut(string(readme), "<!-- policy -->\n```json\n")
	policy, _, found := strings.Cut(after, "```")
	if !found {
		ts.Fatalf("README.md has no policy")
	}
	s, err := servers.StartMinIO()
	ts.Check(err)
	policy = strings.ReplaceAll(policy, "my-bucket", ts.Getenv("BUCKET"))
	for _, action := range args {
		if !strings.Contains(policy, `"`+action+`"`) {
			ts.Fatalf("README.md's policy does not grant %s", action)
		}
		harmless := `"s3:GetObjectTagging"`
		if action == "s3:ListBucket" {
			harmless = `"s3:ListBucketVersions"` // which takes the same conditions
		}
		policy = strings.ReplaceAll(policy, `"`+action+`"`, harmless)
	}
	keys, err := s.Keys(context.Background(), policy)
	ts.Check(err)
	ts.Setenv("AWS_ACCESS_KEY_ID", keys.AccessKeyID)
	ts.Setenv("AWS_SECRET_ACCESS_KEY", keys.SecretAccessKey)
	ts.Setenv("AWS_SESSION_TOKEN", keys.SessionToken)
}

// cmdPause: "pause REPO args..." starts cairn and stops it, alive, once it has
// stored its first pack.
func cmdPause(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: pause REPO args...")
	}
	before := countPacks(ts.MkAbs(args[0]))
	cmd := exec.Command(program, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"HOME", "CAIRN_REPOSITORY", "CAIRN_KEY_FILE"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	ts.Check(cmd.Start())
	ts.Defer(func() { cmd.Process.Kill() })
	deadline := time.Now().Add(30 * time.Second)
	for countPacks(ts.MkAbs(args[0])) == before {
		if time.Now().After(deadline) {
			ts.Fatalf("no pack was stored in 30 s")
		}
		time.Sleep(time.Millisecond) // of a process that tells nobody
	}
	ts.Check(cmd.Process.Signal(syscall.SIGSTOP))
	ts.SetCmd("unpause", func(ts *testscript.TestScript, neg bool, _ []string) {
		ts.Check(cmd.Process.Signal(syscall.SIGCONT))
		if err := cmd.Wait(); (err == nil) == neg {
			ts.Fatalf("the paused run: %v", err)
		}
	})
}

// cmdUnpause: "unpause" lets the paused cairn go on and waits for its end.
func cmdUnpause(ts *testscript.TestScript, _ bool, _ []string) { ts.Fatalf("nothing is paused") }

func countPacks(repo string) int {
	found, _ := filepath.Glob(filepath.Join(repo, "packs", "*", "*"))
	return len(found)
}

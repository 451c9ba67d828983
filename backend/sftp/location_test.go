package sftp

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"cairn/backend"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Location{
		"sftp://host/":                    {Host: "host", Path: "/"},
		"sftp://ada@host:2222/srv/b":      {User: "ada", Host: "host", Port: 2222, Path: "/srv/b"},
		"sftp://host/~/b/c":               {Host: "host", Path: "b/c"},
		"sftp://host/~":                   {Host: "host", Path: "."},
		"sftp://host/~ada/b":              {Host: "host", Path: "/~ada/b"},
		"sftp://[::1]:22/b":               {Host: "::1", Port: 22, Path: "/b"},
		"sftp://[::1]/b":                  {Host: "::1", Path: "/b"},
		"sftp://ada%40corp@host/a%20b%3F": {User: "ada@corp", Host: "host", Path: "/a b?"},
		"sftp://host//a/../b//":           {Host: "host", Path: "/b"},
	} {
		got, err := Parse(text)
		if got != want || err != nil {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
		if again, err := Parse(got.String()); again != got || err != nil {
			t.Errorf("%s: becomes %s, which is %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{
		"", "host", "host:/path", "sftp:///path", "sftp://host", "sftp://ada:secret@host/b", "sftp://-oProxyCommand=x/b",
		"sftp://host:0/b", "sftp://host:65536/b", "sftp://host:x/b", "sftp://host/b?x", "sftp://host/b#x", "ssh://host/b",
	} {
		if got, err := Parse(text); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("%q: got %+v, %v, want ErrInvalid", text, got, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error %v shows the password", text, err)
		}
	}
}

func TestDropMatches(t *testing.T) {
	t.Parallel()
	kept, ignored := dropMatches([]byte("Port 1\nMatch exec true\n  Port 2\nHost a\n  Port 3\nmatch=host b\n  Port 4\nMatch all\n Port 5\nMatch host b user c\n Port 6\n"))
	if want := "Port 1\n\n\nHost a\n  Port 3\nmatch=host b\n  Port 4\nMatch all\n Port 5\n\n\n"; string(kept) != want || !slices.Equal(ignored, []int{2, 10}) {
		t.Errorf("got %q, without %v, want %q", kept, ignored, want)
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/minio/minio-go/v7"

	"cairn/test/servers"
)

// bucket is where repositories lie that are not on disk: on a MinIO that ends
// with this process. What the server itself takes is not measured.
type bucket struct {
	server *servers.S3
	name   string
}

func newBucket(ctx context.Context) (*bucket, error) {
	server, err := servers.StartMinIO()
	if err != nil {
		return nil, err
	}
	name, err := server.NewBucket(ctx)
	return &bucket{server, name}, err
}

// env is what a tool must know to use b.
func (b *bucket) env() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + b.server.AccessKey, "AWS_SECRET_ACCESS_KEY=" + b.server.SecretKey}
}

// repo returns where the repository of j is, as its tool spells it.
func (j *job) repo() string {
	if j.bucket == nil {
		return j.at.repo()
	}
	return j.tool.s3 + j.bucket.server.Endpoint + "/" + j.bucket.name + "/" + j.tool.name
}

// contents returns what the repository of j consists of, by the first part of
// the objects' names: nothing if it is not there yet.
func (j *job) contents(ctx context.Context) (map[string]extent, error) {
	kinds := map[string]extent{}
	add := func(name string, bytes int64) {
		kind, _, _ := strings.Cut(name, "/")
		x := kinds[kind]
		kinds[kind] = extent{bytes: x.bytes + bytes, files: x.files + 1}
	}
	if j.bucket != nil {
		return kinds, j.bucket.eachObject(ctx, j.tool.name+"/", add)
	}
	repo := j.at.repo()
	if _, err := os.Stat(repo); errors.Is(err, os.ErrNotExist) {
		return kinds, nil
	}
	return kinds, eachFile([]string{repo}, func(path string, info fs.FileInfo) error {
		name, err := filepath.Rel(repo, path)
		add(filepath.ToSlash(name), info.Size())
		return err
	})
}

// eachObject calls f for everything below prefix, with its name below that.
func (b *bucket) eachObject(ctx context.Context, prefix string, f func(name string, bytes int64)) error {
	options := minio.ListObjectsOptions{Prefix: prefix, Recursive: true}
	for object := range b.server.Client.ListObjectsIter(ctx, b.name, options) {
		if object.Err != nil {
			return fmt.Errorf("list bucket: %w", object.Err)
		}
		f(strings.TrimPrefix(object.Key, prefix), object.Size)
	}
	return nil
}

// repoExtent returns how much the repository of j is.
func (j *job) repoExtent(ctx context.Context) (extent, error) {
	kinds, err := j.contents(ctx)
	total := extent{}
	for _, x := range kinds {
		total.bytes += x.bytes
		total.files += x.files
	}
	return total, err
}

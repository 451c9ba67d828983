package restore_test

import (
	"cairn/pipeline/repository"
	"cairn/pipeline/restore"
)

var _ restore.Chunks = (*repository.Repository)(nil)

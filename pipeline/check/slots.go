package check

import (
	"context"
	"fmt"
	"strings"

	"cairn/backend"
	"cairn/objects"
	"cairn/objects/crypt"
)

// slots reads the slots that passphrases open, which nobody who comes with a
// key file has looked at. One without a good copy may be all that somebody's
// passphrase opens.
func (c *checker) slots(ctx context.Context) error {
	for info, err := range c.repo.Backend().List(ctx, "keys/") {
		if err != nil {
			return fmt.Errorf("list keys: %w", err)
		}
		err := c.slot(ctx, info.Key)
		switch {
		case damage(err):
			c.problem(err)
		case err != nil:
			return err
		}
	}
	return nil
}

func (c *checker) slot(ctx context.Context, key backend.Key) error {
	id, err := objects.ParseID(strings.TrimPrefix(string(key), "keys/"))
	if err != nil {
		c.warn(fmt.Errorf("%s is no slot of cairn and is not used: %w", key, err))
		return nil
	}
	stored, err := c.repo.Backend().Get(ctx, key, backend.Range{})
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	_, half, err := crypt.SlotBody(id, stored)
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if half {
		c.warn(fmt.Errorf("one of the two copies of %s is damaged; the other one is used", key))
	}
	return nil
}

func (c *checker) warn(err error) {
	if c.o.Warn != nil {
		c.o.Warn(err)
	}
}

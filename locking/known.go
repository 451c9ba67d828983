package locking

import "context"

// Known returns, without a request, what this process knows of the repository:
// what the last Refresh returned, and the commits that it has made itself since.
// Since and Records say nothing. State is nil if Head is not its head: then
// only a Refresh tells.
func (c *Chain) Known(ctx context.Context) (News, error) {
	head, err := c.cell.last(ctx)
	if err != nil {
		return News{}, err
	}
	if err := c.gate.enter(ctx); err != nil {
		return News{}, err
	}
	defer c.gate.leave()
	if c.known == nil || stateMark(c.known) != headMark(head) {
		return News{Head: head}, nil
	}
	return News{Head: head, State: c.known}, nil
}

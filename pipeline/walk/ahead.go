package walk

import (
	"container/heap"
	"sync"

	"cairn/objects/archive"
)

// ahead is the work that lies ahead of the consumer, in archive order. Its
// limits hold workers back, never the consumer.
type ahead struct {
	limit int // bytes, for items and names each

	mu      sync.Mutex
	work    sync.Cond // workers: there may be something to take
	ready   sync.Cond // consumer: the awaited block is done
	queue   queue
	items   int  // bytes of blocks that are done and not entered
	names   int  // bytes of names of directories that are not entered
	full    bool // a limit was reached, and neither has fallen to half of it
	idle    int  // workers that wait
	awaited *block
	stopped bool
}

func newAhead(limit int) *ahead {
	a := &ahead{limit: limit}
	a.work.L, a.ready.L = &a.mu, &a.mu
	return a
}

// stop makes take and need return without work.
func (a *ahead) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	a.work.Broadcast()
	a.ready.Broadcast()
}

// take waits until there is work within the limits and returns the first of
// it, or nil after stop.
func (a *ahead) take() *block {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.stopped {
		if b := a.next(); b != nil {
			return b
		}
		a.idle++
		a.work.Wait()
		a.idle--
	}
	return nil
}

// next takes the first waiting block if the limits allow. a.mu is held.
func (a *ahead) next() *block {
	if a.full || len(a.queue) == 0 {
		return nil
	}
	b := heap.Pop(&a.queue).(*block)
	b.state = running
	return b
}

// need returns, for the consumer, when b is done: while others read it, the
// consumer reads what comes next; if nobody does, it reads b. It reports false
// after stop.
func (a *ahead) need(b *block, r *reader) bool {
	for {
		todo, ok := a.claim(b)
		if !ok || todo == nil {
			return ok
		}
		r.read(todo)
	}
}

// claim returns a block for the consumer to read before b can be had, or nil
// when b is done. It reports false after stop.
func (a *ahead) claim(b *block) (todo *block, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.stopped {
		switch {
		case b.state == done:
			return nil, true
		case b.state == waiting:
			heap.Remove(&a.queue, b.index)
			b.state = running
			return b, true
		}
		if todo = a.next(); todo != nil {
			return todo, true
		}
		a.awaited = b
		a.ready.Wait()
		a.awaited = nil
	}
	return nil, false
}

// add queues the block after b, which is being read. The names of a directory
// count from its second block on: until then nobody holds them.
func (a *ahead) add(b *block) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if b.from == 0 {
		a.names += b.node.names.size()
		a.measure()
	}
	a.push(b.next)
	a.wake(1)
}

// finish hands in b, which was read, and queues the directories in it.
func (a *ahead) finish(b *block) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b.state = done
	a.items += b.size()
	a.measure()
	for i := range b.subs {
		a.push(b.subs[i].node.first)
	}
	a.wake(len(b.subs))
	if a.awaited == b {
		a.ready.Signal()
	}
}

// enter says that the consumer has come to b, which is done.
func (a *ahead) enter(b *block) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.items -= b.size()
	if b.from == 0 && b.next != nil {
		a.names -= b.node.names.size()
	}
	if a.measure() {
		a.wake(a.idle)
	}
}

// measure sets full, and reports whether that was lifted. Work is resumed at
// half the limits, so that workers are not woken for every block. a.mu is held.
func (a *ahead) measure() (lifted bool) {
	most := max(a.items, a.names)
	switch {
	case most >= a.limit:
		a.full = true
	case a.full && most <= a.limit/2:
		a.full = false
		return true
	}
	return false
}

// wake wakes up to n idle workers. a.mu is held.
func (a *ahead) wake(n int) {
	if a.full {
		return
	}
	for range min(n, a.idle, len(a.queue)) {
		a.work.Signal()
	}
}

func (a *ahead) push(b *block) {
	b.state = waiting
	heap.Push(&a.queue, b)
}

// queue is a heap of waiting blocks, the lowest key first.
type queue []*block

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return archive.ComparePaths(q[i].key, q[j].key) < 0 }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *queue) Push(x any) {
	b := x.(*block)
	b.index = len(*q)
	*q = append(*q, b)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	b := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return b
}

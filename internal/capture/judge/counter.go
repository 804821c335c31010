package judge

import "sync"

// Counter watches the row versions that a source says in front of its tokens.
// The zero value is ready; it is safe for concurrent use.
type Counter struct {
	mu   sync.Mutex
	high uint64
	back bool
}

// Now is the highest version said so far; 0 if none was.
func (c *Counter) Now() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.high
}

// Saw takes a version that was asked for when Now was before; 0 is none.
func (c *Counter) Saw(version, before uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.back = c.back || version != 0 && version < before
	c.high = max(c.high, version)
}

// Back is the reason for a new line if versions went back; "" if not.
func (c *Counter) Back() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.back {
		return ""
	}
	return "the environment's row versions went back: it was restored to an earlier moment"
}

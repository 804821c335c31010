package capture

import (
	"io"
	"sync"
)

// reporter hands progress to one function, one call at a time.
type reporter struct {
	mu sync.Mutex
	fn func(Progress)
	p  Progress
}

func (r *reporter) update(change func(*Progress)) {
	if r == nil || r.fn == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.p)
	r.fn(r.p)
}

// watchedReader remembers the error its source ended with.
type watchedReader struct {
	r   io.Reader
	err error
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

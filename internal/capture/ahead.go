package capture

import (
	"context"
	"iter"
	"sync"

	"allod/internal/source"
)

// ahead reads like the source but, where memory allows two pages, one page
// further than what was yielded: the source works on the next page while the
// caller stores this one. Nothing of it runs on when the loop is left.
func (t *tableRun) ahead(ctx context.Context, req source.ReadRequest) iter.Seq2[source.Page, error] {
	if !t.twoPages {
		return t.pages(ctx, req)
	}
	type answer struct {
		page source.Page
		err  error
	}
	return func(yield func(source.Page, error) bool) {
		reading, stop := context.WithCancel(ctx)
		pages := make(chan answer)
		var reader sync.WaitGroup
		reader.Go(func() {
			defer close(pages)
			for page, err := range t.pages(reading, req) {
				select {
				case pages <- answer{page, err}:
				case <-reading.Done():
					return
				}
			}
		})
		defer reader.Wait()
		defer stop()
		for a := range pages {
			if !yield(a.page, a.err) {
				return
			}
		}
		// A read that was broken off must not look like one that ended.
		if err := ctx.Err(); err != nil {
			yield(source.Page{}, err)
		}
	}
}

package ranges

import (
	"context"
	"slices"
	"sync"

	"allod/internal/source"
)

// Part is one part of a divided read that has not ended.
type Part struct {
	Filter string `json:"filter"`
	Link   string `json:"link,omitempty"` // to its next page; "" = not begun
}

// Pager reads the next page of a part; link leads to the one after it, "" after
// the last.
type Pager func(context.Context) (page source.Page, link string, err error)

// answer is a page of the part with the given number, or why there is none.
type answer struct {
	part int
	page source.Page
	link string
	err  error
}

// Read reads atOnce parts at once and yields their pages as they come, in the
// caller's goroutine. open begins a part, or goes on with it; place makes the
// cursor to what is left. Nothing of it runs on when Read returns.
func Read(ctx context.Context, parts []Part, atOnce int, open func(Part) Pager, place func(left []Part) source.Cursor, yield func(source.Page, error) bool) {
	reading, stop := context.WithCancel(ctx)
	queue, answers := make(chan int, len(parts)), make(chan answer)
	for i := range parts {
		queue <- i
	}
	close(queue)
	var workers sync.WaitGroup
	for range min(max(atOnce, 1), len(parts)) {
		workers.Go(func() {
			for i := range queue {
				if !readPart(reading, i, open(parts[i]), answers) {
					return
				}
			}
		})
	}
	defer workers.Wait()
	defer stop()
	left := slices.Clone(parts)
	for ended := 0; ended < len(parts); {
		var a answer
		select {
		case a = <-answers:
		case <-ctx.Done():
			a.err = ctx.Err()
		}
		if a.err != nil {
			yield(source.Page{}, a.err)
			return
		}
		if left[a.part].Link = a.link; a.link == "" {
			left[a.part].Filter = "" // ended
			ended++
		}
		a.page.Next, a.page.Last = source.Cursor{}, ended == len(parts)
		if !a.page.Last {
			a.page.Next = place(slices.DeleteFunc(slices.Clone(left), func(p Part) bool { return p.Filter == "" }))
		}
		if !yield(a.page, nil) {
			return
		}
	}
}

// readPart reads one part to its end; false when nobody listens any more.
func readPart(ctx context.Context, number int, next Pager, answers chan<- answer) bool {
	for {
		a := answer{part: number}
		a.page, a.link, a.err = next(ctx)
		select {
		case answers <- a:
		case <-ctx.Done():
			return false
		}
		if a.err != nil || a.link == "" {
			return a.err == nil
		}
	}
}

package dataverse

import (
	"context"
	"encoding/json"
	"net/http"

	"golang.org/x/sync/errgroup"

	"allod"
	"allod/internal/source/dataverse/ask"
)

// question is one GET of many, and where its answer goes.
type question struct {
	link, table string
	into        any
	missing     bool // set when the answer was 404
}

// askMany asks questions in $batch requests of size each, several at once: one
// batch is one request against the service's limit (protocols/dataverse.md §7).
// An operation that is refused inside a batch is asked again by itself, which
// brings the usual waiting and the usual error.
func (s *Source) askMany(ctx context.Context, questions []question, size int) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(max(s.client.Parallel(), 2), 8))
	for len(questions) > 0 {
		n := min(size, len(questions))
		some := questions[:n]
		questions = questions[n:]
		g.Go(func() error { return s.askBatch(ctx, some) })
	}
	return g.Wait()
}

func (s *Source) askBatch(ctx context.Context, some []question) error {
	links := make([]string, len(some))
	for i := range some {
		links[i] = some[i].link
	}
	results, err := ask.Batch(ctx, s.client, "", links, http.Header{"Accept": {"application/json"}}, maxMetadata)
	if err != nil {
		return err
	}
	for i := range some {
		q := &some[i]
		if i < len(results) && results[i].Status == http.StatusOK && json.Unmarshal(results[i].Body, q.into) == nil {
			continue
		}
		err := s.getJSON(ctx, q.link, q.table, q.into)
		if allod.KindOf(err) == allod.NotFound {
			q.missing = true
		} else if err != nil {
			return err
		}
	}
	return nil
}

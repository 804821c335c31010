package dataverse

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"

	"allod"
	"allod/internal/odata/batch"
	"allod/internal/source/odataclient"
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
	results, err := s.sendBatch(ctx, some)
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

// sendBatch sends the questions as one $batch and returns the answers in their
// order; fewer, or none, where the service did not answer them all.
func (s *Source) sendBatch(ctx context.Context, some []question) ([]batch.Result, error) {
	const boundary = "batch_allod"
	items := make([]batch.Item, len(some))
	for i := range some {
		items[i].Operations = []batch.Operation{{Method: http.MethodGet, URL: s.client.Base() + some[i].link, Header: http.Header{"Accept": {"application/json"}}}}
	}
	body, err := batch.AppendRequest(nil, boundary, items)
	if err != nil {
		return nil, err
	}
	var out []batch.Result
	_, err = s.client.Do(ctx, &odataclient.Request{
		Method: http.MethodPost, URL: "$batch", Body: body, Repeatable: true, MaxBytes: maxMetadata,
		Header: http.Header{"Content-Type": {"multipart/mixed; boundary=\"" + boundary + "\""}, "Prefer": {"odata.continue-on-error"}},
		Check: func(res *odataclient.Response) error {
			out = nil
			parsed, err := batch.ParseResponse(res.Header.Get("Content-Type"), []byte(res.Body), batch.Options{MaxBody: maxMetadata})
			if err != nil {
				return nil // asked one by one instead
			}
			for _, p := range parsed {
				out = append(out, p.Results...)
			}
			return nil
		},
	})
	if st := odataclient.AsStatus(err); st != nil && st.Status < 500 && st.Status != http.StatusUnauthorized && !strings.EqualFold(st.Code, "0x80040220") {
		return nil, nil // a service without $batch is asked one by one
	}
	return out, err
}

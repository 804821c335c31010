// Package ask puts several reads into one $batch, which is one request against
// the limits of the service (protocols/dataverse.md §6.11, §7).
package ask

import (
	"context"
	"net/http"
	"strings"

	"allod/internal/odata/batch"
	"allod/internal/source/odataclient"
)

// Batch sends a GET of each link, relative to the service root, with the given
// headers, and returns the answers in their order; fewer, or none, where the
// service did not answer them all: those are to be asked for one by one. limit
// bounds the whole answer, in bytes. Errors are those of Client.Do.
func Batch(ctx context.Context, client *odataclient.Client, table string, links []string, header http.Header, limit int) ([]batch.Result, error) {
	const boundary = "batch_allod"
	items := make([]batch.Item, len(links))
	for i, link := range links {
		items[i].Operations = []batch.Operation{{Method: http.MethodGet, URL: client.Base() + link, Header: header}}
	}
	body, err := batch.AppendRequest(nil, boundary, items)
	if err != nil {
		return nil, err
	}
	var out []batch.Result
	_, err = client.Do(ctx, &odataclient.Request{
		Method: http.MethodPost, URL: "$batch", Table: table, Body: body, Repeatable: true, MaxBytes: int64(limit),
		Header: http.Header{"Content-Type": {"multipart/mixed; boundary=\"" + boundary + "\""}, "Prefer": {"odata.continue-on-error"}},
		Check: func(res *odataclient.Response) error {
			out = nil
			parsed, err := batch.ParseResponse(res.Header.Get("Content-Type"), []byte(res.Body), batch.Options{MaxBody: limit})
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

package dataverse

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/batch"
)

// batch answers POST $batch (protocols/dataverse.md §6.11).
func (c *call) batch() (*request.Reply, error) {
	if c.Nested {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80060888", "A batch cannot hold a batch.")
	}
	if c.Method != http.MethodPost {
		return nil, c.NoMethod()
	}
	c.Count("batch", nil)
	items, err := batch.ParseRequest(c.Header.Get("Content-Type"), c.Body, batch.Options{RequireCRLF: c.Org.Assume["batch-line-ends"] == "strict", MaxBody: maxBody})
	if err != nil {
		return nil, wire.BadPayload("Stream was not readable. %v", err)
	}
	refs := map[string]string{}
	var results []batch.ResultItem
	failed := false
	for _, item := range items {
		var res batch.ResultItem
		var ok bool
		if item.ChangeSet {
			res, ok = c.changeSet(item, refs)
		} else {
			r, good := c.part(&item.Operations[0], refs, nil)
			res, ok = batch.ResultItem{Results: []batch.Result{r}}, good
		}
		if !ok && !c.Prefer.ContinueOnError {
			failed = true
			if c.Org.Assume["batch-echo"] != "true" {
				results = nil
			}
			results = append(results, res)
			break
		}
		results = append(results, res)
	}
	id := c.Org.NewID().String()
	body, err := batch.AppendResponse(nil, id, results)
	if err != nil {
		return nil, err
	}
	out := &request.Reply{Status: http.StatusOK, Type: "multipart/mixed; boundary=" + batch.ResponsePrefix + id, Body: body}
	if failed {
		out.Status = http.StatusBadRequest
	}
	return out, nil
}

var errChangeSet = errors.New("change set failed")

// changeSet runs the operations in one transaction; one that fails undoes all
// and stands alone in the answer.
func (c *call) changeSet(item batch.Item, refs map[string]string) (batch.ResultItem, bool) {
	if definitions(item.Operations) {
		return c.schemaSet(item, refs)
	}
	out := batch.ResultItem{ChangeSet: true}
	err := c.Org.Store.Update(func(tx *store.Tx) error {
		for i := range item.Operations {
			op := &item.Operations[i]
			if op.Method == http.MethodGet {
				r := c.result(refusal(wire.Refuse(http.StatusBadRequest, "0x80060888", "A change set cannot hold a GET request."), false))
				out = batch.ResultItem{Results: []batch.Result{r}}
				return errChangeSet
			}
			r, ok := c.part(op, refs, tx)
			if !ok {
				out = batch.ResultItem{Results: []batch.Result{r}}
				return errChangeSet
			}
			out.Results = append(out.Results, r)
		}
		return nil
	})
	return out, err == nil
}

// part runs one operation; false = its status is an error.
func (c *call) part(op *batch.Operation, refs map[string]string, tx *store.Tx) (batch.Result, bool) {
	sub := c.s.newCall(&request.Call{
		Org: c.Org, Schema: c.Schema, User: c.User, Method: op.Method, Header: op.Header, Root: c.Root,
		URL: partURL(op.URL), Body: op.Body, Tx: tx, Refs: refs, Nested: true, Spent: c.Spent,
	})
	if sub.Header == nil {
		sub.Header = http.Header{}
	}
	for _, name := range []string{"MSCRMCallerID", "CallerObjectId"} {
		if c.Org.Assume["batch-part-callers"] == "ignore" {
			sub.Header.Del(name)
		}
		if sub.Header.Get(name) == "" && c.Header.Get(name) != "" {
			sub.Header.Set(name, c.Header.Get(name))
		}
	}
	out := sub.answer()
	c.Schema = sub.Schema // a part may have changed it
	c.Org.Counters.Add("parts", 1)
	r := c.result(out)
	r.ContentID = op.ContentID
	if op.ContentID != "" && out.Header.Get("OData-EntityId") != "" {
		refs[op.ContentID] = out.Header.Get("OData-EntityId")
	}
	return r, out.Status < 400
}

func (c *call) result(out *request.Reply) batch.Result {
	// Names are spelt as the service spells them: some clients compare case.
	h := http.Header{"OData-Version": {"4.0"}}
	for k, v := range out.Header {
		if k == "Odata-Entityid" {
			k = "OData-EntityId"
		}
		h[k] = v
	}
	if len(out.Body) > 0 {
		ctype := out.Type
		if ctype == "" {
			ctype = "application/json; odata.metadata=minimal"
		}
		h.Set("Content-Type", ctype)
	}
	if out.Status >= 400 {
		h["REQ_ID"] = []string{c.Org.NewID().String()}
	}
	return batch.Result{Status: out.Status, Header: h, Body: out.Body}
}

// partURL makes the URL of a part relative to the service root: it may be
// absolute, rooted or relative already.
func partURL(raw string) string {
	if strings.HasPrefix(raw, "$") {
		return raw
	}
	if u, err := url.Parse(raw); err == nil && u.IsAbs() {
		raw = u.RequestURI()
	}
	// Spaces occur in URLs of parts that other clients write unescaped.
	return strings.ReplaceAll(platform.Relative(raw), " ", "%20")
}

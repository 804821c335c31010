package dataverse

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/batch"
)

// batch answers POST $batch (protocols/dataverse.md §6.11).
func (c *call) batch() (*reply, error) {
	if c.nested {
		return nil, wire.Refuse(http.StatusBadRequest, "0x80060888", "A batch cannot hold a batch.")
	}
	if c.method != http.MethodPost {
		return nil, noMethod(c)
	}
	c.count("batch", nil)
	items, err := batch.ParseRequest(c.header.Get("Content-Type"), c.body, batch.Options{RequireCRLF: c.s.assume["batch-line-ends"] == "strict", MaxBody: maxBody})
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
		if !ok && !c.prefer.continueOnErr {
			failed = true
			if c.s.assume["batch-echo"] != "true" {
				results = nil
			}
			results = append(results, res)
			break
		}
		results = append(results, res)
	}
	id := c.s.newID().String()
	body, err := batch.AppendResponse(nil, id, results)
	if err != nil {
		return nil, err
	}
	out := &reply{status: http.StatusOK, ctype: "multipart/mixed; boundary=" + batch.ResponsePrefix + id, body: body}
	if failed {
		out.status = http.StatusBadRequest
	}
	return out, nil
}

var errChangeSet = errors.New("change set failed")

// changeSet runs the operations in one transaction; one that fails undoes all
// and stands alone in the answer.
func (c *call) changeSet(item batch.Item, refs map[string]string) (batch.ResultItem, bool) {
	out := batch.ResultItem{ChangeSet: true}
	err := c.s.store.Update(func(tx *store.Tx) error {
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
	sub := &call{
		s: c.s, schema: c.schema, user: c.user, method: op.Method, header: op.Header, root: c.root,
		url: partURL(op.URL), body: op.Body, tx: tx, refs: refs, nested: true, work: c.work,
	}
	if sub.header == nil {
		sub.header = http.Header{}
	}
	for _, name := range []string{"MSCRMCallerID", "CallerObjectId"} {
		if sub.header.Get(name) == "" && c.header.Get(name) != "" {
			sub.header.Set(name, c.header.Get(name))
		}
	}
	out := sub.answer()
	c.s.counters.Add("parts", 1)
	r := c.result(out)
	r.ContentID = op.ContentID
	if op.ContentID != "" && out.header.Get("OData-EntityId") != "" {
		refs[op.ContentID] = out.header.Get("OData-EntityId")
	}
	return r, out.status < 400
}

func (c *call) result(out *reply) batch.Result {
	// Names are spelt as the service spells them: some clients compare case.
	h := http.Header{"OData-Version": {"4.0"}}
	for k, v := range out.header {
		if k == "Odata-Entityid" {
			k = "OData-EntityId"
		}
		h[k] = v
	}
	if len(out.body) > 0 {
		ctype := out.ctype
		if ctype == "" {
			ctype = "application/json; odata.metadata=minimal"
		}
		h.Set("Content-Type", ctype)
	}
	if out.status >= 400 {
		h["REQ_ID"] = []string{c.s.newID().String()}
	}
	return batch.Result{Status: out.status, Header: h, Body: out.body}
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

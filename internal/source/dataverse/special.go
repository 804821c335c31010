package dataverse

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"allod"
	"allod/internal/source"
	"allod/internal/source/dataverse/closing"
	"allod/internal/source/dataverse/codes"
	"allod/internal/source/dataverse/rows"
	"allod/internal/source/odataclient"
)

// state sets statecode and statuscode: by PATCH, or by the message that the
// table wants. A service that has no such message is given the PATCH.
func (w *writer) state(ctx context.Context, op *source.Op) source.Result {
	c, special := closing.Of(op.Table.Name, op.Cells["statecode"].Int())
	if special && op.Cells["statecode"].Type() == allod.Integer && op.Cells["statuscode"].Type() == allod.Integer {
		res, known := w.close(ctx, op, c)
		if known {
			return res
		}
	}
	p := payload{w: w, table: op.Table}
	cells := map[string]allod.Value{}
	for _, name := range slices.Sorted(maps.Keys(op.Cells)) {
		if name == "statecode" || name == "statuscode" {
			cells[name] = op.Cells[name]
		}
	}
	if err := p.cells(ctx, cells); err != nil {
		return source.Result{Err: err}
	}
	if p.empty() {
		return source.Result{Err: allod.Errorf(allod.Invalid, "%s, table %s: no state to set", w.s.name, op.Table.Name)}
	}
	version, err := w.patch(ctx, op, p.body())
	return source.Result{Err: err, Version: version, Note: p.note()}
}

// close sends a closing message. The message takes no version, so the row is
// read first; known is false when the service has no such message.
func (w *writer) close(ctx context.Context, op *source.Op, c closing.Message) (res source.Result, known bool) {
	if op.Version != 0 || c.From != 0 {
		if err := w.ready(ctx, op, c.From); err != nil {
			return source.Result{Err: err}, true
		}
	}
	inner, err := w.closing(ctx, op, c)
	if err != nil {
		return source.Result{Err: err}, true
	}
	outer := payload{w: w, table: op.Table}
	outer.raw("Status", strconv.AppendInt(nil, op.Cells["statuscode"].Int(), 10))
	outer.raw(c.Parameter, inner.body())
	version, err := w.send(ctx, &odataclient.Request{
		Method: http.MethodPost, Table: op.Table.Name, URL: w.address(c.Name), Header: w.headers(), Body: outer.body(),
	}, func(ctx context.Context) (bool, uint64, error) {
		found, err := w.s.getOne(ctx, op.Table, op.Key, []string{"statecode"})
		if err != nil || len(found) == 0 {
			return false, 0, err
		}
		return found[0].Cell(op.Table.ColumnIndex("statecode")) == op.Cells["statecode"], found[0].Version, nil
	})
	if st := odataclient.AsStatus(err); st != nil && (st.Status == http.StatusNotFound || st.Status == http.StatusNotImplemented) {
		return source.Result{}, false
	}
	return source.Result{Err: err, Version: version, Note: "closed by " + c.Name + ", which makes a closing activity"}, true
}

// ready looks whether the row is still as it was planned, and brings it into the
// state from which it can be closed, unless that is 0.
func (w *writer) ready(ctx context.Context, op *source.Op, from int64) error {
	found, err := w.s.getOne(ctx, op.Table, op.Key, []string{op.Table.Key, "statecode"})
	switch {
	case err != nil:
		return err
	case len(found) == 0:
		return allod.Errorf(allod.NotFound, "%s, table %s: the row is gone", w.s.name, op.Table.Name)
	case op.Version != 0 && found[0].Version != op.Version:
		return allod.Errorf(allod.Conflict, "%s, table %s: somebody changed the row meanwhile", w.s.name, op.Table.Name)
	case from == 0 || found[0].Cell(op.Table.ColumnIndex("statecode")).Int() == from:
		return nil
	}
	p := payload{w: w, table: op.Table}
	if err := p.cells(ctx, map[string]allod.Value{"statecode": allod.IntegerValue(from)}); err != nil {
		return err
	}
	_, err = w.patch(ctx, op, p.body())
	return err
}

// closing makes the row that comes with a closing message: the captured one
// where there is one. A key in the body is the new row's
// (protocols/dataverse.md §6.2).
func (w *writer) closing(ctx context.Context, op *source.Op, c closing.Message) (*payload, error) {
	p := &payload{w: w, table: op.Table, creating: true}
	p.text("@odata.type", "Microsoft.Dynamics.CRM."+c.Table)
	p.text(c.Bind+"@odata.bind", "/"+rowURL(op.Table, op.Key))
	t := op.ClosingTable
	if t == nil || t.Name != c.Table {
		p.text("subject", c.Name)
		return p, nil
	}
	p.table = t
	cells := map[string]allod.Value{}
	for name, v := range op.Closing {
		switch name {
		case t.Key:
			p.text(name, v.GUID().String())
		case c.Bind, "statecode", "statuscode":
		default:
			cells[name] = v
		}
	}
	if v := op.Closing["subject"]; v.Type() != allod.String {
		cells["subject"] = allod.StringValue(c.Name)
	}
	return p, p.cells(ctx, cells)
}

// parties replaces the whole list of participants: the set cannot be written
// row by row (protocols/dataverse.md §6.1).
func (w *writer) parties(ctx context.Context, op *source.Op) source.Result {
	nav, err := w.s.partyNavigation(ctx, op.Table.Name)
	if err != nil {
		return source.Result{Err: err}
	}
	list, err := w.partyList(ctx, op)
	if err != nil {
		return source.Result{Err: err}
	}
	h := w.headers()
	if op.Version != 0 {
		h = w.headers("If-Match", condition(op.Version))
	}
	_, err = w.s.client.Do(ctx, &odataclient.Request{
		Method: http.MethodPut, Table: op.Table.Name, URL: w.address(rowURL(op.Table, op.Key) + "/" + nav), Header: h,
		Body: slices.Concat([]byte(`{"value":`), list, []byte("}")), Repeatable: op.Version == 0,
	})
	return source.Result{Err: err}
}

// file writes or removes the bytes of one file, image or body column.
func (w *writer) file(ctx context.Context, op *source.Op) source.Result {
	c := op.Table.Column(op.Column)
	if c == nil || c.Type != allod.File {
		return source.Result{Err: allod.Errorf(allod.Invalid, "%s, table %s: %q is no file column", w.s.name, op.Table.Name, op.Column)}
	}
	if rows.IsBody(op.Table.Name, op.Column) || c.Native == rows.NativeImage {
		return w.inline(ctx, op)
	}
	at := rowURL(op.Table, op.Key) + "/" + op.Column
	if op.Content == nil {
		_, err := w.s.client.Do(ctx, &odataclient.Request{Method: http.MethodDelete, Table: op.Table.Name, URL: w.address(at), Header: w.headers(), Repeatable: true})
		if codes.RowGone(err) {
			err = nil
		}
		return source.Result{Err: err}
	}
	var err error
	for n := 1; n <= repeats; n++ {
		if err = w.upload(ctx, op, at); err == nil || ctx.Err() != nil || allod.KindOf(err) != allod.Unavailable {
			break
		}
		if werr := w.s.client.Backoff(ctx, n); werr != nil {
			break
		}
	}
	return source.Result{Err: err}
}

// inline writes bytes that are part of the row, in base64.
func (w *writer) inline(ctx context.Context, op *source.Op) source.Result {
	p := payload{w: w, table: op.Table}
	if op.Content == nil {
		p.raw(op.Column, []byte("null"))
	} else {
		data, err := w.content(op, maxBody*3/4)
		if err != nil {
			return source.Result{Err: err}
		}
		p.text(op.Column, base64.StdEncoding.EncodeToString(data))
		if rows.IsBody(op.Table.Name, op.Column) {
			if op.File.Name != "" {
				p.text("filename", op.File.Name)
			}
			if op.File.MIME != "" {
				p.text("mimetype", op.File.MIME)
			}
		}
	}
	one := *op
	one.Cells = nil
	version, err := w.patch(ctx, &one, p.body())
	return source.Result{Err: err, Version: version}
}

// content reads all bytes of an op.
func (w *writer) content(op *source.Op, limit int64) (data []byte, err error) {
	r, err := op.Content()
	if err != nil {
		return nil, fmt.Errorf("%s, table %s: open the file to write: %w", w.s.name, op.Table.Name, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	data, err = io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s, table %s: read the file to write: %w", w.s.name, op.Table.Name, err)
	}
	if int64(len(data)) > limit {
		return nil, allod.Errorf(allod.Invalid, "%s, table %s: the file is larger than the column can hold", w.s.name, op.Table.Name)
	}
	if int64(len(data)) != op.File.Size {
		return nil, allod.Errorf(allod.Invalid, "%s, table %s: the file to write has %d bytes, said were %d", w.s.name, op.Table.Name, len(data), op.File.Size)
	}
	return data, nil
}

// upload sends a file column: in one request up to 4 MiB, in chunks above
// (protocols/dataverse.md §8.2). A broken session begins anew with the first
// byte.
func (w *writer) upload(ctx context.Context, op *source.Op, at string) (err error) {
	r, err := op.Content()
	if err != nil {
		return fmt.Errorf("%s, table %s: open the file to write: %w", w.s.name, op.Table.Name, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	name := op.File.Name
	if name == "" {
		name = "file"
	}
	at = w.address(at, "x-ms-file-name="+escapeQuery(name))
	buf := make([]byte, chunk)
	n, err := io.ReadFull(r, buf)
	whole := err == io.EOF || err == io.ErrUnexpectedEOF //nolint:errorlint // exact: a store that breaks off wraps them, and that is no end of the file
	if err != nil && !whole {
		return fmt.Errorf("%s, table %s: read the file to write: %w", w.s.name, op.Table.Name, err)
	}
	if whole {
		if int64(n) != op.File.Size {
			return allod.Errorf(allod.Invalid, "%s, table %s: the file to write has %d bytes, said were %d", w.s.name, op.Table.Name, n, op.File.Size)
		}
		_, err := w.s.client.Do(ctx, &odataclient.Request{
			Method: http.MethodPatch, Table: op.Table.Name, URL: at,
			Header: w.headers("Content-Type", "application/octet-stream"), Body: buf[:n:n], Repeatable: true,
		})
		return err
	}
	return w.chunks(ctx, op, at, r, buf)
}

// chunks uploads in ranges; buf holds the first of them.
func (w *writer) chunks(ctx context.Context, op *source.Op, at string, r io.Reader, buf []byte) error {
	size := op.File.Size
	if size < int64(len(buf)) {
		return allod.Errorf(allod.Invalid, "%s, table %s: the size of the file to write is not known", w.s.name, op.Table.Name)
	}
	res, err := w.s.client.Do(ctx, &odataclient.Request{
		Method: http.MethodPatch, Table: op.Table.Name, URL: at,
		Header: w.headers("x-ms-transfer-mode", "chunked"), Repeatable: true,
	})
	if err != nil {
		return err
	}
	session := res.Header.Get("Location")
	if session == "" {
		return allod.Errorf(allod.Unavailable, "%s, table %s: the service opened no upload session", w.s.name, op.Table.Name)
	}
	step := int64(chunk)
	if n, err := strconv.ParseInt(res.Header.Get("X-Ms-Chunk-Size"), 10, 64); err == nil && n >= 1024 && n < step {
		step = n
	}
	held := buf
	for offset := int64(0); offset < size; {
		n := min(step, size-offset)
		if int64(len(held)) < n {
			more := make([]byte, n-int64(len(held)))
			if _, err := io.ReadFull(r, more); err != nil {
				return fmt.Errorf("%s, table %s: the file to write is shorter than said: %w", w.s.name, op.Table.Name, err)
			}
			held = slices.Concat(held, more)
		}
		_, err := w.s.client.Do(ctx, &odataclient.Request{
			Method: http.MethodPatch, Table: op.Table.Name, URL: session, Body: held[:n:n],
			Header: w.headers("Content-Type", "application/octet-stream", "x-ms-file-name", url.PathEscape(op.File.Name),
				"Content-Range", fmt.Sprintf("bytes %d-%d/%d", offset, offset+n-1, size)),
		})
		if err != nil {
			return err
		}
		offset += n
		held = held[n:]
	}
	if n, err := io.ReadFull(r, make([]byte, 1)); n > 0 || err != io.EOF {
		return allod.Errorf(allod.Invalid, "%s, table %s: the file to write is longer than said", w.s.name, op.Table.Name)
	}
	return nil
}

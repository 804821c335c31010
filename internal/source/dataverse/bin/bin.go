// Package bin brings a row back from the recycle bin (protocols/dataverse.md
// §6.13): with its key, and with what nobody can write, such as who made it.
package bin

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"allod"
	"allod/internal/source"
	"allod/internal/source/odataclient"
)

// The code of a row that is not in the bin: it never was, its time is over, or it
// has come back, perhaps with the row that took it along.
const notFound = "0x80049959"

// Writes are what bringing a row back consists of.
type Writes struct {
	Restore func(body []byte) error // sends the message
	There   func(ctx context.Context) (there bool, version uint64, err error)
	Update  func(ctx context.Context, op *source.Op) source.Result
	Make    func(ctx context.Context, op *source.Op) source.Result
}

// Create restores the row of a create op and writes its cells over it. A row that
// the bin does not have any more and that is there has come back with another one,
// and is written; where the service refuses for any other reason, or the row is
// nowhere, it is made, which never overwrites one.
func Create(ctx context.Context, op *source.Op, w Writes) source.Result {
	body, err := json.Marshal(map[string]any{"Target": map[string]string{
		"@odata.type": "Microsoft.Dynamics.CRM." + op.Table.Name, op.Table.Key: op.Key.String(),
	}})
	if err != nil {
		return source.Result{Err: fmt.Errorf("write the request: %w", err)}
	}
	err = w.Restore(body)
	if st := odataclient.AsStatus(err); st != nil && strings.EqualFold(st.Code, notFound) {
		there, _, asked := w.There(ctx)
		if asked != nil {
			return source.Result{Err: asked}
		}
		if there {
			err = nil
		}
	}
	switch allod.KindOf(err) {
	case allod.Unavailable, allod.Internal:
		return source.Result{Err: err}
	default:
	}
	if err != nil {
		made := *op
		made.FromBin, made.Cells = false, given(op)
		res := w.Make(ctx, &made)
		res.Note = note("made: the recycle bin did not give it back", res.Note)
		return res
	}
	over := *op
	over.Kind, over.Version = source.OpUpdate, 0
	res := w.Update(ctx, &over)
	res.Note = note("restored from the recycle bin", res.Note)
	return res
}

func note(first, more string) string {
	if more == "" {
		return first
	}
	return first + "; " + more
}

// given leaves out nulls that a new row has anyway: two-option and choice columns
// have defaults (protocols/dataverse.md §3.3).
func given(op *source.Op) map[string]allod.Value {
	out := map[string]allod.Value{}
	for name, v := range op.Cells {
		c := op.Table.Column(name)
		if v.IsNull() && (c == nil || c.Native != "Boolean" && c.Native != "Picklist" && c.Native != "MultiSelectPicklist") {
			continue
		}
		out[name] = v
	}
	return out
}

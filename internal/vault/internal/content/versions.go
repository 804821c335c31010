package content

import (
	"slices"

	"allod"
	"allod/internal/vault/pack"
	"allod/internal/vault/seal"
	"allod/internal/vault/shelf"
)

// Version is one stored version of a record.
type Version struct {
	Snapshot allod.SnapshotID // the capture that stored it
	Capture  uint64
	Ref      allod.RecordRef // zero when Withheld
	Row      *allod.Row      // nil when Deleted or Withheld
	Table    *allod.Table    // the columns Row.Cells stand parallel to
	Deleted  bool
	Reason   allod.DeleteReason
	Withheld string // "erased", "superseded", "restricted", "held": the key is gone; "erasure requested": hidden
}

// Version opens a stored version. One that is withheld says why.
func (o *Opener) Version(e *pack.Entry) (Version, error) {
	number := e.Key.Table()
	v := Version{Capture: e.Key.Capture(), Table: o.view.TableOf(number)}
	r, meta, err := o.Open(e)
	if v.Withheld = Withheld(err); v.Withheld != "" {
		return v, nil
	}
	if err != nil {
		return v, err
	}
	name := ""
	if v.Table != nil {
		name = v.Table.Name
	}
	v.Ref = RefOf(name, &r)
	if meta.Op == seal.OpDelete {
		v.Deleted, v.Reason = true, r.Reason
		return v, nil
	}
	v.Row, err = o.Decode(&r, meta, number)
	return v, err
}

// History returns the versions of one record, newest first. For one capture
// number only the first counts (pack.Entry.Compare).
func (o *Opener) History(past *shelf.Past, table uint32, tag [16]byte) ([]Version, error) {
	var entries []*pack.Entry
	err := past.Versions(table, tag, func(e *pack.Entry) bool {
		entries = append(entries, &pack.Entry{Key: e.Key, Meta: e.Meta, Sealed: slices.Clone(e.Sealed)})
		return true
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b *pack.Entry) int { return a.Compare(b) })
	var out []Version
	for i, e := range entries {
		if i > 0 && entries[i-1].Key.Capture() == e.Key.Capture() {
			continue
		}
		one, err := o.Version(e)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

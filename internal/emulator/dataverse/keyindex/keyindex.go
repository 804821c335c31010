// Package keyindex builds the indexes of alternate keys, by jobs that take time
// where jobs do (protocols/dataverse.md §3.4).
package keyindex

import (
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

// Names of EntityKeyIndexStatus but for Active, which keys with an index have.
const (
	Pending    = "Pending"
	InProgress = "InProgress"
	Failed     = "Failed"
)

// Reshape puts a changed copy of the model in force, as customize.Reshape says.
type Reshape func(change func(m *entity.Model) error) (*wire.Schema, error)

// Build builds the index of a key that is among the Failed ones of the table, with
// the status Pending: at once, or half of the time of a job later, and then it takes
// the other half. The job is a row of asyncoperations, where there are any; when it
// was cancelled, and when rows are alike, the key has failed.
func Build(c *request.Call, reshape Reshape, table, key string) error {
	call := *c
	call.Tx = nil
	b := &build{c: &call, reshape: reshape, table: table, key: key}
	if err := b.begin(); err != nil {
		return err
	}
	if c.Org.JobTime <= 0 {
		err := b.finish()
		c.Schema = b.c.Schema // what comes after in a batch knows the key
		return err
	}
	start := c.Org.Now().Add(c.Org.JobTime / 2)
	c.Org.Later(start, func(s *wire.Schema) {
		b.c.Schema = s
		_, _ = b.start() // asked again when it is to be done
	})
	c.Org.Later(start.Add(c.Org.JobTime-c.Org.JobTime/2), func(s *wire.Schema) {
		b.c.Schema = s
		_ = b.finish() // what fails is the key
	})
	return nil
}

// Interrupt says of keys whose index nobody builds any more that they failed.
func Interrupt(m *entity.Model, reshape Reshape) error {
	unfinished := func(k *entity.Key) bool { return k.Status == Pending || k.Status == InProgress }
	left := func(t *entity.Table) bool { return slices.ContainsFunc(t.Failed, unfinished) }
	if !slices.ContainsFunc(m.Tables, left) {
		return nil
	}
	_, err := reshape(func(m *entity.Model) error {
		for i, t := range m.Tables {
			if !left(t) {
				continue
			}
			t = t.Clone()
			m.Tables[i] = t
			for k, key := range t.Failed {
				if unfinished(key) {
					t.Failed[k] = with(key, Failed)
				}
			}
		}
		return nil
	})
	return err
}

// build is one index under way.
type build struct {
	c          *request.Call
	reshape    Reshape
	table, key string
	job        allod.GUID // zero where there is no table of jobs
}

func (b *build) begin() error {
	return b.c.Update(func(a *platform.Act) (err error) {
		if a.Tx.Has("asyncoperation") {
			b.job, err = a.Begin(platform.JobKeyIndex, "EntityKey Index Creation: "+b.key)
		}
		return err
	})
}

// start says that the index is being built; there is false when the job was
// cancelled.
func (b *build) start() (there bool, err error) {
	there = true
	if !b.job.IsZero() {
		if err := b.c.Update(func(a *platform.Act) error {
			there = a.Started(b.job)
			return nil
		}); err != nil {
			return there, err
		}
	}
	status := InProgress
	if !there {
		status = Failed
	}
	return there, b.change(func(t *entity.Table, i int) { t.Failed[i] = with(t.Failed[i], status) })
}

// finish puts the key in force, or says that it failed.
func (b *build) finish() error {
	there, err := b.start()
	if err != nil || !there {
		return err
	}
	message := ""
	if err := b.change(func(t *entity.Table, i int) {
		if b.alike(t, t.Failed[i]) {
			t.Failed[i] = with(t.Failed[i], Failed)
			message = "The index for the key " + b.key + " cannot be created because duplicate values exist."
			return
		}
		k := with(t.Failed[i], "")
		t.Failed = slices.Delete(t.Failed, i, i+1)
		t.Keys = append(t.Keys, k)
	}); err != nil || b.job.IsZero() {
		return err
	}
	return b.c.Update(func(a *platform.Act) error {
		a.End(b.job, message)
		return nil
	})
}

// change changes a copy of the table, whose key is the i-th without an index; when
// it is gone nothing happens.
func (b *build) change(do func(t *entity.Table, i int)) error {
	schema, err := b.reshape(func(m *entity.Model) error {
		at := slices.IndexFunc(m.Tables, func(t *entity.Table) bool { return t.LogicalName == b.table })
		if at < 0 {
			return nil
		}
		t := m.Tables[at].Clone()
		if i := slices.IndexFunc(t.Failed, func(k *entity.Key) bool { return k.SchemaName == b.key }); i >= 0 {
			m.Tables[at] = t
			do(t, i)
		}
		return nil
	})
	if err == nil {
		b.c.Schema = schema
	}
	return err
}

func with(k *entity.Key, status string) *entity.Key {
	out := *k
	out.Status = status
	return &out
}

// alike reports whether two rows have the same values of the key; null never
// matches.
func (b *build) alike(t *entity.Table, k *entity.Key) bool {
	found := false
	b.c.Org.Store.View(func(tx *store.Tx) {
		seen := map[string]bool{}
		var after *allod.GUID
		for {
			page := tx.Page(t.LogicalName, after, 1000)
			if len(page) == 0 || found {
				return
			}
			after = &page[len(page)-1].Key
		rows:
			for _, r := range page {
				var b strings.Builder
				for _, name := range k.Columns {
					v := tx.Value(t.LogicalName, r, name)
					if v.IsNull() || v.IsAbsent() {
						continue rows
					}
					b.WriteString(strings.ToLower(v.String()))
					b.WriteByte(0)
				}
				found = found || seen[b.String()]
				seen[b.String()] = true
			}
		}
	})
	return found
}

package log

import (
	"slices"
	"sort"

	"allod"
)

// Compaction says which packs the objects of an entry of kind compact replace
// (FORMAT.md §3.3).
type Compaction struct {
	First uint64   `json:"first"` // capture of the environment
	Last  uint64   `json:"last"`
	Gone  []Digest `json:"gone"` // packs, ascending by capture
}

// compacts reports whether an entry of kind compact has what it must have and
// nothing else.
func (e *Entry) compacts() bool {
	c := e.Compact
	switch {
	case e.Capture != 0 || e.Base != 0 || e.Line != 0 || e.Counts != (Counts{}) || len(e.Sealed) > 0 || len(e.Objects) == 0:
		return false
	case e.AbsentBefore != (Digest{}) || e.AbsentAfter != (Digest{}) || !e.From.IsZero() || !e.To.IsZero() || e.Complete:
		return false
	case c.First == 0 || c.First >= c.Last || len(c.Gone) == 0:
		return false
	}
	return !slices.ContainsFunc(e.Objects, func(o Object) bool { return o.Role != RolePack || slices.Contains(c.Gone, o.Digest) })
}

// Stand is what holds the packs of captures of an environment: the entry of the
// capture, or that of a compaction.
type Stand struct {
	First, Last uint64   // captures
	Entry       uint64   // log number
	Packs       []Object // in key order
}

// Standing says what stands in each environment as of the entries that were
// added. The zero Standing stands before entry 1. It is used by one goroutine
// at a time; what Of returned does not change.
type Standing struct{ by map[uint32][]Stand }

// Of returns what stands in an environment, ascending by capture.
func (s *Standing) Of(env uint32) []Stand {
	all := s.by[env]
	return all[:len(all):len(all)]
}

// Holder returns the number of the entry that holds what a capture's own held;
// 0 if the environment has no such capture.
func (s *Standing) Holder(env uint32, capture uint64) uint64 {
	all := s.by[env]
	i := sort.Search(len(all), func(i int) bool { return all[i].Last >= capture })
	if i == len(all) || all[i].First > capture {
		return 0
	}
	return all[i].Entry
}

// Fits is Corrupt for a compaction that does not replace what stands, and nil
// for every other entry.
func (s *Standing) Fits(e *Entry) error {
	if e.Compact == nil {
		return nil
	}
	i, j := s.replaced(e)
	if j-i < 2 || !slices.Equal(Digests(s.by[e.Environment][i:j]), e.Compact.Gone) {
		return allod.Errorf(allod.Corrupt, "check log entry %d: it replaces what does not stand there", e.N)
	}
	return nil
}

// replaced returns from where to where a compaction replaces what stands; where
// it does not begin and end with something that stands, nothing.
func (s *Standing) replaced(e *Entry) (from, to int) {
	all := s.by[e.Environment]
	i := sort.Search(len(all), func(i int) bool { return all[i].First >= e.Compact.First })
	j := sort.Search(len(all), func(i int) bool { return all[i].Last >= e.Compact.Last })
	if i == len(all) || j == len(all) || all[i].First != e.Compact.First || all[j].Last != e.Compact.Last {
		return 0, 0
	}
	return i, j + 1
}

// Add takes the next entry, which Chain has accepted and Fits. A compaction that
// replaces nothing changes nothing.
func (s *Standing) Add(e *Entry) {
	if s.by == nil {
		s.by = map[uint32][]Stand{}
	}
	all := s.by[e.Environment]
	switch {
	case e.Capture != 0:
		s.by[e.Environment] = append(all, Stand{First: e.Capture, Last: e.Capture, Entry: e.N, Packs: e.Packs()})
	case e.Compact != nil:
		i, j := s.replaced(e)
		if i == j {
			return
		}
		out := append(slices.Clone(all[:i]), Stand{First: e.Compact.First, Last: e.Compact.Last, Entry: e.N, Packs: e.Packs()})
		s.by[e.Environment] = append(out, all[j:]...)
	}
}

// Digests returns the digests of all packs, in order.
func Digests(all []Stand) []Digest {
	var out []Digest
	for _, t := range all {
		for _, o := range t.Packs {
			out = append(out, o.Digest)
		}
	}
	return out
}

// Packs returns the packs of the entry, in key order.
func (e *Entry) Packs() []Object {
	var out []Object
	for _, o := range e.Objects {
		if o.Role == RolePack {
			out = append(out, o)
		}
	}
	return out
}

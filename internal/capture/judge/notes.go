package judge

import (
	"bytes"
	"maps"
	"slices"

	"allod"
)

// Notes are what one read of a table leaves for telling later whether time went
// back. They are for one goroutine.
type Notes struct {
	table  string
	known  map[allod.GUID]uint64 // rows by which the capture began → version
	base   uint64
	said   uint64
	newest []Witness
	met    []Witness // of those in known
	lost   []Witness
}

// NewNotes begins the notes of a table. before are the witnesses that the
// capture began with, of all tables; base is a version that was given out before
// the read, 0 if none is known.
func NewNotes(table string, before []Witness, base uint64) Notes {
	n := Notes{table: table, base: base, known: map[allod.GUID]uint64{}}
	for _, w := range before {
		if w.Table == table {
			n.known[w.Key] = w.Version
		}
	}
	return n
}

// Row notes a row that was read.
func (n *Notes) Row(key allod.GUID, version uint64) {
	w := Witness{Table: n.table, Key: key, Version: version}
	n.newest = Add(n.newest, w)
	if _, is := n.known[key]; is {
		n.met = append(n.met, w)
	}
}

// Said notes a version that the service named in front of a token.
func (n *Notes) Said(version uint64) { n.said = max(n.said, version) }

// Lost notes a row that a full read has shown to be deleted; a few are enough.
func (n *Notes) Lost(key allod.GUID) {
	version, is := n.known[key]
	if !key.IsZero() && (is || len(n.lost) < MinWitnesses) {
		n.lost = append(n.lost, Witness{Table: n.table, Key: key, Version: max(version, n.base), Gone: true})
	}
}

// Witnesses returns the newest rows, those by which the capture began, and some
// of the rows that were said to be deleted. Of the rows that are behind it is
// known that they are not as they were read: they are left out.
func (n *Notes) Witnesses(gone, behind map[allod.GUID]bool) []Witness {
	out := slices.DeleteFunc(slices.Concat(n.newest, n.met), func(w Witness) bool { return behind[w.Key] })
	out = append(out, n.lost...)
	known := max(n.base, n.said)
	watched := maps.Clone(n.known)
	for _, w := range n.newest {
		watched[w.Key] = max(watched[w.Key], w.Version)
	}
	few := 0
	for _, key := range slices.SortedFunc(maps.Keys(gone), func(a, b allod.GUID) int { return bytes.Compare(a[:], b[:]) }) {
		version, is := watched[key]
		if !is && few == MinWitnesses {
			continue
		}
		if !is {
			few++
		}
		out = append(out, Witness{Table: n.table, Key: key, Version: max(known, version), Gone: true})
	}
	return out
}

package journal

import (
	"allod"
	vlog "allod/internal/vault/log"
)

// Standing returns what holds the packs of an environment's captures, ascending
// by capture, as the log is known now. Do not change it.
func (l *Log) Standing(env uint32) []vlog.Stand {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.standing.Of(env)
}

// Holder returns the entry whose packs hold what those of a capture's entry
// held: itself, or that of a compaction.
func (l *Log) Holder(e *Entry) (*Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.standing.Holder(e.Environment, e.Capture)
	if n == 0 || n > uint64(len(l.entries)) {
		return nil, allod.Errorf(allod.Corrupt, "%s: the log has no such capture", vlog.EntryName(e.N))
	}
	return l.entries[n-1], nil
}

// Replaced returns the packs that compactions among the entries have replaced,
// each with the entry that did.
func Replaced(entries []*Entry) map[vlog.Digest]*Entry {
	out := map[vlog.Digest]*Entry{}
	for _, e := range entries {
		if e.Compact == nil {
			continue
		}
		for _, d := range e.Compact.Gone {
			out[d] = e
		}
	}
	return out
}

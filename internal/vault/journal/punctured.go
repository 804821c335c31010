package journal

import (
	"time"

	vlog "allod/internal/vault/log"
)

// Punctured is what the log says of an erasure, or of a rectification, that was
// committed.
type Punctured struct {
	Entry                     uint64
	Digest                    vlog.Digest
	Time                      time.Time // UTC
	Root, EpochBefore, Epoch  uint64
	AbsentBefore, AbsentAfter vlog.Digest
}

// PuncturedAfter counts the erasures, restrictions and rectifications of epochs
// after one: while a place has a slot of it, if only as a version behind others,
// they are not final.
func (l *Log) PuncturedAfter(epoch uint64) int {
	n := 0
	for _, e := range l.Entries() {
		if e.Epoch > epoch && (e.Kind == vlog.KindErase || e.Kind == vlog.KindRestrict || e.Kind == vlog.KindRectify) {
			n++
		}
	}
	return n
}

// PuncturedBy finds the erasure or rectification of a run, as the log is known
// now; nil when it has none.
func (l *Log) PuncturedBy(run string) *Punctured {
	before := uint64(1)
	for _, e := range l.Entries() {
		if (e.Kind == vlog.KindErase || e.Kind == vlog.KindRectify) && e.Run == run {
			return &Punctured{e.N, e.Digest, e.Time, e.Root, before, e.Epoch, e.AbsentBefore, e.AbsentAfter}
		}
		before = e.Epoch
	}
	return nil
}

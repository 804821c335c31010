package journal

import "allod"

// Snapshot returns what the entry says as a snapshot of the named environment.
func (e *Entry) Snapshot(environment string) allod.Snapshot {
	s := allod.Snapshot{
		ID: allod.SnapshotID(e.N), Environment: environment, Capture: e.Capture, Run: e.Run, Line: e.Line, From: e.From, To: e.To,
		Rows: e.Counts.Rows, Created: e.Counts.Created, Updated: e.Counts.Updated, Deleted: e.Counts.Deleted, Complete: e.Complete, StoredBytes: e.Size,
	}
	for _, o := range e.Objects {
		s.StoredBytes += o.Size
	}
	return s
}

// Captures returns the snapshots of an environment by capture number, of what
// the log is known to have now.
func (l *Log) Captures(environment uint32) map[uint64]allod.SnapshotID {
	ids := map[uint64]allod.SnapshotID{}
	for _, e := range l.Entries() {
		if e.Environment == environment && e.Capture != 0 {
			ids[e.Capture] = allod.SnapshotID(e.N)
		}
	}
	return ids
}

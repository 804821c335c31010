package job

import (
	"time"

	"allod/internal/runlog"
)

// Task is one thing that is done by a schedule.
type Task struct {
	What        runlog.Task
	Environment string   // "" for a check of the vault, and a compaction
	Schedule    Schedule // with its jitter
}

// Name is how people know the task.
func (t Task) Name() string {
	if t.What != runlog.Backup {
		return string(t.What)
	}
	return t.Environment
}

// State is a task, what became of it so far, and what is to be done next.
type State struct {
	Task
	Past Past
	Last *runlog.Run // newest attempt; nil = none
	Good time.Time   // when the newest one that came to its end ended, with gaps or without; zero = none. UTC
	Next Run
	Why  string // the reason of Next

	Live *runlog.Live `json:",omitempty"` // the process that does it now, by its lease; nil = none is known
}

// history takes runs, the newest first, and makes a Past of them.
type history struct {
	State
	first   time.Time // begin of the oldest run seen
	settled bool      // nothing older matters
}

// add takes the next older run of the ledger. Runs of other tasks, and captures
// of some tables only, say nothing about this one.
func (h *history) add(r runlog.Run) {
	if h.settled || r.Task != h.What || r.Environment != h.Environment || r.Counts[runlog.Narrowed] > 0 {
		return
	}
	newest := h.Last == nil
	if newest {
		h.Last = &r
		h.Past = Past{Begun: r.Begun, CutOff: r.Result == runlog.Stopped, Open: r.Result == runlog.Unfinished}
	}
	h.first = r.Begun
	switch {
	case r.Result == runlog.Done || r.Result == runlog.Partial:
		h.Good, h.settled = r.Ended, true
	case r.Task == runlog.Verify && r.Counts[runlog.Bad] > 0:
		h.settled = true // it came to its end; doing it again finds the same
	case r.Result == runlog.Broken, r.Result == runlog.Unfinished && !newest:
		h.Past.Failures++
	}
}

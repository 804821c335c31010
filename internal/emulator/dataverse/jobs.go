package dataverse

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"allod/internal/emulator/dataverse/keyindex"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/wire"
)

// jobs is what is to be done when its time has come. Time passes on the
// emulated clock; what is due is done before the next request is answered.
type jobs struct {
	mu   sync.Mutex
	list []task // by time
	next atomic.Int64
}

type task struct {
	at  time.Time
	run func(*wire.Schema)
}

// later keeps what is to be done at a time.
func (j *jobs) later(at time.Time, run func(*wire.Schema)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i, _ := slices.BinarySearchFunc(j.list, at, func(t task, at time.Time) int {
		if t.at.After(at) {
			return 1
		}
		return -1 // behind those of the same time
	})
	j.list = slices.Insert(j.list, i, task{at, run})
	j.next.Store(j.list[0].at.UnixNano())
}

// due takes out what is to be done by now.
func (j *jobs) due(now time.Time) []task {
	if next := j.next.Load(); next == 0 || now.UnixNano() < next {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	n := slices.IndexFunc(j.list, func(t task) bool { return t.at.After(now) })
	if n < 0 {
		n = len(j.list)
	}
	out := slices.Clone(j.list[:n])
	j.list = slices.Delete(j.list, 0, n)
	j.next.Store(0)
	if len(j.list) > 0 {
		j.next.Store(j.list[0].at.UnixNano())
	}
	return out
}

// runJobs does what is due.
func (s *Server) runJobs() {
	if s.administered.Load() {
		return
	}
	for _, t := range s.jobs.due(s.now()) {
		t.run(s.schema.Load())
	}
}

// interruptJobs ends the jobs of an organisation that was put in the place of
// the one they belonged to.
func (s *Server) interruptJobs() error {
	s.jobs.mu.Lock()
	s.jobs.list = nil
	s.jobs.next.Store(0)
	s.jobs.mu.Unlock()
	if err := keyindex.Interrupt(s.Model(), s.reshape); err != nil {
		return err
	}
	return s.job(func(a *platform.Act) error {
		a.Interrupt()
		return nil
	})
}

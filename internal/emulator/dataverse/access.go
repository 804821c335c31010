package dataverse

import (
	"time"

	"allod"
	"allod/internal/emulator/dataverse/audit"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/store"
)

// noteAccess writes down that the user works with the organisation, where it
// asks for that (protocols/dataverse.md §10.1): once in so many hours.
func (s *Server) noteAccess(c *call, user allod.GUID) {
	hours := int64(0)
	s.org.Store.View(func(tx *store.Tx) { hours = audit.Interval(tx) })
	if hours == 0 {
		return
	}
	now := s.now()
	s.mu.Lock()
	last, known := s.accessed[user]
	due := !known || now.Sub(last) >= time.Duration(hours)*time.Hour || now.Before(last)
	if due {
		s.accessed[user] = now
	}
	s.mu.Unlock()
	if !due {
		return
	}
	_ = s.org.Store.Update(func(tx *store.Tx) error { // fails for no row of the history
		a := &platform.Act{Tx: tx, Schema: c.Schema, User: user, Now: now, NewID: s.newID}
		a.Accessed(hours)
		return nil
	})
}

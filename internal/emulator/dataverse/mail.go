package dataverse

import (
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/store"
)

// synchronize sends the mail that waits, as server-side synchronisation does
// between requests; counted as mail:sent.
func (s *Server) synchronize() error {
	if s.administered.Load() {
		return nil
	}
	sent := 0
	err := s.job(func(a *platform.Act) (err error) {
		sent, err = a.Synchronise()
		return err
	})
	if err == nil {
		s.org.Counters.Add("mail:sent", int64(sent))
	}
	return err
}

// rollUp does what the hourly job does with rollup columns; rows it changed are
// counted as rollups.
func (s *Server) rollUp() error {
	return s.job(func(a *platform.Act) error {
		s.org.Counters.Add("rollups", int64(a.Rollups()))
		return nil
	})
}

// job is what the platform does by itself, as the first application user.
func (s *Server) job(f func(a *platform.Act) error) error {
	user := s.Users()[0].User // not inside: writers take the lock of users under that of the store
	return s.org.Store.Update(func(tx *store.Tx) error {
		return f(&platform.Act{
			Tx: tx, Schema: s.schema.Load(), User: user, Unit: s.org.Unit, Currency: s.org.Currency, Now: s.now(), NewID: s.newID,
			Assume: func(key string) string { return s.org.Assume[key] },
			Allow:  func(string, *entity.Table) error { return nil },
		})
	})
}

package dataverse

import (
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/store"
)

// synchronize sends the mail that waits, as server-side synchronisation does
// between requests; counted as mail:sent.
func (s *Server) synchronize() error {
	user := s.Users()[0].User
	sent := 0
	err := s.org.Store.Update(func(tx *store.Tx) error {
		a := &platform.Act{
			Tx: tx, Schema: s.schema.Load(), User: user, Unit: s.org.Unit, Currency: s.org.Currency, Now: s.now(), NewID: s.newID,
			Assume: func(key string) string { return s.org.Assume[key] },
			Allow:  func(string, *entity.Table) error { return nil },
		}
		var err error
		sent, err = a.Synchronise()
		return err
	})
	if err == nil {
		s.org.Counters.Add("mail:sent", int64(sent))
	}
	return err
}

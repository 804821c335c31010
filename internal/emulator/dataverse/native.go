package dataverse

import (
	"allod"
	"allod/internal/emulator"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/native"
	"allod/internal/emulator/dataverse/platform"
)

// EnvironmentID is the Power Platform's id of the environment, which
// RetrieveCurrentOrganization shows.
func (s *Server) EnvironmentID() allod.GUID { return access.NamedID(s.opts.OrganizationName) }

// Name is the organisation's.
func (s *Server) Name() string { return s.opts.OrganizationName }

// Authority issues and checks the tokens of the server; it may serve others.
func (s *Server) Authority() *emulator.Authority { return s.authority }

// Keep remembers the present under a name, as a backup of the platform does.
func (s *Server) Keep(point string) { s.mark(point) }

// TakeBack makes what was kept the present: a restore of the platform under the
// same address, with what else that does to it (package native); afterwards it is
// for administrators alone. NotFound for a name that nothing was kept under.
func (s *Server) TakeBack(point string, keepAudit bool) error {
	if err := s.rewind(point, false); err != nil {
		return err
	}
	s.Administer(true)
	if err := s.interruptJobs(); err != nil {
		return err
	}
	return s.job(func(a *platform.Act) error {
		native.Settle(a, keepAudit)
		return nil
	})
}

// Administer puts the environment into administration mode, in which it lets in
// system administrators alone and does no jobs (protocols/dataverse.md §12.1), or
// ends it.
func (s *Server) Administer(on bool) { s.administered.Store(on) }

package dataverse

import (
	"allod"
	"allod/internal/emulator"
	"allod/internal/emulator/dataverse/access"
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
// same address. NotFound for a name that nothing was kept under.
func (s *Server) TakeBack(point string) error {
	if err := s.rewind(point, false); err != nil {
		return err
	}
	return s.interruptJobs()
}

package dataverse

import (
	"context"
	"slices"

	"allod"
	"allod/internal/source"
	"allod/internal/source/dataverse/inspect"
)

// Inspect asks what stands around the rows: logic that writes set off, tables
// that can never be tracked, how far the platform's own backups reach, and what
// lies outside.
func (s *Source) Inspect(ctx context.Context, schema *allod.Schema) (*source.Surroundings, error) {
	out, err := inspect.Look(ctx, s, schema)
	if err != nil {
		return nil, err
	}
	if out.NeverTracked, err = s.neverTracked(ctx); err != nil {
		return nil, err
	}
	out.NativeDays, err = s.nativeDays(ctx, schema)
	return out, err
}

// neverTracked lists tables whose CanChangeTrackingBeEnabled is false
// (protocols/dataverse.md §5.2). A service that does not say names none.
func (s *Source) neverTracked(ctx context.Context) ([]string, error) {
	var list struct {
		Value []struct {
			LogicalName                string
			ChangeTrackingEnabled      bool
			CanChangeTrackingBeEnabled *struct{ Value bool }
		}
	}
	err := s.getJSON(ctx, "EntityDefinitions?$select=LogicalName,ChangeTrackingEnabled,CanChangeTrackingBeEnabled", "", &list)
	if err != nil {
		return nil, unlessRefused(err)
	}
	var out []string
	for _, e := range list.Value {
		if can := e.CanChangeTrackingBeEnabled; can != nil && !can.Value && !e.ChangeTrackingEnabled {
			out = append(out, e.LogicalName)
		}
	}
	slices.Sort(out)
	return out, nil
}

// nativeDays is how long the platform keeps its own backups: 28 days for
// production with Dynamics 365 apps, 7 for everything else; a managed
// environment may be set to more (protocols/dataverse.md §12.1). That an
// environment has such apps is inferred from their tables. 0 when the service
// does not say what kind of environment it is.
func (s *Source) nativeDays(ctx context.Context, schema *allod.Schema) (int, error) {
	var org struct {
		Detail struct{ OrganizationType any }
	}
	if err := s.getJSON(ctx, "RetrieveCurrentOrganization(AccessType=Microsoft.Dynamics.CRM.EndpointAccessType'Default')", "", &org); err != nil {
		return 0, unlessRefused(err)
	}
	// The enumeration comes by name or, with odata.metadata=none, by number.
	switch org.Detail.OrganizationType {
	case "", nil:
		return 0, nil
	case "Customer", "Secondary", float64(0), float64(4):
		for _, app := range []string{"opportunity", "incident", "msdyn_workorder", "msdynmkt_journey"} {
			if schema.Table(app) != nil {
				return 28, nil
			}
		}
	}
	return 7, nil
}

// unlessRefused keeps an error of a service that could not be reached; what it
// answered with no is a fact, not a failure.
func unlessRefused(err error) error {
	if k := allod.KindOf(err); k == allod.Denied || k == allod.NotFound || k == allod.Invalid {
		return nil
	}
	return err
}

// PlatformID implements source.PlatformMember (protocols/dataverse.md §1.3).
func (s *Source) PlatformID(ctx context.Context) (allod.GUID, error) {
	var org struct {
		Detail struct{ EnvironmentID allod.GUID }
	}
	err := s.getJSON(ctx, "RetrieveCurrentOrganization(AccessType=Microsoft.Dynamics.CRM.EndpointAccessType'Default')", "", &org)
	return org.Detail.EnvironmentID, err
}

package inspect

import (
	"context"
	"slices"

	"allod"
)

// Service is a signed-in connection to the Web API. Addresses are relative to
// its root.
type Service interface {
	Get(ctx context.Context, address string, into any) error
}

// neverTracked lists tables whose CanChangeTrackingBeEnabled is false
// (protocols/dataverse.md §5.2). A service that does not say names none.
func neverTracked(ctx context.Context, s Service) ([]string, error) {
	var list struct {
		Value []struct {
			LogicalName                string
			ChangeTrackingEnabled      bool
			CanChangeTrackingBeEnabled *struct{ Value bool }
		}
	}
	err := s.Get(ctx, "EntityDefinitions?$select=LogicalName,ChangeTrackingEnabled,CanChangeTrackingBeEnabled", &list)
	if err != nil {
		return nil, reached(err)
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
func nativeDays(ctx context.Context, s Service, schema *allod.Schema) (int, error) {
	var org struct {
		Detail struct{ OrganizationType any }
	}
	if err := s.Get(ctx, "RetrieveCurrentOrganization(AccessType=Microsoft.Dynamics.CRM.EndpointAccessType'Default')", &org); err != nil {
		return 0, reached(err)
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

// reached keeps an error of a service that could not be reached; what it
// answered with no is a fact, not a failure.
func reached(err error) error {
	if closed(err) {
		return nil
	}
	return err
}

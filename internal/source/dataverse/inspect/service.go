package inspect

import (
	"context"
	"slices"

	"allod"
	"allod/internal/source"
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

// organization is what the service says of itself (protocols/dataverse.md §1.3).
// What it is not allowed to be asked stays empty.
type organization struct {
	Detail struct {
		EnvironmentID    allod.GUID
		OrganizationType any
	}
}

func whoIs(ctx context.Context, s Service) (*organization, error) {
	org := &organization{}
	err := s.Get(ctx, "RetrieveCurrentOrganization(AccessType=Microsoft.Dynamics.CRM.EndpointAccessType'Default')", org)
	return org, err
}

// PlatformID is what the platform calls the environment; zero when the service
// does not say.
func PlatformID(ctx context.Context, s Service) (allod.GUID, error) {
	org, err := whoIs(ctx, s)
	return org.Detail.EnvironmentID, err
}

// Standing says whether the environment is production, by the type of its
// organization (Web API reference, OrganizationType EnumType): Customer,
// Secondary, Default and Teams are where people work, sandboxes, developers'
// environments and trials are not. nil for any other type, and when the service
// does not say.
func Standing(ctx context.Context, s Service) (*source.Standing, error) {
	org, err := whoIs(ctx, s)
	if err != nil {
		return nil, reached(err)
	}
	kind := org.kind()
	if kind == "" {
		return nil, nil
	}
	return &source.Standing{Production: !slices.Contains(tries(), kind), Why: "it says that it is an organization of the type " + kind}, nil
}

func tries() []string {
	return []string{"CustomerTest", "CustomerFreeTest", "TestDrive", "Developer", "Trial"}
}

// kind is the type of the organization, of those that say whether it is
// production. The enumeration comes by name or, with odata.metadata=none, by
// number.
func (o *organization) kind() string {
	for n, name := range map[float64]string{0: "Customer", 4: "Secondary", 12: "Default", 15: "Teams", 5: "CustomerTest", 6: "CustomerFreeTest", 9: "TestDrive", 13: "Developer", 14: "Trial"} {
		if o.Detail.OrganizationType == name || o.Detail.OrganizationType == n {
			return name
		}
	}
	return ""
}

// nativeDays is how long the platform keeps its own backups: 28 days for
// production with Dynamics 365 apps, 7 for everything else; a managed
// environment may be set to more (protocols/dataverse.md §12.1). That an
// environment has such apps is inferred from their tables. 0 when the service
// does not say what kind of environment it is.
func nativeDays(ctx context.Context, s Service, schema *allod.Schema) (int, error) {
	org, err := whoIs(ctx, s)
	if err != nil {
		return 0, reached(err)
	}
	if t := org.Detail.OrganizationType; t == nil || t == "" {
		return 0, nil
	}
	if kind := org.kind(); kind == "Customer" || kind == "Secondary" {
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

// Package discovery answers the global discovery service: which environments there
// are for the one who asks (protocols/dataverse.md §1.4). The real one is a host of
// its own; here it lies beside the environment, under the same path.
package discovery

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// Path is where the instances are.
const Path = "/api/discovery/v2.0/Instances"

// Instance is what is told of an environment. URL is the address of the
// environment, without a slash at the end; times are UTC.
type Instance struct {
	Organization, Environment, Tenant allod.GUID
	UniqueName, FriendlyName, Version string
	URL                               string
	Administrator                     bool // the caller is one
	Updated                           time.Time
}

// member is a member of an instance, in the order of the answer.
type member struct {
	name  string
	value any // text, int, bool or nil
}

func (i *Instance) members() []member {
	return []member{
		{"Id", i.Organization.String()},
		{"UniqueName", i.UniqueName},
		{"UrlName", "org"},
		{"FriendlyName", i.FriendlyName},
		{"State", 0},
		{"Version", i.Version},
		{"Url", i.URL},
		{"ApiUrl", i.URL},
		{"LastUpdated", i.Updated.UTC().Format(time.RFC3339)},
		{"SchemaType", "Full"},
		{"OrganizationType", 0},
		{"TenantId", i.Tenant.String()},
		{"EnvironmentId", i.Environment.String()},
		{"DatacenterId", allod.GUID{}.String()},
		{"DatacenterName", nil},
		{"StatusMessage", 0},
		{"TrialExpirationDate", nil},
		{"Purpose", nil},
		{"Region", "EUR"},
		{"IsUserSysAdmin", i.Administrator},
	}
}

// typ is the property that documented requests filter by though no answer shows it.
const typ = "Type"

// Answer answers GET of path and query under Path, with the instances that the
// caller may see. root is the address of the service, ending in /v2.0.
func Answer(root, url string, seen []Instance) (body []byte, err error) {
	req, err := (query.Dialect{Exact: true}).ParseURL(url)
	if err != nil {
		return nil, wire.BadQuery("%v", err)
	}
	if len(req.Path) != 1 || req.Path[0].Name != "Instances" {
		return nil, wire.NoSegment(strings.TrimPrefix(url, "Instances"))
	}
	for _, name := range req.Options.Names {
		if name != "$select" && name != "$filter" {
			return nil, wire.BadQuery("The query parameter %s is not supported.", name)
		}
	}
	if seg := &req.Path[0]; seg.Parens {
		for i := range seen {
			if !named(seg, &seen[i]) {
				continue
			}
			item, err := shown(&seen[i], req.Options)
			if err != nil {
				return nil, err
			}
			return append(append(append([]byte(`{"@odata.context":"`), root...), `/$metadata#Instances/$entity",`...), item[1:]...), nil
		}
		return nil, wire.Refuse(http.StatusNotFound, "", "The instance was not found.")
	}
	hold := func(*Instance) (bool, error) { return true, nil }
	if f := req.Options.Filter; f != nil {
		if hold, err = query.Compile(f, query.Env[*Instance]{Aliases: req.Options.Aliases, FoldCase: true, Column: column}); err != nil {
			return nil, refused(err)
		}
	}
	list := make([]json.RawMessage, 0, len(seen))
	for i := range seen {
		ok, err := hold(&seen[i])
		if err != nil {
			return nil, refused(err)
		}
		if !ok {
			continue
		}
		item, err := shown(&seen[i], req.Options)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	value, err := json.Marshal(list)
	return append(append(append(append([]byte(`{"@odata.context":"`), root...), `/$metadata#Instances","value":`...), value...), '}'), err
}

// refused keeps the service's own refusals and words the others.
func refused(err error) error {
	if e := wire.AsError(err); e.Status != http.StatusInternalServerError {
		return e
	}
	return wire.BadQuery("%v", err)
}

// named reports whether the key means the instance: its id or UniqueName='…'.
func named(seg *query.Segment, i *Instance) bool {
	if g, ok := seg.ID(); ok {
		return g == i.Organization
	}
	if len(seg.Args) != 1 || seg.Args[0].Name != "UniqueName" {
		return false
	}
	lit, ok := seg.Args[0].Value.(*query.Literal)
	return ok && strings.EqualFold(lit.Text, i.UniqueName)
}

func column(name string) (func(*Instance) (allod.Value, error), error) {
	if name == typ {
		return func(*Instance) (allod.Value, error) { return allod.IntegerValue(0), nil }, nil
	}
	known := (&Instance{}).members()
	at := slices.IndexFunc(known, func(m member) bool { return m.name == name })
	if at < 0 {
		return nil, unknown(name)
	}
	return func(i *Instance) (allod.Value, error) {
		switch v := i.members()[at].value.(type) {
		case string:
			if g, err := allod.ParseGUID(v); err == nil {
				return allod.IDValue(g), nil
			}
			return allod.StringValue(v), nil
		case int:
			return allod.IntegerValue(int64(v)), nil
		case bool:
			return allod.BooleanValue(v), nil
		}
		return allod.NullValue(), nil
	}, nil
}

func unknown(name string) error {
	return wire.BadQuery("Could not find a property named '%s' on type 'Microsoft.Dynamics.CRM.Discovery.Instance'.", name)
}

// shown is an instance with what $select asks for.
func shown(i *Instance, o *query.Options) (json.RawMessage, error) {
	all := i.members()
	var want []string
	for _, s := range o.Select {
		name := strings.Join(s.Path, "/")
		if !s.Star() && !slices.ContainsFunc(all, func(m member) bool { return m.name == name }) {
			return nil, unknown(name)
		}
		if s.Star() {
			want = nil
			break
		}
		want = append(want, name)
	}
	b := []byte("{")
	for _, m := range all {
		if want != nil && !slices.Contains(want, m.name) {
			continue
		}
		v, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(append(b, '"'), m.name...), `":`...), v...)
	}
	return append(b, '}'), nil
}

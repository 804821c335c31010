// Package beside asks and tells an environment what no column of a row says: what
// the environment is, the numbers that columns count with, who shares a row, what
// writing rows sets off.
package beside

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"allod"
	"allod/internal/source"
	"allod/internal/source/dataverse/inspect"
)

// Service is a signed-in connection to the Web API. Addresses are relative to its
// root.
type Service interface {
	Get(ctx context.Context, address string, into any) error
	// Call sends once and reads the answer into into, unless that is nil.
	Call(ctx context.Context, method, address string, body, into any) error
}

// Beside implements abilities of a source by messages of the service. It is safe
// for concurrent use.
type Beside struct {
	s    Service
	find source.Finder
}

// New returns one that speaks through the service and finds rows by find.
func New(s Service, find source.Finder) *Beside { return &Beside{s, find} }

var (
	_ source.Numberer        = (*Beside)(nil)
	_ source.Sharer          = (*Beside)(nil)
	_ source.TriggerLister   = (*Beside)(nil)
	_ source.PrivilegeHolder = (*Beside)(nil)
	_ source.Binner          = (*Beside)(nil)
)

// Inspect implements source.Inspector; see package inspect.
func (b *Beside) Inspect(ctx context.Context, schema *allod.Schema) (*source.Surroundings, error) {
	return inspect.Look(ctx, b.find, b.s, schema)
}

// Outside implements source.Outsider; see package inspect.
func (b *Beside) Outside(ctx context.Context, schema *allod.Schema) ([]source.Outside, error) {
	return inspect.Outside(ctx, b.find, b.s, schema)
}

// Triggers implements source.TriggerLister.
func (b *Beside) Triggers(ctx context.Context, schema *allod.Schema) ([]source.Trigger, []string, error) {
	return inspect.Triggers(ctx, b.find, schema)
}

// Holds implements source.PrivilegeHolder by RetrieveUserPrivileges.
func (b *Beside) Holds(ctx context.Context, privileges ...string) (bool, error) {
	var me struct{ UserId allod.GUID }
	if err := b.s.Get(ctx, "WhoAmI", &me); err != nil {
		return false, err
	}
	var held struct {
		RolePrivileges []struct{ PrivilegeName string }
	}
	if err := b.s.Get(ctx, "systemusers("+me.UserId.String()+")/Microsoft.Dynamics.CRM.RetrieveUserPrivileges", &held); err != nil {
		return false, err
	}
	have := map[string]bool{}
	for _, p := range held.RolePrivileges {
		have[strings.ToLower(p.PrivilegeName)] = true
	}
	return !slices.ContainsFunc(privileges, func(p string) bool { return !have[strings.ToLower(p)] }), nil
}

// right is one bit of what may be done with a row (AccessRights EnumType).
type right struct {
	bit  int64
	name string
}

func rights() []right {
	return []right{
		{1, "ReadAccess"},
		{2, "WriteAccess"},
		{4, "AppendAccess"},
		{16, "AppendToAccess"},
		{32, "CreateAccess"},
		{65536, "DeleteAccess"},
		{262144, "ShareAccess"},
		{524288, "AssignAccess"},
	}
}

// Share implements source.Sharer by GrantAccess (Web API reference).
func (b *Beside) Share(ctx context.Context, o source.WriteOptions, t *allod.Table, g source.Grant) error {
	var names []string
	for _, r := range rights() {
		if g.Rights&r.bit != 0 {
			names = append(names, r.name)
		}
	}
	reference := func(table, key string, id allod.GUID) map[string]string {
		return map[string]string{"@odata.type": "Microsoft.Dynamics.CRM." + table, key: id.String()}
	}
	body := map[string]any{
		"Target": reference(t.Name, t.Key, g.ID),
		"PrincipalAccess": map[string]any{
			"Principal": reference(g.Principal.Table, g.Principal.Table+"id", g.Principal.Key), "AccessMask": strings.Join(names, ","),
		},
	}
	return b.s.Call(ctx, http.MethodPost, tagged("GrantAccess", o), body, nil)
}

// PlatformID implements source.PlatformMember.
func (b *Beside) PlatformID(ctx context.Context) (allod.GUID, error) {
	return inspect.PlatformID(ctx, b.s)
}

// Standing implements source.Stander.
func (b *Beside) Standing(ctx context.Context) (*source.Standing, error) {
	return inspect.Standing(ctx, b.s)
}

// tagged appends the tag of a write to an address (protocols/dataverse.md §2.2).
func tagged(address string, o source.WriteOptions) string {
	if o.Tag == "" {
		return address
	}
	return address + "?tag=" + url.QueryEscape(o.Tag)
}

// Autonumbers implements source.Numberer: AutoNumberFormat is a member of
// AttributeMetadata (Web API reference).
func (b *Beside) Autonumbers(ctx context.Context, tables []string) ([]source.Autonumber, error) {
	var out []source.Autonumber
	for _, t := range tables {
		var list struct {
			Value []struct{ LogicalName, AutoNumberFormat string }
		}
		if err := b.s.Get(ctx, "EntityDefinitions(LogicalName='"+t+"')/Attributes?$select=LogicalName,AutoNumberFormat", &list); err != nil {
			return nil, err
		}
		for _, a := range list.Value {
			if a.AutoNumberFormat == "" {
				continue
			}
			next, err := b.NextNumber(ctx, t, a.LogicalName)
			switch allod.KindOf(err) {
			case allod.Denied, allod.NotFound, allod.Invalid:
				next = -1
			default:
				if err != nil {
					return nil, err
				}
			}
			out = append(out, source.Autonumber{Table: t, Column: a.LogicalName, Format: a.AutoNumberFormat, Next: next})
		}
	}
	return out, nil
}

// column is how the messages name a column.
type column struct {
	EntityName    string
	AttributeName string
	Value         *int64 `json:",omitempty"`
}

// NextNumber implements source.Numberer by GetNextAutoNumberValue, an action (Web
// API reference): the number that the next row gets, after the last one given.
func (b *Beside) NextNumber(ctx context.Context, table, name string) (int64, error) {
	var answer struct{ NextAutoNumberValue int64 }
	err := b.s.Call(ctx, http.MethodPost, "GetNextAutoNumberValue", column{EntityName: table, AttributeName: name}, &answer)
	return answer.NextAutoNumberValue, err
}

// SetNumber implements source.Numberer by SetAutoNumberSeed.
func (b *Beside) SetNumber(ctx context.Context, o source.WriteOptions, table, name string, next int64) error {
	return b.s.Call(ctx, http.MethodPost, tagged("SetAutoNumberSeed", o), column{table, name, &next}, nil)
}

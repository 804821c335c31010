// Package beside asks and tells an environment what no column of a row says: what
// the environment is, and the numbers that columns count with.
package beside

import (
	"context"
	"net/http"
	"net/url"

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
type Beside struct{ s Service }

// New returns one that speaks through the service.
func New(s Service) *Beside { return &Beside{s} }

var _ source.Numberer = (*Beside)(nil)

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

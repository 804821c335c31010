package entity

import (
	"slices"
	"strconv"
	"strings"

	"allod/internal/odata"
)

// Object is a JSON object whose members keep their order: a metadata item as
// the Web API shows it.
type Object []Member

// Member is one member of an Object. Value is nil, bool, int, float64, string,
// Object, []Object or []string.
type Member struct {
	Name  string
	Value any
}

// Get returns the value at a path such as "IsCustomizable/Value"; false when
// there is no such member.
func (o Object) Get(path string) (any, bool) {
	head, rest, more := strings.Cut(path, "/")
	for _, m := range o {
		if m.Name != head {
			continue
		}
		if !more {
			return m.Value, true
		}
		if sub, ok := m.Value.(Object); ok {
			return sub.Get(rest)
		}
		return nil, false
	}
	return nil, false
}

// Select returns the members named, in the object's own order, and always
// MetadataId and annotations (protocols/dataverse.md §3.2). No names means
// everything.
func (o Object) Select(names []string) Object {
	if len(names) == 0 {
		return o
	}
	out := make(Object, 0, len(names)+2)
	for _, m := range o {
		if m.Name == "MetadataId" || strings.HasPrefix(m.Name, "@") || slices.Contains(names, m.Name) {
			out = append(out, m)
		}
	}
	return out
}

// AppendJSON appends the object as JSON text.
func (o Object) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	for i, m := range o {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = odata.AppendString(dst, m.Name)
		dst = append(dst, ':')
		dst = appendValue(dst, m.Value)
	}
	return append(dst, '}')
}

// MarshalJSON makes Object a json.Marshaler.
func (o Object) MarshalJSON() ([]byte, error) { return o.AppendJSON(nil), nil }

func appendValue(dst []byte, v any) []byte {
	switch x := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, x)
	case int:
		return strconv.AppendInt(dst, int64(x), 10)
	case float64:
		return strconv.AppendFloat(dst, x, 'f', -1, 64)
	case string:
		return odata.AppendString(dst, x)
	case Object:
		return x.AppendJSON(dst)
	case []Object:
		dst = append(dst, '[')
		for i, o := range x {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = o.AppendJSON(dst)
		}
		return append(dst, ']')
	case []string:
		dst = append(dst, '[')
		for i, s := range x {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = odata.AppendString(dst, s)
		}
		return append(dst, ']')
	default:
		panic("entity: Object holds a value of another type") // a defect of this package
	}
}

// Package rowjson renders rows as the JSON their source would send.
package rowjson

import (
	"strconv"

	"allod"
	"allod/internal/odata"
)

// Append appends a row as the source's own JSON (protocols/dataverse.md
// §2.3): lookups as _x_value with the annotation that names their table, in
// front of the value. Absent columns are left out: they were not read, which
// is not null. A file appears as {"name", "mime", "size", "sha256"}.
func Append(dst []byte, t *allod.Table, row *allod.Row) []byte {
	dst = append(dst, '{')
	if row.Version != 0 {
		dst = append(dst, `"@odata.etag":"W/\"`...)
		dst = strconv.AppendUint(dst, row.Version, 10)
		dst = append(dst, `\""`...)
	}
	for i := range t.Columns {
		c, v := &t.Columns[i], row.Cell(i)
		if v.IsAbsent() {
			continue
		}
		name := c.Name
		if c.Type == allod.Lookup {
			name = "_" + c.Name + "_value"
			if target, _ := v.Target(); target != "" {
				dst = odata.AppendAnnotated(dst, name, "Microsoft.Dynamics.CRM.lookuplogicalname")
				dst = odata.AppendString(dst, target)
			}
		}
		dst = odata.AppendMember(dst, name)
		if v.Type() == allod.File {
			dst = appendFile(dst, v)
			continue
		}
		dst = odata.AppendValue(dst, v)
	}
	return append(dst, '}')
}

func appendFile(dst []byte, v allod.Value) []byte {
	f, err := v.FileRef()
	if err != nil {
		return append(dst, "null"...)
	}
	dst = append(dst, `{"name":`...)
	dst = odata.AppendString(dst, f.Name)
	dst = append(dst, `,"mime":`...)
	dst = odata.AppendString(dst, f.MIME)
	dst = append(dst, `,"size":`...)
	dst = strconv.AppendInt(dst, f.Size, 10)
	if f.SHA256 != "" {
		dst = append(dst, `,"sha256":`...)
		dst = odata.AppendString(dst, f.SHA256)
	}
	return append(dst, '}')
}

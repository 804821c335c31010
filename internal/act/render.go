package act

import (
	"allod"
	"allod/internal/odata/rowjson"
)

// AppendJSON appends a row as the source's own JSON, see rowjson.Append.
func AppendJSON(dst []byte, t *allod.Table, row *allod.Row) []byte {
	return rowjson.Append(dst, t, row)
}

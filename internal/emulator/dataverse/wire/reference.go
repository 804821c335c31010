package wire

import "allod"

// Reference is a row as messages return it: its type and its key in
// $metadata.
func Reference(s *Schema, table string, id allod.GUID) map[string]any {
	key := table + "id"
	if t := s.Model.Table(table); t != nil {
		key = t.PrimaryID
		if t.ODataKey != "" {
			key = t.ODataKey
		}
	}
	return map[string]any{"@odata.type": "#Microsoft.Dynamics.CRM." + table, key: id.String()}
}

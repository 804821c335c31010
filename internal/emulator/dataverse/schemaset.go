package dataverse

import (
	"net/http"
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/odata/batch"
)

// definitions reports whether a change set makes or changes metadata and
// nothing else. Deletions are not among it: values that went with a column
// could not be brought back.
func definitions(list []batch.Operation) bool {
	for i := range list {
		name, _, _ := strings.Cut(partURL(list[i].URL), "/")
		name, _, _ = strings.Cut(name, "(")
		name, _, _ = strings.Cut(name, "?")
		switch name {
		case "EntityDefinitions", "RelationshipDefinitions", "GlobalOptionSetDefinitions":
		default:
			return false
		}
		if list[i].Method != http.MethodPost && list[i].Method != http.MethodPut {
			return false
		}
	}
	return len(list) > 0
}

// schemaSet runs a change set of metadata: when a part fails, the schema is
// again what it was before the set, and the failure stands alone in the answer.
func (c *call) schemaSet(item batch.Item, refs map[string]string) (batch.ResultItem, bool) {
	out := batch.ResultItem{ChangeSet: true}
	before := c.s.Model()
	made := before
	for i := range item.Operations {
		r, ok := c.part(&item.Operations[i], refs, nil)
		if !ok {
			if err := c.s.undo(before, made); err != nil {
				r = c.result(c.fail(err))
			}
			c.Schema = c.s.schema.Load()
			return batch.ResultItem{Results: []batch.Result{r}}, false
		}
		out.Results = append(out.Results, r)
		made = c.s.Model()
	}
	return out, true
}

// undo puts an earlier model in force again, if the one in force is still the
// one a change set has made.
func (s *Server) undo(before, made *entity.Model) error {
	if before == made {
		return nil
	}
	_, err := s.reshape(func(m *entity.Model) error {
		if s.Model() != made {
			return allod.Errorf(allod.Conflict, "undo change set: the schema was changed by somebody else meanwhile")
		}
		m.Tables, m.Relationships, m.Choices = slices.Clone(before.Tables), slices.Clone(before.Relationships), slices.Clone(before.Choices)
		return nil
	})
	return err
}

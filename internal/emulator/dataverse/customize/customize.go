package customize

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/describe"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/request"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// Reshape puts a changed copy of the model in force: change gets a copy whose
// lists it may change, but not the tables, columns, relationships and choices
// in them. When change fails nothing happens and its error is returned. One
// Reshape runs at a time.
type Reshape func(change func(m *entity.Model) error) (*wire.Schema, error)

// Definitions answers POST, PUT and DELETE of EntityDefinitions and what
// stands below it, RelationshipDefinitions and GlobalOptionSetDefinitions.
func Definitions(c *request.Call, reshape Reshape) (*request.Reply, error) {
	path := c.Req.Path
	c.Count(path[0].Name, nil)
	steps := len(path)
	if steps > 1 && !path[steps-1].Parens && strings.HasPrefix(path[steps-1].Name, request.Namespace) {
		steps-- // a cast of what comes before
	}
	at, part := &path[0], ""
	if steps > 1 {
		at, part = &path[1], "/"+path[1].Name
	}
	verb := c.Method
	if !at.Parens && verb != http.MethodPost || at.Parens && verb == http.MethodPost || steps > 2 {
		return nil, c.NoMethod()
	}
	f := verbs()[verb+" "+path[0].Name+part]
	if f == nil {
		return nil, c.NoMethod()
	}
	return change(c, reshape, f)
}

// verbs are the changes by method and kind of definition.
func verbs() map[string]func(*work) error {
	return map[string]func(*work) error{
		"POST EntityDefinitions":              (*work).createTable,
		"PUT EntityDefinitions":               (*work).updateTable,
		"DELETE EntityDefinitions":            (*work).deleteTable,
		"POST EntityDefinitions/Attributes":   (*work).createColumn,
		"PUT EntityDefinitions/Attributes":    (*work).updateColumn,
		"DELETE EntityDefinitions/Attributes": (*work).deleteColumn,
		"POST EntityDefinitions/Keys":         (*work).createKey,
		"DELETE EntityDefinitions/Keys":       (*work).deleteKey,
		"POST RelationshipDefinitions":        (*work).createRelationship,
		"PUT RelationshipDefinitions":         (*work).updateRelationship,
		"DELETE RelationshipDefinitions":      (*work).deleteRelationship,
		"POST GlobalOptionSetDefinitions":     (*work).createSet,
		"PUT GlobalOptionSetDefinitions":      (*work).updateSet,
		"DELETE GlobalOptionSetDefinitions":   (*work).deleteSet,
	}
}

// Actions are the messages that change metadata, by name.
func Actions() map[string]func(*request.Call, Reshape) (map[string]any, error) {
	out := map[string]func(*request.Call, Reshape) (map[string]any, error){}
	for name, f := range map[string]func(*work) error{
		"InsertOptionValue":                (*work).insertOption,
		"InsertStatusValue":                (*work).insertStatus,
		"UpdateOptionValue":                (*work).updateOption,
		"UpdateStateValue":                 (*work).updateState,
		"DeleteOptionValue":                (*work).deleteOption,
		"OrderOption":                      (*work).orderOptions,
		"CreateCustomerRelationships":      (*work).createCustomer,
		"CreatePolymorphicLookupAttribute": (*work).createPolymorphic,
		"ReactivateEntityKey":              (*work).reactivateKey,
	} {
		out[name] = func(c *request.Call, reshape Reshape) (map[string]any, error) {
			w, err := run(c, reshape, f)
			if err != nil {
				return nil, err
			}
			return w.result, nil
		}
	}
	return out
}

// work is one change under way.
type work struct {
	*request.Call
	m      *entity.Model // the copy
	body   entity.Object
	writes map[*entity.Table]bool // tables of m that are copies already
	after  []func() error         // done once the change is in force

	reshape Reshape // for what is changed later

	made   string         // the URL of what was made or changed, relative to the root
	result map[string]any // of an action
}

// change runs f and answers 204 with the address of what it made or changed;
// with return=representation, 201 or 200 and the definition.
func change(c *request.Call, reshape Reshape, f func(*work) error) (*request.Reply, error) {
	w, err := run(c, reshape, f)
	if err != nil {
		return nil, err
	}
	out := &request.Reply{Status: http.StatusNoContent, Header: http.Header{}}
	if w.made == "" {
		return out, nil
	}
	if c.Prefer.Representation {
		again := *c
		again.Method = http.MethodGet
		if again.Req, err = (query.Dialect{}).ParseURL(w.made); err != nil {
			return nil, err
		}
		again.URL = w.made
		if out, err = describe.Definitions(&again); err != nil {
			return nil, err
		}
		out.Header = http.Header{}
		if c.Method == http.MethodPost {
			out.Status = http.StatusCreated
		}
	}
	out.Header.Set("OData-EntityId", c.Root+"/"+w.made)
	return out, nil
}

func run(c *request.Call, reshape Reshape, f func(*work) error) (*work, error) {
	if c.Tx != nil {
		return nil, wire.Refuse(http.StatusNotImplemented, "0x80040800", "The emulator changes metadata outside of change sets only.")
	}
	c.Charge(func(m *protect.Cost) time.Duration { return m.Metadata.Of(1) })
	w := &work{Call: c, reshape: reshape}
	if err := w.allowed(); err != nil {
		return nil, err
	}
	if len(c.Body) > 0 {
		body, err := describe.ParseObject(c.Body)
		if err != nil {
			return nil, wire.BadPayload("the body is no definition.")
		}
		w.body = body
	}
	schema, err := reshape(func(m *entity.Model) error {
		w.m, w.writes, w.after = m, map[*entity.Table]bool{}, nil
		return f(w)
	})
	if err != nil {
		return nil, err
	}
	c.Schema = schema
	for _, do := range w.after {
		if err := do(); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// allowed asks for the privileges to customise: a System Administrator or
// System Customizer has them.
func (w *work) allowed() error {
	name := map[string]string{http.MethodPost: "prvCreateEntity", http.MethodPut: "prvWriteEntity", http.MethodDelete: "prvDeleteEntity"}[w.Method]
	if !w.User.Customizes() || slices.Contains(w.User.Deny, name) {
		return access.Denied(w.User, name)
	}
	return nil
}

// table finds the table that the path means.
func (w *work) table() (*entity.Table, error) {
	seg := &w.Req.Path[0]
	for _, t := range w.m.Tables {
		if describe.Named(seg, t.LogicalName, t.MetadataID, "LogicalName") && t.Defined() && w.Exists(t) {
			return t, nil
		}
	}
	return nil, wire.Refuse(http.StatusNotFound, "0x80041102", "Could not find an entity with specified entity name or id.")
}

// named finds a table by logical name.
func (w *work) named(name string) (*entity.Table, error) {
	if t := w.m.Table(name); t != nil && t.Defined() && w.Exists(t) {
		return t, nil
	}
	return nil, wire.Refuse(http.StatusBadRequest, "0x80041102", "The entity with a name = '%s' was not found in the MetadataCache.", name)
}

// own returns the table as one that may be changed.
func (w *work) own(t *entity.Table) *entity.Table {
	if w.writes[t] {
		return t
	}
	c := t.Clone()
	w.writes[c] = true
	w.m.Tables[slices.Index(w.m.Tables, t)] = c
	w.m.Index()
	return c
}

// ownColumn returns the column of a table that may be changed as one that may
// be changed.
func (w *work) ownColumn(t *entity.Table, c *entity.Column) *entity.Column {
	copied := *c
	t.Columns[slices.Index(t.Columns, c)] = &copied
	return &copied
}

// add puts a new table into the model.
func (w *work) add(t *entity.Table) {
	w.writes[t] = true
	w.m.Tables = append(w.m.Tables, t)
	w.m.Index()
}

// invalid is the InvalidArgument of §9.3.
func invalid(format string, args ...any) error {
	return wire.Refuse(http.StatusBadRequest, "0x80040203", format, args...)
}

// inUse is CannotDeleteInUseComponent.
func inUse(what string, id allod.GUID, n int) error {
	return wire.Refuse(http.StatusBadRequest, "0x8004F01F", "The %s(%v) component cannot be deleted because it is referenced by %d other components. For a list of referenced components, use the RetrieveDependenciesForDeleteRequest.", what, id, n)
}

// notDeletable is CannotDeleteMetadata: what a managed solution or the
// platform brought stays.
func notDeletable(name string, id allod.GUID) error {
	return wire.Refuse(http.StatusBadRequest, "0x8004F032", "The 'Delete' operation on the current component(name='%s', id='%v') failed during managed property evaluation of condition: 'IsManaged'", name, id)
}

// duplicate is the refusal of a name that is taken.
func duplicate(name, kind string) error {
	return wire.Refuse(http.StatusBadRequest, "0x80044363", "The schema name %s for type %s is not unique. An %s with same name already exists.", name, kind, name)
}

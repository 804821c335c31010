package dataverse

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"allod"
	"allod/internal/emulator"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/exchange"
	"allod/internal/emulator/dataverse/filerow"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/recycle"
	"allod/internal/emulator/dataverse/retention"
	"allod/internal/emulator/dataverse/roles"
	"allod/internal/emulator/dataverse/sdk"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
)

func (s *Server) admin(w http.ResponseWriter, r *http.Request) {
	path := strings.Trim(strings.TrimPrefix(r.URL.Path, "/_emulator"), "/")
	if name, ok := strings.CutPrefix(path, "actions/"); ok && r.Method == http.MethodPost {
		s.adminAction(w, r, name)
		return
	}
	switch {
	case path == "" && r.Method == http.MethodGet:
		s.index(w, r)
	case path == "counters" && r.Method == http.MethodGet:
		adminJSON(w, http.StatusOK, s.org.Counters.Snapshot())
	case path == "counters" && r.Method == http.MethodDelete:
		s.org.Counters.Reset()
		w.WriteHeader(http.StatusNoContent)
	case path == "faults" && r.Method == http.MethodGet:
		adminJSON(w, http.StatusOK, s.faults.List())
	case path == "faults" && (r.Method == http.MethodPut || r.Method == http.MethodPost):
		var list []emulator.Fault
		if err := decodeAdmin(w, r, &list); err != nil {
			adminError(w, err)
			return
		}
		if err := s.faults.Set(list); err != nil {
			adminError(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	case path == "assume" && r.Method == http.MethodGet:
		adminJSON(w, http.StatusOK, map[string]any{"switches": Assumptions(), "in_force": s.org.Assume})
	case path == "users" && r.Method == http.MethodGet:
		adminJSON(w, http.StatusOK, s.Users())
	case path == "exchange" && r.Method == http.MethodGet:
		s.org.Store.View(func(tx *store.Tx) { adminJSON(w, http.StatusOK, map[string]any{"sent": exchange.Sent(tx)}) })
	case path == "state" && r.Method == http.MethodGet:
		adminJSON(w, http.StatusOK, s.state())
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) state() map[string]any {
	rows := map[string]int{}
	out := map[string]any{"organization": s.Organization().String(), "root_business_unit": s.org.Unit.String(), "marks": s.org.Store.Marks(), "rows": rows}
	s.org.Store.View(func(tx *store.Tx) {
		out["version"] = tx.Version()
		for _, t := range s.Model().Tables {
			if n := tx.Len(t.LogicalName); n > 0 {
				rows[t.LogicalName] = n
			}
		}
	})
	return out
}

func adminJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client has gone
}

func adminError(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	if allod.KindOf(err) == allod.NotFound {
		status = http.StatusNotFound
	}
	adminJSON(w, status, map[string]string{"error": err.Error()})
}

func decodeAdmin(w http.ResponseWriter, r *http.Request, v any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return allod.Errorf(allod.Invalid, "read body: %w", err)
	}
	return nil
}

// adminBody holds the arguments of every action.
type adminBody struct {
	Name            string       `json:"name"`
	NewOrganization bool         `json:"new_organization"`
	Table           string       `json:"table"`
	Column          string       `json:"column"`
	Kind            string       `json:"kind"`
	Count           int          `json:"count"`
	IDs             []allod.GUID `json:"-"`
	IDTexts         []string     `json:"ids"`
	ClientID        string       `json:"client_id"`
	Depth           string       `json:"depth"`
	On              bool         `json:"on"`
}

func (s *Server) adminAction(w http.ResponseWriter, r *http.Request, name string) {
	var b adminBody
	if r.ContentLength != 0 {
		if err := decodeAdmin(w, r, &b); err != nil {
			adminError(w, err)
			return
		}
	}
	for _, text := range b.IDTexts {
		id, err := allod.ParseGUID(text)
		if err != nil {
			adminError(w, err)
			return
		}
		b.IDs = append(b.IDs, id)
	}
	if err := s.act(name, b); err != nil {
		adminError(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// act runs the action named as under /_emulator/actions/. An unknown action,
// table, user or mark is NotFound.
func (s *Server) act(name string, b adminBody) error {
	switch name {
	case "mark":
		s.mark(b.Name)
		return nil
	case "rewind-to":
		if err := s.rewind(b.Name, b.NewOrganization); err != nil {
			return err
		}
		return s.interruptJobs()
	case "retention-run":
		return s.retain(b)
	case "set-depth", "set-administrator":
		if err := s.setUser(name, b); err != nil {
			return err
		}
		if name == "set-depth" {
			if b.Depth == access.DepthGlobal {
				return nil
			}
			b.On = false // an administrator reads everything; this user no longer does
		}
		return s.org.Store.Update(func(tx *store.Tx) error { // not under s.mu: writers take it inside
			for _, u := range s.Users() {
				if b.ClientID != "" && !strings.EqualFold(u.ClientID, b.ClientID) {
					continue
				}
				return s.putAdministrator(tx, u.User, b.On)
			}
			return nil
		})
	case "follow-roles":
		return s.followRoles(b.ClientID)
	case "set-secured", "add-column", "remove-column", "create-table", "set-tracking":
		return s.changeModel(name, b)
	case "drop-table":
		t := s.Model().Table(b.Table)
		if t == nil {
			return allod.Errorf(allod.NotFound, "drop table %q: no such table", b.Table)
		}
		s.history.Drop(t)
		s.org.Store.DropTable(b.Table)
		return nil
	case "synchronize-mail":
		return s.synchronize()
	case "calculate-rollups":
		return s.rollUp()
	case "set-recycle-bin":
		return s.org.Store.Update(func(tx *store.Tx) error {
			recycle.Switch(tx, s.Model(), s.newID, b.On, b.Count)
			return nil
		})
	case "reset-token-epoch":
		s.authority.ExpireTokens()
		return nil
	}
	return allod.Errorf(allod.NotFound, "run action %q: no such action", name)
}

// epoch is what a mark remembers besides the rows.
type epoch struct {
	organization allod.GUID
	schema       *wire.Schema
	users        []AppUser // what they may do
}

func (s *Server) mark(name string) {
	s.swap.Lock()
	defer s.swap.Unlock()
	s.org.Store.Mark(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epochs[name] = epoch{s.organization, s.schema.Load(), slices.Clone(s.users)}
}

// rewind brings back rows and schema of the mark, and what application users
// were allowed then, which follows from rows.
func (s *Server) rewind(name string, newOrganization bool) error {
	s.swap.Lock()
	defer s.swap.Unlock()
	if err := s.org.Store.Rewind(name); err != nil {
		return err
	}
	version := s.org.Store.Version()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.org.DeltaFloor.Store(version)
	was := s.epochs[name]
	s.history.Note(s.Model(), was.schema.Model)
	s.schema.Store(was.schema)
	s.organization = was.organization
	for i := range s.users { // the list itself stays as it was made
		u := &s.users[i]
		u.Administrator, u.Depth, u.Deny, u.Granted = was.users[i].Administrator, was.users[i].Depth, was.users[i].Deny, was.users[i].Granted
	}
	if newOrganization {
		s.organization = s.idLocked()
	}
	return nil
}

// retain moves rows into long-term retention (protocols/dataverse.md §13.1):
// those named, else the first of the table, else those of its policies.
func (s *Server) retain(b adminBody) error {
	t := s.Model().Table(b.Table)
	if t == nil {
		return allod.Errorf(allod.NotFound, "run retention on table %q: no such table", b.Table)
	}
	return s.job(func(a *platform.Act) error {
		ids := b.IDs
		if len(ids) == 0 && b.Count == 0 {
			return retention.Policies(a, t)
		}
		if len(ids) == 0 {
			for _, r := range a.Tx.Page(b.Table, nil, b.Count) {
				ids = append(ids, r.Key)
			}
		}
		retention.Rows(a, t, ids)
		return nil
	})
}

func (s *Server) setUser(action string, b adminBody) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.users {
		u := &s.users[i]
		if b.ClientID != "" && !strings.EqualFold(u.ClientID, b.ClientID) {
			continue
		}
		if action == "set-administrator" {
			u.Administrator = b.On
			return nil
		}
		if !slices.Contains([]string{access.DepthNone, access.DepthBasic, access.DepthLocal, access.DepthDeep, access.DepthGlobal}, b.Depth) {
			return allod.Errorf(allod.Invalid, "set depth %q: want None, Basic, Local, Deep or Global", b.Depth)
		}
		next := map[string]string{b.Table: b.Depth}
		for t, d := range u.Depth {
			if t != b.Table {
				next[t] = d
			}
		}
		u.Depth = next
		u.Administrator = u.Administrator && b.Depth == access.DepthGlobal
		return nil
	}
	return allod.Errorf(allod.NotFound, "find application user %q: no such user", b.ClientID)
}

// followRoles makes what an application user may do what its roles hold.
func (s *Server) followRoles(client string) error {
	for _, u := range s.Users() {
		if client != "" && !strings.EqualFold(u.ClientID, client) {
			continue
		}
		s.org.Store.View(func(tx *store.Tx) { roles.Follow(tx, s.Model(), &u) }) // not under s.mu: writers take it inside
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range s.users {
			if s.users[i].User == u.User {
				s.users[i] = u
			}
		}
		return nil
	}
	return allod.Errorf(allod.NotFound, "find application user %q: no such user", client)
}

// reshape puts a changed copy of the model in force, as customize.Reshape
// says; requests under way keep the old one. Tables and columns that are new
// are empty, the rows and values of those that went are gone.
func (s *Server) reshape(change func(m *entity.Model) error) (*wire.Schema, error) {
	s.swap.Lock()
	defer s.swap.Unlock()
	old := s.Model()
	next := &entity.Model{
		Tables: slices.Clone(old.Tables), Relationships: slices.Clone(old.Relationships), Choices: slices.Clone(old.Choices), Document: old.Document,
	}
	next.Index()
	if err := change(next); err != nil {
		return nil, err
	}
	next.Index()
	filerow.Relate(next, s.newID)
	s.history.Note(old, next)
	for _, t := range next.Tables {
		was := old.Table(t.LogicalName)
		if was == t || t.Abstract {
			continue
		}
		if was != nil {
			for _, c := range was.Columns {
				if x := t.Column(c.LogicalName); x == nil || x.LogicalName != c.LogicalName {
					s.org.Store.DropColumn(t.LogicalName, c.LogicalName)
				}
			}
		}
		s.org.Store.AddTable(t.LogicalName, columnNames(t))
	}
	if err := s.org.Store.Update(func(tx *store.Tx) error { filerow.Sweep(tx, old, next); return nil }); err != nil {
		return nil, err
	}
	schema := s.newSchema(next)
	s.schema.Store(schema)
	for _, t := range old.Tables {
		if next.Table(t.LogicalName) == nil {
			s.org.Store.DropTable(t.LogicalName)
		}
	}
	return schema, s.noteTables(old, next)
}

// noteTables keeps the rows that say of tables what can be done with them.
func (s *Server) noteTables(old, next *entity.Model) error {
	made := slices.DeleteFunc(slices.Clone(next.Tables), func(t *entity.Table) bool { return old.Table(t.LogicalName) != nil })
	gone := slices.DeleteFunc(slices.Clone(old.Tables), func(t *entity.Table) bool { return next.Table(t.LogicalName) != nil })
	if len(made)+len(gone) == 0 {
		return nil
	}
	return s.org.Store.Update(func(tx *store.Tx) error {
		sdk.Add(tx, wire.Stamp(s.now()), made...)
		for _, t := range gone {
			sdk.Drop(tx, t.LogicalName)
		}
		roles.Keep(tx, made, gone)
		return nil
	})
}

// subscriptionDays is how long stamps of RetrieveMetadataChanges are good.
func (s *Server) subscriptionDays() int {
	days := int64(90)
	s.org.Store.View(func(tx *store.Tx) {
		if v := tx.Value("organization", tx.Get("organization", s.Organization()), "expiresubscriptionsindays"); v.Type() == allod.Integer {
			days = v.Int()
		}
	})
	return int(days)
}

// changeModel changes one table of the model.
func (s *Server) changeModel(action string, b adminBody) error {
	_, err := s.reshape(func(m *entity.Model) error {
		i := slices.IndexFunc(m.Tables, func(t *entity.Table) bool { return t.LogicalName == b.Table })
		if i < 0 {
			return allod.Errorf(allod.NotFound, "%s: no table %q", action, b.Table)
		}
		t := m.Tables[i].Clone()
		m.Tables[i] = t
		return s.changeTable(action, b, t)
	})
	return err
}

func (s *Server) changeTable(action string, b adminBody, t *entity.Table) error {
	i := slices.IndexFunc(t.Columns, func(c *entity.Column) bool { return c.LogicalName == b.Column })
	switch action {
	case "set-tracking":
		t.ChangeTracking = b.On
		return nil
	case "create-table":
		t.MetadataID = s.newID()
		return nil
	case "add-column":
		if i >= 0 {
			return allod.Errorf(allod.Conflict, "%s: table %s has a column %q", action, b.Table, b.Column)
		}
		c, err := newColumn(b, len(t.Columns)+1)
		if err != nil {
			return err
		}
		c.MetadataID = s.newID()
		t.Columns = append(t.Columns, c)
		return nil
	}
	if i < 0 {
		return allod.Errorf(allod.NotFound, "%s: table %s has no column %q", action, b.Table, b.Column)
	}
	if action == "remove-column" {
		t.Columns = slices.Delete(t.Columns, i, i+1)
		return nil
	}
	c := *t.Columns[i]
	c.Secured = b.On
	t.Columns[i] = &c
	return nil
}

func newColumn(b adminBody, number int) (*entity.Column, error) {
	edm, ok := map[string]string{
		"String": "Edm.String", "Memo": "Edm.String", "Integer": "Edm.Int32", "Boolean": "Edm.Boolean", "DateTime": "Edm.DateTimeOffset",
		"Decimal": "Edm.Decimal", "Money": "Edm.Decimal", "Double": "Edm.Double",
	}[b.Kind]
	if !ok || b.Column == "" || b.Column != strings.ToLower(b.Column) {
		return nil, allod.Errorf(allod.Invalid, "add column %q of kind %q: want a lower-case name and a known kind", b.Column, b.Kind)
	}
	c := &entity.Column{
		LogicalName: b.Column, SchemaName: b.Column, Number: number, Kind: entity.ColumnKind(b.Kind), EdmType: edm, DisplayName: b.Column,
		ValidForCreate: true, ValidForUpdate: true, ValidForRead: true, ValidOData: true, Required: "None",
	}
	if b.Kind == "String" {
		c.MaxLength = 100
	}
	if b.Kind == "DateTime" {
		c.Behavior = "UserLocal"
	}
	return c, nil
}

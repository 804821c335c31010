package request

import (
	"net/http"
	"time"

	"allod"
	"allod/internal/emulator/dataverse/access"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/platform"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/store"
	"allod/internal/emulator/dataverse/wire"
	"allod/internal/odata/query"
)

// Namespace is the prefix of qualified names of the service.
const Namespace = "Microsoft.Dynamics.CRM."

// Call is one request, on its own or as a part of a batch. One goroutine uses
// it.
type Call struct {
	Org    *Org
	Schema *wire.Schema // in force when the request came; a batch keeps it
	User   *access.User
	Method string
	Header http.Header
	Root   string // service root with host, no trailing slash
	URL    string // relative to Root, as sent
	Req    *query.Request
	Body   []byte
	Prefer Prefer
	Tx     *store.Tx         // of the change set the call is part of; nil = none
	Refs   map[string]string // Content-ID to entity URL, in a batch
	Nested bool              // part of a batch
	Spent  *time.Duration    // what the request costs; a batch and its parts share it
}

// Reply is an answer.
type Reply struct {
	Status int
	Header http.Header
	Type   string // of the content; "" = JSON when there is a body
	Body   []byte
}

// View runs f at one moment of the store, within the change set if there is
// one.
func (c *Call) View(f func(tx *store.Tx) error) error {
	if c.Tx != nil {
		return f(c.Tx)
	}
	var err error
	c.Org.Store.View(func(tx *store.Tx) { err = f(tx) })
	return err
}

// Update runs f as one write: all of it or, when f fails, nothing. Within a
// change set it is a part of that.
func (c *Call) Update(f func(a *platform.Act) error) error {
	if c.Tx != nil {
		point := c.Tx.Point()
		err := f(c.Act(c.Tx))
		if err != nil {
			c.Tx.Back(point)
		}
		return err
	}
	return c.Org.Store.Update(func(tx *store.Tx) error { return f(c.Act(tx)) })
}

// Act is the business logic of the platform on behalf of the caller.
func (c *Call) Act(tx *store.Tx) *platform.Act {
	o := c.Org
	a := &platform.Act{
		Tx: tx, Schema: c.Schema, User: c.User.User, Unit: o.Unit, Currency: o.Currency, Now: o.Now(), NewID: o.NewID, Refs: c.Refs,
		Solution: c.solution(),
		Assume:   func(key string) string { return o.Assume[key] }, Allow: access.Writing(c.User),
		Need: func(privilege string) error { return access.Need(c.User, privilege) },
	}
	if id, ok := c.Impersonated(tx); ok {
		a.User, a.RealUser = id, c.User.User
	}
	return a
}

// solution is the unique name of the solution that what is made becomes part
// of; "" = none (§2.2, §14.1).
func (c *Call) solution() string {
	if name := c.Header.Get("MSCRM.SolutionUniqueName"); name != "" {
		return name
	}
	if c.Req != nil {
		for _, p := range c.Req.Options.Custom {
			if p.Name == "SolutionUniqueName" {
				return p.Value
			}
		}
	}
	return ""
}

// JoinTable makes a new table a component of the solution that the request
// names.
func (c *Call) JoinTable(table allod.GUID) error {
	return c.Update(func(a *platform.Act) error {
		a.Join(platform.ComponentTable, table, 0)
		return nil
	})
}

// JoinColumn makes a new column a component of the solution that the request
// names, and its table without what else belongs to it.
func (c *Call) JoinColumn(table, column allod.GUID) error {
	return c.Update(func(a *platform.Act) error {
		a.Join(platform.ComponentTable, table, 1)
		a.Join(platform.ComponentColumn, column, 0)
		return nil
	})
}

// Impersonated reads the headers that name the user on whose behalf the caller
// acts (protocols/dataverse.md §6.8); ok is false when there is none.
func (c *Call) Impersonated(tx *store.Tx) (user allod.GUID, ok bool) {
	if g, err := allod.ParseGUID(c.Header.Get("MSCRMCallerID")); err == nil && tx.Get("systemuser", g) != nil {
		return g, true
	}
	if g, err := allod.ParseGUID(c.Header.Get("CallerObjectId")); err == nil {
		for _, id := range tx.Find("systemuser", "azureactivedirectoryobjectid", allod.IDValue(g)) {
			return id, true
		}
	}
	return allod.GUID{}, false
}

// Charge adds to what the request costs; without a cost model it is free.
func (c *Call) Charge(f func(m *protect.Cost) time.Duration) {
	if m := c.Org.Cost; m != nil {
		*c.Spent += f(m)
	}
}

// Count counts the request as one of the route, and of the table unless that
// is nil.
func (c *Call) Count(route string, t *entity.Table) {
	c.Org.Counters.Add("requests", 1)
	c.Org.Counters.Add("requests:"+route, 1)
	if t != nil {
		c.Org.Counters.Add("requests:"+route+":"+t.LogicalName, 1)
	}
}

// Exists reports whether the table has not been dropped.
func (c *Call) Exists(t *entity.Table) bool {
	if t.LogicalName == "activitypointer" {
		return true
	}
	if c.Tx != nil { // the store is locked for the change set
		return c.Tx.Has(t.LogicalName)
	}
	return c.Org.Store.Has(t.LogicalName)
}

// NoMethod refuses the method with 405.
func (c *Call) NoMethod() error {
	return wire.Refuse(http.StatusMethodNotAllowed, "", "The requested resource does not support http method '%s'.", c.Method)
}

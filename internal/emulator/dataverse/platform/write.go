package platform

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"allod"
	"allod/internal/emulator/dataverse/audit"
	"allod/internal/emulator/dataverse/draft"
	"allod/internal/emulator/dataverse/elastic"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/exchange"
	"allod/internal/emulator/dataverse/filerow"
	"allod/internal/emulator/dataverse/recycle"
	"allod/internal/emulator/dataverse/wire"
)

// Create makes a row from the payload and what hangs on it. id is the key of
// the URL; zero = take it from the body or make one. A key in the body wins
// (protocols/dataverse.md §6.2). It returns the id.
func (a *Act) Create(t *entity.Table, id allod.GUID, p *wire.Payload) (allod.GUID, error) {
	if err := a.Allow("Create", t); err != nil {
		return id, err
	}
	if t.Intersect && !a.writableIntersect(t) {
		return id, wire.Refuse(http.StatusBadRequest, "0x8004830F", "The entity %s is an intersect entity. Use Associate and Disassociate instead.", t.LogicalName)
	}
	if err := readOnly(t, "Create"); err != nil {
		return id, err
	}
	switch {
	case p.HasKey && (!id.IsZero() || a.Assume("key-in-create") != "ignore"):
		id = p.Key
	case id.IsZero():
		id = a.NewID()
	}
	if a.Exists(t, id) {
		return id, wire.Refuse(http.StatusPreconditionFailed, "0x80040237", "A record with matching key values already exists.")
	}
	r := row{}
	err := a.mayCreate(t, p)
	if err == nil {
		err = a.assign(t, id, r, p, true)
	}
	if err == nil {
		err = a.attachment(t, r, p)
	}
	if err != nil {
		return id, err
	}
	if err := a.bindBefore(t, r, p); err != nil {
		return id, err
	}
	a.stampNew(t, r)
	a.answerNo(t, r, p)
	a.unrolled(t, r)
	if err := a.stateNew(t, r, p); err != nil {
		return id, err
	}
	if err := a.required(t, r); err != nil {
		return id, err
	}
	a.priceLine(t, r)
	a.derive(t, r)
	if err := a.checkKeys(t, id, r); err != nil {
		return id, err
	}
	a.put(t, id, r)
	a.audit(t, id, audit.Create, nil, r)
	a.priceTotals(t, r)
	a.startFlow(t, id)
	a.Join(ComponentType(t), id, 0)
	a.noteEnd(t, id)
	if t.LogicalName == recycle.Config {
		recycle.Spread(a.Tx, a.Schema.Model, a.NewID)
	}
	if err := a.addresses(t, id, p, true); err != nil {
		return id, err
	}
	if err := a.bringNew(t, id); err != nil {
		return id, err
	}
	if err := a.bindAfter(t, id, p); err != nil {
		return id, err
	}
	a.tell(t, id, exchange.Created)
	return id, nil
}

// readOnly refuses what clients cannot write: the base of activities, the
// history (§10.1), what apps hold, which messages change (§11.2), and what
// follows from the files of other rows (§8.2).
func readOnly(t *entity.Table, method string) error {
	switch t.LogicalName {
	case "activitypointer", audit.Table, "appmodulecomponent", filerow.Table:
		return wire.Refuse(http.StatusMethodNotAllowed, "0x80040800", "The '%s' method does not support entities of type '%s'.", method, t.LogicalName)
	}
	return nil
}

// writableIntersect: some tables that $metadata treats as intersects hold
// data of their own.
func (a *Act) writableIntersect(t *entity.Table) bool { return t.LogicalName == "activityparty" }

// Update changes the row, which must exist (404 otherwise).
func (a *Act) Update(t *entity.Table, id allod.GUID, p *wire.Payload) error {
	if err := a.Allow("Write", t); err != nil {
		return err
	}
	if t.LogicalName != "activitypointer" {
		if err := readOnly(t, "Update"); err != nil {
			return err
		}
	}
	old := a.Tx.Get(t.LogicalName, id)
	if old == nil {
		return wire.NoRow(t.LogicalName, id.String())
	}
	if t.Intersect && !a.writableIntersect(t) {
		return wire.Refuse(http.StatusBadRequest, "0x8004830F", "The entity %s is an intersect entity. Use Associate and Disassociate instead.", t.LogicalName)
	}
	if t.LogicalName == "activityparty" {
		return wire.Refuse(http.StatusBadRequest, "0x80040203", "The activityparty table does not support update; replace the whole set on the activity.")
	}
	if draft.Kept(t) { // what is changed goes on from what is not published yet
		if d, err := draft.Get(a.Tx, t, id); err != nil {
			return err
		} else if d != nil {
			old = d
		}
	}
	if err := a.beside().Refuse(t.LogicalName, id, p); err != nil {
		return err
	}
	r := a.load(old)
	if err := a.component(t, id, p); err != nil {
		return err
	}
	if err := a.stateChange(t, id, r, p); err != nil {
		return err
	}
	if err := a.assign(t, id, r, p, false); err != nil {
		return err
	}
	if err := a.attachment(t, r, p); err != nil {
		return err
	}
	if err := a.bindBefore(t, r, p); err != nil {
		return err
	}
	for _, b := range p.Binds {
		if b.Nav.Kind != wire.NavLookup {
			return wire.BadPayload("Binding '%s' to a collection is supported in create only.", b.Nav.Name)
		}
	}
	a.stampChanged(t, r)
	if priced(p) {
		a.rate(t, r)
	}
	a.priceLine(t, r)
	a.derive(t, r)
	if err := a.checkKeys(t, id, r); err != nil {
		return err
	}
	if draft.Kept(t) {
		draft.Put(a.Tx, a.NewID, t, id, cells(r))
		a.audit(t, id, audit.Update, a.load(old), r)
		return nil
	}
	a.put(t, id, r)
	a.audit(t, id, audit.Update, a.load(old), r)
	a.priceTotals(t, r)
	a.noteEnd(t, id)
	if t.LogicalName == recycle.Config {
		recycle.Spread(a.Tx, a.Schema.Model, a.NewID)
	}
	if err := a.addresses(t, id, p, false); err != nil {
		return err
	}
	a.tell(t, id, exchange.Changed)
	return a.bringChanged(t, id, a.load(old), r)
}

// assign copies the values a client may set and drops the others in silence
// (§3.3, trap 4).
func (a *Act) assign(t *entity.Table, id allod.GUID, r row, p *wire.Payload, create bool) error {
	if p.Passed != "" && a.Assume("lookup-value-in-body") == "refuse" {
		return wire.BadPayload("The property '" + p.Passed + "' is read-only.")
	}
	for _, v := range p.Values {
		c := v.Column
		if create && !c.ValidForCreate && c.LogicalName != "overriddencreatedon" || !create && !c.ValidForUpdate {
			continue
		}
		if !create && c.LogicalName == "partitionid" && elastic.Is(t) {
			continue // fixed at creation (§4.8)
		}
		if c.SourceType != 0 || c.Kind == "File" || setByPlatform(c.LogicalName) || !create && c.LogicalName == "overriddencreatedon" {
			continue
		}
		if err := fits(t, c, v.Value); err != nil {
			return err
		}
		if c.Kind == "Image" {
			if err := a.image(t, id, r, c, v.Value); err != nil {
				return err
			}
			continue
		}
		a.set(t, r, c.LogicalName, v.Value)
	}
	return nil
}

// setByPlatform names columns no client can set (§6.7).
func setByPlatform(column string) bool {
	switch column {
	case "createdon", "modifiedon", "createdby", "modifiedby", "createdonbehalfby", "modifiedonbehalfby",
		"versionnumber", "owninguser", "owningteam", "owningbusinessunit":
		return true
	}
	return false
}

func fits(t *entity.Table, c *entity.Column, v allod.Value) error {
	if v.Type() == allod.String && c.MaxLength > 0 && utf8.RuneCountInString(v.Text()) > c.MaxLength {
		return wire.Refuse(http.StatusBadRequest, "0x80044331", "A validation error occurred. The length of the '%s' attribute of the '%s' entity exceeded the maximum allowed length of '%d'.", c.LogicalName, t.LogicalName, c.MaxLength)
	}
	if c.Kind == "Picklist" && v.Type() == allod.Integer && c.OptionSet != nil && len(c.OptionSet.Options) > 0 {
		for _, o := range c.OptionSet.Options {
			if int64(o.Value) == v.Int() {
				return nil
			}
		}
		return wire.Refuse(http.StatusBadRequest, "0x8004431A", "A validation error occurred. The value %d of '%s' on record of type '%s' is outside the valid range.", v.Int(), c.LogicalName, t.LogicalName)
	}
	return nil
}

// bindBefore does what sets columns of the row itself: lookups, and rows that
// a lookup creates deeply.
func (a *Act) bindBefore(t *entity.Table, r row, p *wire.Payload) error {
	for _, b := range p.Binds {
		if b.Nav.Kind != wire.NavLookup {
			continue
		}
		if err := a.lookup(t, r, b.Nav, b.Refs); err != nil {
			return err
		}
	}
	for _, n := range p.Nested {
		if n.Nav.Kind != wire.NavLookup {
			continue
		}
		target := a.Schema.Model.Table(n.Nav.Target)
		id, err := a.Create(target, allod.GUID{}, n.Items[0])
		if err != nil {
			return err
		}
		a.setLookup(t, r, n.Nav.Column, allod.LookupValue(target.LogicalName, id))
	}
	return nil
}

func (a *Act) lookup(t *entity.Table, r row, nav *wire.Nav, refs []string) error {
	c := t.Column(nav.Column)
	if len(refs) == 0 {
		if c != nil && setByPlatform(c.LogicalName) || nav.Column == "ownerid" {
			return nil
		}
		// Clearing one target of a polymorphic lookup leaves another alone.
		if target, _ := a.get(t, r, nav.Column).Target(); target == "" || a.Schema.Fits(nav.Target, target) {
			a.setLookup(t, r, nav.Column, allod.NullValue())
		}
		return nil
	}
	target, id, err := a.Resolve(refs[0])
	if err != nil {
		return err
	}
	if !a.Schema.Fits(nav.Target, target.LogicalName) {
		return wire.BadPayload("A '%s' cannot be assigned to the navigation property '%s' of type 'Microsoft.Dynamics.CRM.%s'.", target.LogicalName, nav.Name, nav.Target)
	}
	if c != nil && (setByPlatform(c.LogicalName) || !c.ValidForCreate && !c.ValidForUpdate) {
		return nil
	}
	if !a.Exists(target, id) {
		return wire.NoRow(target.LogicalName, id.String())
	}
	a.setLookup(t, r, nav.Column, allod.LookupValue(target.LogicalName, id))
	return nil
}

func (a *Act) setLookup(t *entity.Table, r row, column string, v allod.Value) {
	if column == "" {
		return
	}
	a.set(t, r, column, v)
	if column == "ownerid" {
		a.owner(t, r)
	}
}

// bindAfter does what refers to the new row: existing rows to associate, rows
// to create below it.
func (a *Act) bindAfter(t *entity.Table, id allod.GUID, p *wire.Payload) error {
	for _, b := range p.Binds {
		if b.Nav.Kind == wire.NavLookup {
			continue
		}
		for _, ref := range b.Refs {
			other, far, err := a.Resolve(ref)
			if err != nil {
				return err
			}
			if err := a.Associate(t, id, b.Nav, other, far); err != nil {
				return err
			}
		}
	}
	for _, n := range p.Nested {
		if n.Nav.Kind == wire.NavLookup {
			continue
		}
		if err := a.below(t, id, n); err != nil {
			return err
		}
	}
	return nil
}

// below creates the rows of a deep insert into a collection.
func (a *Act) below(t *entity.Table, id allod.GUID, n wire.Nested) error {
	target := a.Schema.Model.Table(n.Nav.Target)
	for _, item := range n.Items {
		if n.Nav.Kind == wire.NavPairs {
			far, err := a.Create(target, allod.GUID{}, item)
			if err != nil {
				return err
			}
			if err := a.Associate(t, id, n.Nav, target, far); err != nil {
				return err
			}
			continue
		}
		child, err := a.Create(target, allod.GUID{}, item)
		if err != nil {
			return err
		}
		r := a.load(a.Tx.Get(target.LogicalName, child))
		a.setLookup(target, r, n.Nav.Column, allod.LookupValue(t.LogicalName, id))
		a.put(target, child, r)
	}
	return nil
}

// ReplaceParties swaps the whole set below the row for the items, as PUT of
// a collection of activity parties does (§6.1).
func (a *Act) ReplaceParties(t *entity.Table, id allod.GUID, nav *wire.Nav, items []*wire.Payload) error {
	old := a.Tx.Get(t.LogicalName, id)
	if old == nil {
		return wire.NoRow(t.LogicalName, id.String())
	}
	for _, child := range a.Tx.Find(nav.Target, nav.Column, allod.IDValue(id)) {
		a.Tx.Delete(nav.Target, child)
	}
	if err := a.below(t, id, wire.Nested{Nav: nav, Items: items}); err != nil {
		return err
	}
	r := a.load(old)
	a.stampChanged(t, r)
	a.put(t, id, r)
	a.audit(t, id, audit.Update, a.load(old), r)
	a.tell(t, id, exchange.Changed)
	return nil
}

// required refuses a new row that lacks a column the system requires; columns
// that the platform fills are past that by now.
func (a *Act) required(t *entity.Table, r row) error {
	for _, c := range t.Columns {
		if c.Required != "SystemRequired" || !c.ValidForCreate || c.LogicalName == t.PrimaryID || c.AttributeOf != "" {
			continue
		}
		switch c.Kind {
		case "String", "Memo", "Lookup", "Customer":
		default:
			continue
		}
		if a.get(t, r, c.LogicalName).IsNull() && a.pos(t, c.LogicalName) >= 0 && c.AutoNumber == "" {
			return wire.Refuse(http.StatusBadRequest, "0x80040203", "Required field '%s' is missing on '%s'.", c.LogicalName, t.LogicalName)
		}
	}
	return nil
}

// Patch sets columns directly, past what clients may set; for the platform's
// own columns such as the id of a file. It stamps the row.
func (a *Act) Patch(t *entity.Table, id allod.GUID, values map[string]allod.Value) error {
	old := a.Tx.Get(t.LogicalName, id)
	if old == nil {
		return wire.NoRow(t.LogicalName, id.String())
	}
	r := a.load(old)
	for c, v := range values {
		a.set(t, r, strings.ToLower(c), v)
	}
	a.stampChanged(t, r)
	a.put(t, id, r)
	a.audit(t, id, audit.Update, a.load(old), r)
	return nil
}

// Copy makes a new row of what another holds, with some columns of its own:
// null leaves a column to the platform. Keys, states and stamps are new.
func (a *Act) Copy(t *entity.Table, from allod.GUID, own map[string]allod.Value) (allod.GUID, error) {
	was := a.load(a.Tx.Get(t.LogicalName, from))
	p := &wire.Payload{}
	r := row{}
	for _, c := range t.Columns {
		v := a.get(t, was, c.LogicalName)
		if given, ok := own[c.LogicalName]; ok {
			v = given
		}
		if v.IsNull() || setByPlatform(c.LogicalName) || c.LogicalName == t.PrimaryID || c.LogicalName == "overriddencreatedon" {
			continue
		}
		a.set(t, r, c.LogicalName, v)
		p.Values = append(p.Values, wire.Assign{Column: c, Value: v})
	}
	if err := a.Allow("Create", t); err != nil {
		return allod.GUID{}, err
	}
	a.stampNew(t, r)
	if err := a.stateNew(t, r, p); err != nil {
		return allod.GUID{}, err
	}
	a.derive(t, r)
	id := a.NewID()
	a.put(t, id, r)
	a.audit(t, id, audit.Create, nil, r)
	return id, nil
}

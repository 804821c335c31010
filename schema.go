package allod

// Class says how Allod treats a table (design: classes of tables). The text is
// part of --json.
type Class string

// The classes of tables.
const (
	ClassData          Class = "data"          // captured, compared, restored by default
	ClassLink          Class = "link"          // N:N intersects, activity parties, list members: restored with their rows
	ClassSecurity      Class = "security"      // users, teams, roles, business units, sharing: mapped and compared
	ClassConfiguration Class = "configuration" // views, forms, processes: restored through solutions only
	ClassPlatform      Class = "platform"      // jobs, logs, traces, mailboxes: captured, never written
)

// Schema describes the tables of one environment at one moment.
type Schema struct {
	Identity      Identity       `json:"identity"`
	Tables        []Table        `json:"tables"`        // sorted by Name
	Relationships []Relationship `json:"relationships"` // sorted by Name
}

// Table returns the table with the logical name, or nil.
func (s *Schema) Table(name string) *Table {
	lo, hi := 0, len(s.Tables)
	for lo < hi {
		mid := (lo + hi) / 2
		if s.Tables[mid].Name < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(s.Tables) && s.Tables[lo].Name == name {
		return &s.Tables[lo]
	}
	return nil
}

// Identity is what tells one line of an environment from another (design:
// the line of an environment).
type Identity struct {
	Organization   GUID   `json:"organization"`    // the source's own id of the organisation or company
	Name           string `json:"name"`            // friendly name, may change
	Version        string `json:"version"`         // version of the product, e.g. "9.2.24014.198"
	HighestVersion uint64 `json:"highest_version"` // highest row version the source has given out; 0 = not known
	User           GUID   `json:"user"`            // the application user Allod reads as
}

// Table describes one table.
type Table struct {
	Name       string   `json:"name"`        // logical name, e.g. "account"; unique in the schema
	ID         GUID     `json:"id"`          // the source's immutable id (MetadataId)
	Set        string   `json:"set"`         // collection name in URLs, e.g. "accounts"; never guessed
	SchemaName string   `json:"schema_name"` // e.g. "Account"; names privileges such as prvReadAccount
	Label      string   `json:"label,omitempty"`
	Key        string   `json:"key"`            // primary key column, e.g. "accountid"
	Title      string   `json:"title"`          // primary name column, "" if none
	Code       int      `json:"code,omitempty"` // object type code, 0 = none
	Class      Class    `json:"class"`
	Reason     string   `json:"reason"`   // why it has that class
	Tracking   bool     `json:"tracking"` // change tracking is on
	Intersect  bool     `json:"intersect"`
	Activity   bool     `json:"activity"`
	Owned      bool     `json:"owned"` // owned by a user or team
	Columns    []Column `json:"columns"`
	Keys       []AltKey `json:"keys,omitempty"`

	// Unreadable is why rows of the table cannot be read at all ("" = they
	// can): no entity set, abstract, derived from another table, virtual.
	Unreadable string `json:"unreadable,omitempty"`
}

// Column returns the column with the logical name, or nil.
func (t *Table) Column(name string) *Column {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return &t.Columns[i]
		}
	}
	return nil
}

// ColumnIndex returns the position of the column in Columns, or -1.
func (t *Table) ColumnIndex(name string) int {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// Column describes one column. Its Type is the type of its values.
type Column struct {
	Name      string   `json:"name"` // logical name, e.g. "primarycontactid"
	ID        GUID     `json:"id"`
	Type      Type     `json:"type"`
	Native    string   `json:"native"` // the source's own type name, e.g. "Money", "MultiSelectPicklist"
	Label     string   `json:"label,omitempty"`
	MaxLength int      `json:"max_length,omitempty"` // characters; 0 = not limited or not known
	Options   []Option `json:"options,omitempty"`

	// Create and Update say whether the source takes a value for it.
	Create bool `json:"create"`
	Update bool `json:"update"`
	// Unwritable is the reason, from the closed list of NotWritable*, when
	// neither Create nor Update; "" otherwise.
	Unwritable string `json:"unwritable,omitempty"`
	Secured    bool   `json:"secured,omitempty"` // under column security
	// Required says that the source refuses to create a row without a value
	// (RequiredLevel SystemRequired; protocols/dataverse.md §3.3). False also
	// when the source does not say.
	Required bool `json:"required,omitempty"`

	// Bind maps a target table to the navigation property that writes this
	// lookup, e.g. {"account": "customerid_account"}. Only for Type Lookup.
	Bind map[string]string `json:"bind,omitempty"`

	// Derived, when not "", says why the column is read but not stored:
	// it follows from other stored cells.
	Derived string `json:"derived,omitempty"`

	// Unreadable, when not "", says why the source never gives a value for
	// the column. Derived and Unreadable columns stand behind all others in
	// Table.Columns, so that rows need no cells for them.
	Unreadable string `json:"unreadable,omitempty"`
}

// The closed list of reasons for a column that cannot be written.
const (
	NotWritableMetadata = "not valid for create or update"
	NotWritableComputed = "computed"
	NotWritablePlatform = "set by the platform"
)

// Option is one choice of a choice column.
type Option struct {
	Value int64  `json:"value"`
	Label string `json:"label"`
	State int64  `json:"state,omitempty"` // for status reasons: the state they belong to; -1 = not a status reason
}

// AltKey is an alternate key of a table.
type AltKey struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
}

// Relationship is an edge between tables: one-to-many (Intersect == "") or
// many-to-many.
type Relationship struct {
	Name string `json:"name"` // schema name, unique

	// One-to-many: the row of Many refers to the row of One through Column.
	One     string `json:"one,omitempty"`
	Many    string `json:"many,omitempty"`
	Column  string `json:"column,omitempty"`
	Bind    string `json:"bind,omitempty"`     // navigation property on Many
	OneBind string `json:"one_bind,omitempty"` // collection navigation property on One
	Delete  string `json:"delete,omitempty"`   // what deleting One does to Many: Cascade, RemoveLink, Restrict, NoCascade; "" = not known

	// Many-to-many.
	Intersect string `json:"intersect,omitempty"` // table of pairs
	Table1    string `json:"table1,omitempty"`
	Table2    string `json:"table2,omitempty"`
	Column1   string `json:"column1,omitempty"` // column of Intersect that holds the id of Table1
	Column2   string `json:"column2,omitempty"`
	Bind1     string `json:"bind1,omitempty"` // navigation property on Table1 that leads to Table2
	Bind2     string `json:"bind2,omitempty"`
}

// ManyToMany reports whether the relationship has an intersect table.
func (r *Relationship) ManyToMany() bool { return r.Intersect != "" }

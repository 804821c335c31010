package rights

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/vault"
)

// CorrectionTable is the office's table of corrections: each row is the JSON of
// a Correction.
const CorrectionTable = "correction"

// Correction says which values stored versions of a record should have had. It
// is content: it is kept in a row of the office with a key of its own, and
// neither shown nor logged.
type Correction struct {
	ID          allod.GUID        `json:"id"`
	Environment string            `json:"environment"`
	Record      allod.RecordRef   `json:"record"`
	Tag         vault.RecordTag   `json:"tag"`
	Set         map[string]string `json:"set,omitempty"`   // column → value, as text
	Clear       []string          `json:"clear,omitempty"` // columns that should have been empty
	Only        map[string]string `json:"only,omitempty"`  // column → the wrong value: others are left alone
	// IDs are the MetadataIds of the columns: one that was dropped and made
	// again under its name is another.
	IDs    map[string]allod.GUID `json:"ids,omitempty"`
	From   uint64                `json:"from,omitempty"` // captures whose snapshots show the versions; 0 = from the first
	To     uint64                `json:"to,omitempty"`   // 0 = to the last
	Keep   bool                  `json:"keep,omitempty"` // the versions stay as they are; what is restored of them is corrected
	Salt   allod.GUID            `json:"salt"`           // random: values can be guessed from a hash without it
	Ground string                `json:"ground,omitempty"`
	By     allod.Actor           `json:"by"`
	At     time.Time             `json:"at"`             // UTC, whole seconds
	Ended  time.Time             `json:"ended,omitzero"` // of one with Keep: not replayed any more since
}

// Rectify is what an Erasure that corrects instead says of itself: no content.
type Rectify struct {
	Values     allod.GUID `json:"values"`     // the Correction, until it is carried out
	Columns    []string   `json:"columns"`    // by name
	Changed    int64      `json:"changed"`    // versions that the plan found to be corrected
	Commitment string     `json:"commitment"` // Correction.Commit

	// What was done, once it is committed; zero where a process died before it
	// could note it.
	Generation int   `json:"generation,omitempty"` // of the record's keys from then on
	Sealed     int64 `json:"sealed,omitempty"`     // versions stored anew
	Corrected  int64 `json:"corrected,omitempty"`  // of these, those that held another value
}

// Columns returns the columns that are corrected, by name.
func (c *Correction) Columns() []string {
	return slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Keys(c.Set)), c.Clear)))
}

// Commit returns the SHA-256 of what will be corrected and how, salted, as hex:
// approvals are for these values and no others.
func (c *Correction) Commit() (string, error) {
	n := *c // what is empty is not stored, and reads back as nil
	if len(n.Set) == 0 {
		n.Set = nil
	}
	if len(n.Clear) == 0 {
		n.Clear = nil
	}
	if len(n.Only) == 0 {
		n.Only = nil
	}
	b, err := json.Marshal(struct {
		Format   string            `json:"format"`
		Salt     allod.GUID        `json:"salt"`
		Tag      vault.RecordTag   `json:"tag"`
		Set      map[string]string `json:"set"`
		Clear    []string          `json:"clear"`
		Only     map[string]string `json:"only"`
		From, To uint64
	}{"allod correction v1", n.Salt, n.Tag, n.Set, n.Clear, n.Only, n.From, n.To})
	if err != nil {
		return "", allod.Errorf(allod.Internal, "digest a correction: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// Check refuses, as Invalid or NotFound and without naming a value, what cannot
// be said of rows of the table, and notes which columns of it are meant.
func (c *Correction) Check(t *allod.Table) error {
	if len(c.Set)+len(c.Clear) == 0 {
		return allod.WithHint(allod.Errorf(allod.Invalid, "correct a record of %s: no column was named", t.Name), "Name columns with --set, --clear or --values.")
	}
	for _, name := range c.Columns() {
		i := t.ColumnIndex(name)
		if i < 0 {
			return allod.WithHint(allod.Errorf(allod.NotFound, "correct column %q of %s: there is none", name, t.Name), "`allod schema ENV %s` lists them.", t.Name)
		}
		if c.IDs == nil {
			c.IDs = map[string]allod.GUID{}
		}
		c.IDs[name] = t.Columns[i].ID
		text, sets := c.Set[name]
		switch col := &t.Columns[i]; {
		case sets && slices.Contains(c.Clear, name):
			return allod.Errorf(allod.Invalid, "correct column %s: it is both set and cleared", name)
		case name == t.Key || col.Derived != "" || col.Unreadable != "" || col.Type == allod.File || col.Type == allod.ID || col.Type == allod.Binary:
			return allod.Errorf(allod.Invalid, "correct column %s: it is a key, a file, or not stored", name)
		case sets:
			if _, err := parse(col, text); err != nil {
				return err
			}
		}
	}
	for name, text := range c.Only {
		if _, sets := c.Set[name]; !sets && !slices.Contains(c.Clear, name) {
			return allod.Errorf(allod.Invalid, "correct column %s: its wrong value is named, and no right one", name)
		}
		if _, err := parse(&t.Columns[t.ColumnIndex(name)], text); err != nil {
			return err
		}
	}
	return nil
}

// Covers reports whether snapshots from From to To show a version that one
// capture stored and another, 0 = none, replaced.
func (c *Correction) Covers(stored, next uint64) bool {
	return (c.To == 0 || stored <= c.To) && (next == 0 || next > c.From)
}

// Shown reports whether the snapshot of a capture is one that it corrects.
func (c *Correction) Shown(capture uint64) bool { return c.Covers(capture, capture+1) }

// Apply corrects the cells of a version, which stand parallel to the columns of
// t, in place and returns the names of the columns that held another value.
// Columns that the version does not have are left alone; Invalid where one had
// another type then.
func (c *Correction) Apply(t *allod.Table, cells []allod.Value) ([]string, error) {
	var changed []string
	for _, name := range c.Columns() {
		i := t.ColumnIndex(name)
		if i < 0 || i >= len(cells) || cells[i].IsAbsent() {
			continue
		}
		if meant, is := c.IDs[name], t.Columns[i].ID; !meant.IsZero() && !is.IsZero() && meant != is {
			continue
		}
		if wrong, only := c.Only[name]; only {
			v, err := parse(&t.Columns[i], wrong)
			if err != nil {
				return nil, err
			}
			if cells[i] != v {
				continue
			}
		}
		right := allod.NullValue()
		if text, sets := c.Set[name]; sets {
			var err error
			if right, err = parse(&t.Columns[i], text); err != nil {
				return nil, err
			}
		}
		if cells[i] != right {
			cells[i] = right
			changed = append(changed, name)
		}
	}
	return changed, nil
}

// parse reads a value of a column as it is typed. Errors do not name it.
func parse(c *allod.Column, text string) (allod.Value, error) {
	bad := func(want string) (allod.Value, error) {
		return allod.Value{}, allod.Errorf(allod.Invalid, "correct column %s: the value is not %s", c.Name, want)
	}
	switch c.Type {
	case allod.String:
		if c.MaxLength > 0 && len([]rune(text)) > c.MaxLength {
			return bad("as short as the column: at most " + strconv.Itoa(c.MaxLength) + " characters")
		}
		return allod.StringValue(text), nil
	case allod.Integer:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return bad("a whole number")
		}
		return allod.IntegerValue(n), nil
	case allod.Boolean:
		if text != "true" && text != "false" {
			return bad("true or false")
		}
		return allod.BooleanValue(text == "true"), nil
	case allod.Decimal, allod.Double:
		if _, ok := new(big.Float).SetString(text); !ok || strings.ContainsAny(text, "xXpPiI_") {
			return bad("a number")
		}
		return allod.TextValue(c.Type, text), nil
	case allod.DateTime:
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			return bad("a time such as 2026-01-31T12:00:00Z")
		}
		return allod.TextValue(c.Type, text), nil
	case allod.Date:
		if _, err := time.Parse(time.DateOnly, text); err != nil {
			return bad("a date such as 2026-01-31")
		}
		return allod.TextValue(c.Type, text), nil
	case allod.Choices, allod.JSON:
		return allod.TextValue(c.Type, text), nil
	case allod.Lookup:
		table, id, ok := strings.Cut(text, ":")
		key, err := allod.ParseGUID(id)
		if !ok || err != nil {
			return bad("a reference such as contact:8f1c9a52-0d3e-4b6f-9a67-2c1d5e8b7a90")
		}
		return allod.LookupValue(table, key), nil
	case allod.Absent, allod.Null, allod.ID, allod.File, allod.Binary:
	}
	return bad("of a type that can be typed")
}

// InOrder puts corrections in the order in which they are replayed: the oldest
// first, so that a later one wins.
func InOrder(all []Correction) {
	slices.SortFunc(all, func(a, b Correction) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.ID.String(), b.ID.String()))
	})
}

// Spent returns the corrections whose values are not needed any more once e is
// carried out: those of e itself, those of requests that were taken back, and
// those that name a record which e erases. Where only its past is forgotten they
// stay: the version that is kept may be wrong.
func Spent(e *Erasure, all []Erasure, corrections []Correction) []Correction {
	var out []Correction
	for _, c := range corrections {
		i := slices.IndexFunc(all, func(o Erasure) bool { return o.Rectify != nil && o.Rectify.Values == c.ID })
		taken := !c.Keep && (i < 0 || all[i].ID == e.ID || !all[i].Cancelled.IsZero() || !all[i].Committed.IsZero())
		if taken || e.Rectify == nil && !e.Past && slices.Contains(e.Tags, c.Tag) {
			out = append(out, c)
		}
	}
	return out
}

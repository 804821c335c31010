package erasure

import (
	"context"
	"maps"
	"slices"
	"strings"

	"allod"
	"allod/internal/govern/rights"
	"allod/internal/vault"
)

// minText is the shortest text that is looked for, in bytes: shorter ones are
// everywhere.
const minText = 5

// names are what names the people and things that are to be erased.
type names struct {
	refs    map[allod.RecordRef]bool
	ids     map[allod.GUID]bool
	texts   map[string]bool // lower case
	phones  map[string]bool // digits alone
	skipped []string        // columns whose values are too short
	files   int64           // of other records, not looked into
}

func newNames() *names {
	return &names{refs: map[allod.RecordRef]bool{}, ids: map[allod.GUID]bool{}, texts: map[string]bool{}, phones: map[string]bool{}}
}

// record takes a record that is erased: its own rows are no hits.
func (n *names) record(ref allod.RecordRef) {
	n.refs[ref] = true
	if !ref.IsPair() {
		n.ids[ref.Key] = true
	}
}

// learn takes what a version of a record that was named says that names
// somebody: its primary name, mail addresses and phone numbers.
func (n *names) learn(t *allod.Table, row *allod.Row) {
	for i := range t.Columns {
		c := &t.Columns[i]
		v := row.Cell(i)
		if v.Type() != allod.String {
			continue
		}
		name, text := strings.ToLower(c.Name), strings.TrimSpace(v.Text())
		digits := digitsOf(text)
		switch {
		case text == "":
		case c.Name == t.Title, strings.Contains(name, "email") && strings.Contains(text, "@"):
			if len(text) < minText {
				n.skip(t.Name + "." + c.Name)
				continue
			}
			n.texts[strings.ToLower(text)] = true
		case isPhone(name) && len(digits) >= 7:
			n.phones[digits] = true
		}
	}
}

func (n *names) skip(column string) {
	if !slices.Contains(n.skipped, column) {
		n.skipped = append(n.skipped, column)
	}
}

func isPhone(column string) bool {
	return strings.Contains(column, "phone") || strings.Contains(column, "fax") || strings.Contains(column, "pager")
}

// digitsOf returns the digits of a phone number, as far as it is one: letters
// end it (an extension).
func digitsOf(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			b.WriteRune(r)
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z':
			return b.String()
		}
	}
	return b.String()
}

// hit says what a value of another record names: "reference", "text", or "".
func (n *names) hit(v allod.Value) string {
	switch t := v.Type(); {
	case (t == allod.Lookup || t == allod.ID) && n.ids[v.GUID()]:
		return "reference"
	case (t == allod.String || t == allod.JSON) && n.inText(strings.ToLower(v.Text())):
		return "text"
	}
	return ""
}

// inText reports whether a text, in lower case, names one of them.
func (n *names) inText(text string) bool {
	for t := range n.texts {
		if strings.Contains(text, t) {
			return true
		}
	}
	if len(text) >= 36 {
		for id := range n.ids {
			if strings.Contains(text, id.String()) {
				return true
			}
		}
	}
	if len(n.phones) == 0 || !strings.ContainsAny(text, "0123456789") {
		return false
	}
	digits := onlyDigits(text)
	for p := range n.phones {
		if strings.Contains(digits, p) {
			return true
		}
	}
	return false
}

func onlyDigits(s string) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if c := s[i]; c >= '0' && c <= '9' {
			b = append(b, c)
		}
	}
	return string(b)
}

// The grounds on which something that names the person is kept. They are shown
// before anybody asks, and stand in the certificate.
const (
	groundReference = "a record of its own points there; it shows as (erased)"
	groundText      = "text of a record of its own; name it with --also to erase it"
)

// owned reports whether rows of the table exist only because of a row that they
// name (design/capture.md "Never stored"): they are erased with it.
func owned(table string) bool {
	switch table {
	case "customeraddress", "leadaddress", "fileattachment", "activityparty", "audit", "principalobjectaccess", "activitymimeattachment", "annotation":
		return true
	}
	return strings.HasPrefix(table, "msdynmkt_contactpointconsent")
}

// Progress says how far a plan has looked through what is stored.
type Progress struct {
	Versions, Expected int64  // stored versions looked at, and how many there are by the log's counts
	Table              string // that is looked through
	Tables, TablesDone int
}

const tellEvery = 256 // versions of a table between two calls of Progress

// meter tells how far a plan is.
type meter struct {
	Progress
	tell func(Progress)
}

func (m *maker) meter(ctx context.Context, tables int) (*meter, error) {
	p := &meter{Progress: Progress{Tables: tables}, tell: m.request.Progress}
	if p.tell == nil {
		p.tell = func(Progress) {}
		return p, nil
	}
	all, err := m.vault.Snapshots(ctx, m.request.Environment)
	for _, s := range all {
		p.Expected += s.Created + s.Updated + s.Deleted
	}
	return p, err
}

// version counts one version of the table.
func (p *meter) version(table string) {
	p.Table = table
	if p.Versions++; p.Versions%tellEvery == 0 {
		p.tell(p.Progress)
	}
}

// table counts a table that was looked through.
func (p *meter) table() {
	p.TablesDone++
	p.tell(p.Progress)
}

// spot is a column of a table and what it held.
type spot struct{ table, column, what string }

// kept looks through every stored version of every table for what names the
// records, outside of them. Rows that exist only because of one of them come
// back as mine.
func (m *maker) kept(ctx context.Context) (kept []rights.Kept, mine map[allod.RecordRef]string, err error) {
	found := map[spot]*rights.Kept{}
	mine = map[allod.RecordRef]string{}
	schema := m.snap.Schema()
	progress, err := m.meter(ctx, len(schema.Tables))
	if err != nil {
		return nil, nil, err
	}
	for i := range schema.Tables {
		t := &schema.Tables[i]
		last, seen := allod.RecordRef{}, map[spot]bool{} // of one record
		for v, err := range m.snap.Versions(ctx, t.Name) {
			if err != nil {
				return nil, nil, err
			}
			progress.version(t.Name)
			if v.Row == nil || m.who.refs[v.Ref] {
				continue
			}
			if owned(t.Name) {
				if column := m.names(v); column != "" && mine[v.Ref] == "" {
					mine[v.Ref] = "by " + column
				}
				continue
			}
			if v.Ref != last {
				last = v.Ref
				clear(seen)
			}
			m.look(v, found, seen)
		}
		progress.table()
	}
	out := make([]rights.Kept, 0, len(found))
	for _, p := range slices.SortedFunc(maps.Keys(found), func(a, b spot) int {
		return strings.Compare(a.table+"."+a.column+"."+a.what, b.table+"."+b.column+"."+b.what)
	}) {
		out = append(out, *found[p])
	}
	return out, mine, nil
}

// names returns the first column of a version that names one of the records.
func (m *maker) names(v vault.Version) string {
	for i := range v.Table.Columns {
		if m.who.hit(v.Row.Cell(i)) != "" {
			return v.Table.Columns[i].Name
		}
	}
	return ""
}

// look counts the hits of one version.
func (m *maker) look(v vault.Version, found map[spot]*rights.Kept, seen map[spot]bool) {
	for i := range v.Table.Columns {
		c := &v.Table.Columns[i]
		cell := v.Row.Cell(i)
		if cell.Type() == allod.File && !cell.IsNull() {
			m.who.files++
		}
		what := m.who.hit(cell)
		if what == "" {
			continue
		}
		p := spot{v.Table.Name, c.Name, what}
		k := found[p]
		if k == nil {
			k = &rights.Kept{Table: p.table, Column: p.column, What: what, Ground: groundReference}
			if what == "text" {
				k.Ground = groundText
			}
			found[p] = k
		}
		k.Versions++
		if !seen[p] {
			k.Records++
			seen[p] = true
		}
	}
}

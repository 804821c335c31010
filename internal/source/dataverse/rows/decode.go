package rows

import (
	"strconv"
	"strings"
	"time"

	"allod"
	"allod/internal/odata"
	"allod/internal/source/odataclient/scan"
)

// Page is what one answer holds.
type Page struct {
	Rows      []allod.Row
	Deleted   []allod.GUID
	NextLink  string // "" on the last page
	DeltaLink string
	Count     int64 // @odata.count, -1 if not said
}

// MaxRows is how many rows one page may hold, a guard against absurd answers;
// the product's own limit is 5,000 (protocols/dataverse.md §4.1).
const MaxRows = 100_000

// slab is how many rows share one allocation of cells.
const slab = 64

// Decode reads a page. Texts of cells are parts of body, so a row that is kept
// keeps its page in memory; capture seals rows at once. Errors wrap
// scan.ErrTruncated or scan.ErrSyntax and hold no content.
func (p *Plan) Decode(body string) (Page, error) {
	d := decoder{plan: p, scan: scan.New(body), now: make([]allod.Value, p.slots)}
	d.page.Count = -1
	sawValue := false
	err := d.scan.Object(func(key string) error {
		var err error
		switch key {
		case "value":
			sawValue = true
			err = d.scan.Array(d.row)
		case odata.NextLink:
			d.page.NextLink, err = d.scan.Text()
		case odata.DeltaLink:
			d.page.DeltaLink, err = d.scan.Text()
		case odata.Count:
			var n string
			if n, err = d.scan.Number(); err == nil {
				if d.page.Count, err = strconv.ParseInt(n, 10, 64); err != nil {
					err = allod.Errorf(allod.Unavailable, "read page: the count is not a whole number")
				}
			}
		default:
			err = d.scan.Skip()
		}
		return err
	})
	if err == nil {
		err = d.scan.End()
	}
	if err == nil && !sawValue {
		err = allod.Errorf(allod.Unavailable, "read page: the answer has no list of rows")
	}
	if err != nil {
		return Page{}, err
	}
	return d.page, nil
}

// DecodeRow reads an answer that is a single row.
func (p *Plan) DecodeRow(body string) (allod.Row, error) {
	d := decoder{plan: p, scan: scan.New(body), now: make([]allod.Value, p.slots), single: true}
	err := d.row()
	if err == nil {
		err = d.scan.End()
	}
	if err == nil && len(d.page.Rows) != 1 {
		err = allod.Errorf(allod.Unavailable, "read row of %s: the answer is not a row", p.table)
	}
	if err != nil {
		return allod.Row{}, err
	}
	return d.page.Rows[0], nil
}

// decoder reads the rows of one page. seen remembers the member names of the
// row before: rows of a page look alike, so most names are recognised by one
// comparison.
type decoder struct {
	plan   *Plan
	scan   scan.Scanner
	page   Page
	now    []allod.Value // slots of the row being read
	cells  []allod.Value // rest of the slab
	seen   []known
	tag    string // the row's etag where it is no number
	single bool
}

type known struct {
	token string // `"name":`
	field field
}

func (d *decoder) row() error {
	if len(d.page.Rows)+len(d.page.Deleted) >= MaxRows {
		return allod.Errorf(allod.Unavailable, "read page of %s: more than %d rows", d.plan.table, MaxRows)
	}
	if err := d.scan.Expect('{'); err != nil {
		return err
	}
	clear(d.now)
	var version uint64
	d.tag = ""
	var deleted bool
	var id string
	first := true
	for at := 0; ; at++ {
		more, err := d.scan.More(&first, '}')
		if err != nil {
			return err
		}
		if !more {
			break
		}
		f, err := d.name(at)
		if err != nil {
			return err
		}
		switch f.kind {
		case kindValue:
			err = d.value(f)
		case kindTarget:
			err = d.target(f.slot)
		case kindEtag:
			var tag string
			if tag, err = d.scan.Text(); err == nil {
				// An etag that is no number leaves the version unknown.
				if version, err = odata.ParseEtag(tag); err != nil {
					d.tag, err = tag, nil
				}
			}
		case kindContext:
			var c string
			c, err = d.scan.Text()
			deleted = odata.IsDeletedContext(c)
		case kindID:
			id, err = d.maybeText()
		case kindSkip:
			err = d.scan.Skip()
		}
		if err != nil {
			return err
		}
	}
	if deleted && !d.single {
		return d.deletion(id)
	}
	return d.finish(version)
}

func (d *decoder) deletion(id string) error {
	// The id is a bare GUID; some descriptions show an entity URL
	// (protocols/dataverse.md §5.2).
	if open := strings.LastIndexByte(id, '('); open >= 0 && strings.HasSuffix(id, ")") {
		id = id[open+1 : len(id)-1]
	}
	g, err := allod.ParseGUID(id)
	if err != nil {
		return allod.Errorf(allod.Unavailable, "read page of %s: a deletion without a GUID", d.plan.table)
	}
	d.page.Deleted = append(d.page.Deleted, g)
	return nil
}

// name reads the at-th member name of a row and says what it is.
func (d *decoder) name(at int) (field, error) {
	if d.scan.Peek() == '"' && at < len(d.seen) && d.scan.Literal(d.seen[at].token) {
		return d.seen[at].field, nil
	}
	key, err := d.scan.Key()
	if err != nil {
		return field{}, err
	}
	f, ok := d.plan.fields[key]
	if !ok {
		f = field{kind: kindSkip}
	}
	k := known{token: `"` + key + `":`, field: f}
	if strings.ContainsAny(key, "\\\"") {
		k.token = "\x00" // cannot occur: names with escapes are looked up each time
	}
	if at < len(d.seen) {
		d.seen[at] = k
	} else if at < 4096 {
		d.seen = append(d.seen, k)
	}
	return f, nil
}

// value reads the value of a wanted member. What does not have the column's
// type is kept verbatim as JSON.
func (d *decoder) value(f field) error {
	c := d.scan.Peek()
	switch c {
	case '"':
		s, err := d.scan.Text()
		if err != nil {
			return err
		}
		d.now[f.slot] = d.text(f, s)
		return nil
	case 'n':
		if d.scan.Literal("null") {
			d.now[f.slot] = allod.NullValue()
			return nil
		}
	case 't':
		if f.typ == allod.Boolean && d.scan.Literal("true") {
			d.now[f.slot] = allod.BooleanValue(true)
			return nil
		}
	case 'f':
		if f.typ == allod.Boolean && d.scan.Literal("false") {
			d.now[f.slot] = allod.BooleanValue(false)
			return nil
		}
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		s, err := d.scan.Number()
		if err != nil {
			return err
		}
		d.now[f.slot] = number(f.typ, s)
		return nil
	}
	raw, err := d.scan.Raw()
	if err != nil {
		return err
	}
	d.now[f.slot] = allod.TextValue(allod.JSON, raw)
	return nil
}

func number(typ allod.Type, s string) allod.Value {
	switch typ {
	case allod.Integer:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && s != "-0" {
			return allod.IntegerValue(n)
		}
	case allod.Decimal, allod.Double:
		return allod.TextValue(typ, s)
	default:
	}
	return allod.TextValue(allod.JSON, s)
}

func (d *decoder) text(f field, s string) allod.Value {
	switch f.typ {
	case allod.String, allod.DateTime, allod.Date, allod.Choices, allod.Binary:
		return allod.TextValue(f.typ, s)
	case allod.Lookup:
		if g, err := allod.ParseGUID(s); err == nil {
			table, _ := d.now[f.slot].Target() // said by an annotation before the value
			return allod.LookupValue(table, g)
		}
	case allod.ID:
		if g, err := allod.ParseGUID(s); err == nil {
			return allod.IDValue(g)
		}
	default:
	}
	return allod.TextValue(allod.JSON, string(scan.AppendString(nil, s)))
}

// target reads the annotation that names the table of a lookup, which may
// stand before or after the value (protocols/dataverse.md §2.3).
func (d *decoder) target(slot int) error {
	s, err := d.maybeText()
	if err != nil || s == "" {
		return err
	}
	if v := d.now[slot]; v.IsAbsent() || v.Type() == allod.Lookup {
		d.now[slot] = allod.LookupValue(s, v.GUID())
	}
	return nil
}

// maybeText reads a string, or skips another value and returns "".
func (d *decoder) maybeText() (string, error) {
	if d.scan.Peek() == '"' {
		return d.scan.Text()
	}
	return "", d.scan.Skip()
}

// finish makes the row out of the slots.
func (d *decoder) finish(version uint64) error {
	p := d.plan
	r := allod.Row{Table: p.table, Version: version}
	if p.key >= 0 {
		r.Key = d.now[p.key].GUID()
	}
	if p.pair[0] >= 0 && p.pair[1] >= 0 {
		r.Pair = [2]allod.GUID{d.now[p.pair[0]].GUID(), d.now[p.pair[1]].GUID()}
	}
	if r.Key.IsZero() && r.Pair == [2]allod.GUID{} {
		return allod.Errorf(allod.Unavailable, "read page of %s: a row without a key", p.table)
	}
	if p.modified >= 0 {
		if t, err := time.Parse(time.RFC3339, d.now[p.modified].Text()); err == nil {
			r.Modified = t.UTC()
		}
	}
	for i, only := range p.targets {
		v := d.now[i]
		if v.Type() != allod.Lookup {
			continue
		}
		if table, id := v.Target(); id.IsZero() {
			d.now[i] = allod.Value{} // an annotation without a value
		} else if table == "" && only != "" {
			d.now[i] = allod.LookupValue(only, id)
		}
	}
	for i := range p.files {
		d.file(&p.files[i], version)
	}
	r.Cells = d.take(p.cells)
	copy(r.Cells, d.now)
	d.page.Rows = append(d.page.Rows, r)
	return nil
}

// take cuts n cells off the slab.
func (d *decoder) take(n int) []allod.Value {
	if n == 0 {
		return nil
	}
	if len(d.cells) < n {
		rows := slab
		if d.single {
			rows = 1
		}
		d.cells = make([]allod.Value, n*rows)
	}
	cells := d.cells[:n:n]
	d.cells = d.cells[n:]
	return cells
}

// file makes the FileRef of a file column out of the members around it.
func (d *decoder) file(f *filePlan, version uint64) {
	slot := func(i int) allod.Value {
		if i < 0 {
			return allod.Value{}
		}
		return d.now[i]
	}
	ref := allod.FileRef{Name: slot(f.name).Text(), MIME: slot(f.mime).Text()}
	id := slot(f.id)
	if size := slot(f.size); size.Type() == allod.Integer && size.Int() > 0 {
		ref.Size = size.Int()
	}
	switch {
	case f.body:
		if ref.Size == 0 && ref.Name == "" && !slot(f.is).Bool() {
			d.now[f.cell] = allod.NullValue()
			return
		}
		if ref.SourceID = d.tag; version != 0 { // neither: a body that is read every time
			ref.SourceID = strconv.FormatUint(version, 10)
		}
	case id.Type() == allod.ID:
		ref.SourceID = id.GUID().String()
		if stamp := slot(f.stamp); stamp.Type() == allod.Integer {
			ref.SourceID += "/" + strconv.FormatInt(stamp.Int(), 10)
		}
	case id.IsNull():
		d.now[f.cell] = allod.NullValue()
		return
	default:
		d.now[f.cell] = allod.Value{}
		return
	}
	d.now[f.cell] = allod.FileValue(ref)
}

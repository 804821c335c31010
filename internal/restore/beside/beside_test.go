package beside

import (
	"bytes"
	"context"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"allod"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
	"allod/internal/source"
)

// view is rows in memory.
type view struct {
	name   string
	schema *allod.Schema
	rows   map[string][]allod.Row
}

func (v *view) Name() string          { return v.name }
func (v *view) Schema() *allod.Schema { return v.schema }
func (v *view) Rows(_ context.Context, table string) iter.Seq2[allod.Row, error] {
	return func(yield func(allod.Row, error) bool) {
		for _, r := range v.rows[table] {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (v *view) Get(_ context.Context, table string, refs []allod.RecordRef) ([]allod.Row, error) {
	var out []allod.Row
	for _, r := range v.rows[table] {
		if slices.Contains(refs, r.Ref()) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (v *view) OpenFile(context.Context, *allod.Row, string) (io.ReadCloser, error) {
	return nil, allod.Errorf(allod.NotFound, "no file")
}

func id(n byte) allod.GUID { return allod.GUID{15: n} }

// put stores a row; values follow the columns of the table, the key first.
func (v *view) put(table string, n byte, cells ...allod.Value) {
	v.rows[table] = append(v.rows[table], allod.Row{Table: table, Key: id(n), Cells: append([]allod.Value{allod.IDValue(id(n))}, cells...)})
}

func table(name string, columns ...string) allod.Table {
	t := allod.Table{Name: name, Set: name + "s", Key: name + "id", Columns: []allod.Column{{Name: name + "id", Type: allod.ID}}}
	for _, c := range columns {
		t.Columns = append(t.Columns, allod.Column{Name: c, Type: allod.String})
	}
	return t
}

func views(tables ...allod.Table) (snap, live *view) {
	slices.SortFunc(tables, func(a, b allod.Table) int { return strings.Compare(a.Name, b.Name) })
	schema := &allod.Schema{Tables: tables}
	return &view{"contoso@42", schema, map[string][]allod.Row{}}, &view{"contoso@live", schema, map[string][]allod.Row{}}
}

// making is a plan that makes rows of a table.
func making(t *testing.T, table string, columns []string, keys ...byte) (*plan.Plan, *plan.Writer) {
	t.Helper()
	p := &plan.Plan{From: "contoso@42", To: "contoso@live"}
	w := plan.NewWriter(p)
	for _, k := range keys {
		w.Add(table, columns, "missing live", plan.Packed{Key: id(k), Op: plan.OpCreate, Pass: plan.PassRows})
	}
	return p, w
}

// finished gives the plan as people see it, and checks that it is 80 columns wide.
func finished(t *testing.T, p *plan.Plan, w *plan.Writer) string {
	t.Helper()
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.WriteText(&b, 20); err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(b.String()) {
		if n := len([]rune(strings.TrimRight(l, "\n"))); n > 80 {
			t.Errorf("line of %d columns: %s", n, l)
		}
	}
	return b.String()
}

// platform is a source that has nothing but what is beside rows.
type platform struct {
	numbers []source.Autonumber
	refuses error
	set     map[string]int64

	shared   []source.Grant
	triggers []source.Trigger
	unlisted []string
	holds    bool
}

func (s *platform) Share(_ context.Context, _ source.WriteOptions, _ *allod.Table, g source.Grant) error {
	if g.ID == id(3) {
		return allod.Errorf(allod.NotFound, "no such row")
	}
	s.shared = append(s.shared, g)
	return s.refuses
}

func (s *platform) Triggers(context.Context, *allod.Schema) ([]source.Trigger, []string, error) {
	return s.triggers, s.unlisted, s.refuses
}

func (s *platform) Holds(context.Context, ...string) (bool, error) { return s.holds, nil }

func (s *platform) Describe(context.Context) (*allod.Schema, error) { return nil, nil }
func (s *platform) Read(context.Context, source.ReadRequest) iter.Seq2[source.Page, error] {
	return nil
}
func (s *platform) Capabilities() source.Capabilities { return source.Capabilities{} }

func (s *platform) Autonumbers(context.Context, []string) ([]source.Autonumber, error) {
	return s.numbers, s.refuses
}

func (s *platform) NextNumber(_ context.Context, table, column string) (int64, error) {
	for _, n := range s.numbers {
		if n.Table == table && n.Column == column {
			return n.Next, nil
		}
	}
	return 0, allod.Errorf(allod.NotFound, "no number")
}

func (s *platform) SetNumber(_ context.Context, o source.WriteOptions, table, column string, next int64) error {
	if s.refuses != nil {
		return s.refuses
	}
	s.set[table+"."+column+" "+o.Tag] = next
	return nil
}

func TestNumbers(t *testing.T) {
	snap, live := views(table("ticket", "number", "other"))
	for n, number := range []string{"T-01050-AB", "T-01007-XY", "by hand 9999", ""} {
		snap.put("ticket", byte(n), allod.StringValue(number), allod.StringValue("7"))
	}
	src := &platform{set: map[string]int64{}, numbers: []source.Autonumber{
		{Table: "ticket", Column: "number", Format: "T-{SEQNUM:5}-{RANDSTRING:2}", Next: 1000},
		{Table: "ticket", Column: "other", Format: "{SEQNUM:1}", Next: 8},
		{Table: "ticket", Column: "unwritten", Format: "{SEQNUM:1}", Next: 0},
	}}
	look := func(side Side) (*plan.Plan, *plan.Writer) {
		t.Helper()
		side.Source = src
		p, w := making(t, "ticket", []string{"number", "other"}, 0, 1, 2, 3)
		if err := side.Look(t.Context(), p, snap, live); err != nil {
			t.Fatal(err)
		}
		return p, w
	}
	p, w := look(Side{})
	want := []plan.Seed{{Table: "ticket", Column: "number", Next: 1000, Highest: 1050}}
	if p.After == nil || !slices.Equal(p.After.Seeds, want) {
		t.Fatalf("got %+v, want %+v", p.After, want)
	}
	if text := finished(t, p, w); !strings.Contains(text, `
Numbers that would be given out again
  ticket.number: 1000 comes next, and rows up to 1050 come back; --fix-seeds has
    it go on from 1051
`) {
		t.Errorf("got %s", text)
	}
	plain, err := p.Digest(nil)
	if err != nil {
		t.Fatal(err)
	}
	rep := &apply.Report{ID: "r"}
	if err := (Side{Source: src}).After(t.Context(), p, snap, live, rep); err != nil || len(src.set) > 0 {
		t.Errorf("not asked for and set: %v, %v", src.set, err)
	}

	p, w = look(Side{Request: Request{FixSeeds: true}})
	if text := finished(t, p, w); !strings.Contains(text, "after the rows\n    it goes on from 1051\n") {
		t.Errorf("got %s", text)
	}
	if fixing, err := p.Digest(nil); err != nil || fixing == plain {
		t.Error("people would approve a plan that sets numbers by approving one that does not")
	}
	if err := (Side{Source: src}).After(t.Context(), p, snap, live, rep); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]int64{"ticket.number allod:r": 1051}, src.set); d != "" {
		t.Errorf("set (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]int64{"ticket.number": 1051}, rep.Numbers); d != "" {
		t.Errorf("report (-want +got):\n%s", d)
	}
	// Somebody has moved it since: it never goes back.
	src.numbers[0].Next, src.set = 2000, map[string]int64{}
	if err := (Side{Source: src}).After(t.Context(), p, snap, live, rep); err != nil || len(src.set) > 0 {
		t.Errorf("moved back: %v, %v", src.set, err)
	}
	src.numbers[0].Next, src.refuses = 1000, allod.Errorf(allod.Denied, "no privilege")
	if err := (Side{Source: src}).After(t.Context(), p, snap, live, rep); err != nil || rep.Failed != 1 || rep.Err() == nil {
		t.Errorf("refused: %v, %+v", err, rep)
	}
}

// What may not be read is said, and the plan is made all the same.
func TestRefusedLooks(t *testing.T) {
	snap, live := views(table("ticket", "number"))
	snap.put("ticket", 1, allod.StringValue("5"))
	src := &platform{refuses: allod.Errorf(allod.Denied, "no privilege")}
	p, _ := making(t, "ticket", []string{"number"}, 1)
	if err := (Side{Source: src}).Look(t.Context(), p, snap, live); err != nil {
		t.Fatal(err)
	}
	if want := []string{
		"numbers that the platform counts: contoso@live does not let the restorer look (denied)",
		"flows, workflows and plug-ins that this sets off: contoso@live does not let the restorer look (denied)",
	}; !slices.Equal(p.Warnings, want) {
		t.Errorf("got %q, want %q", p.Warnings, want)
	}
	src.refuses = allod.Errorf(allod.Unavailable, "the line is down")
	if err := (Side{Source: src}).Look(t.Context(), p, snap, live); allod.KindOf(err) != allod.Unavailable {
		t.Errorf("a source that is not there: %v", err)
	}
}

func TestReader(t *testing.T) {
	for _, tc := range []struct {
		format, value string
		want          int64
	}{
		{"{SEQNUM:4}", "1042", 1042},
		{"{SEQNUM:4}", "123456", 123456},
		{"{SEQNUM:4}", "042", -1},
		{"CAS-{SEQNUM:5}-{RANDSTRING:6}", "CAS-01234-A1B2C3", 1234},
		{"CAS-{SEQNUM:5}-{RANDSTRING:6}", "CAS-01234-A1B2", -1},
		{"CAS-{SEQNUM:5}-{RANDSTRING:6}-{DATETIMEUTC:yyyyMMddhhmmss}", "CAS-01234-A1B2C3-20261122063000", 1234},
		{"{DATETIMEUTC:yyyy}/{SEQNUM}", "2026/7", 7},
		{"a.b{SEQNUM:1}", "axb7", -1},
		{"{SEQNUM:1}", "99999999999999999999", -1},
		{"{SEQNUM:1}", "", -1},
	} {
		if got := reader(tc.format)(tc.value); got != tc.want {
			t.Errorf("%q in %q: got %d, want %d", tc.value, tc.format, got, tc.want)
		}
	}
	for _, format := range []string{"", "text", "{RANDSTRING:4}", "{SEQNUM:400}", "{SEQNUM"} {
		if reader(format) != nil {
			t.Errorf("%q has a number", format)
		}
	}
}

// sharedTickets are views with shared tickets: with a user, a user who left, an access
// team that went with its row, and through the row above.
func sharedTickets(t *testing.T) (snap, live *view) {
	t.Helper()
	link := func(table string, n byte) allod.Value { return allod.IDValue(id(n)) }
	access := table(sharing, "objectid", "objecttypecode", "principalid", "principaltypecode", "accessrightsmask", "inheritedaccessrightsmask")
	members := table(membership, "systemuserid", "teamid")
	members.Intersect = true
	snap, live = views(table("ticket", "number"), access, table("systemuser", "fullname"), table("team", "teamtype"), members, table(followers, "regardingobjectid"))
	share := func(n, row byte, kind string, who byte, mask, inherited int64) {
		snap.put(sharing, n, link("ticket", row), allod.StringValue("ticket"), link(kind, who), allod.StringValue(kind), allod.IntegerValue(mask), allod.IntegerValue(inherited))
	}
	for n := range byte(4) {
		snap.put("ticket", n, allod.StringValue("n"))
	}
	share(1, 1, "systemuser", 51, 3, 0)
	share(2, 1, "systemuser", 52, 1, 0)
	share(3, 2, "team", 61, 1|2|134217728, 0)
	share(4, 2, "systemuser", 51, 0, 1)
	share(5, 9, "systemuser", 51, 1, 0)
	share(6, 3, "systemuser", 51, 1, 0)
	snap.put("team", 61, allod.IntegerValue(accessTeam))
	for _, u := range []byte{53, 52} {
		snap.rows[membership] = append(snap.rows[membership], allod.Row{Table: membership, Pair: [2]allod.GUID{id(u), id(61)}})
	}
	snap.put(followers, 71, allod.LookupValue("ticket", id(1)))
	live.put("systemuser", 51, allod.StringValue("U"))
	live.put("systemuser", 53, allod.StringValue("V"))
	return snap, live
}

func TestShares(t *testing.T) {
	snap, live := sharedTickets(t)
	src := &platform{}
	look := func(r Request) (*plan.Plan, *plan.Writer) {
		t.Helper()
		p, w := making(t, "ticket", []string{"number"}, 1, 2, 3)
		if err := (Side{Request: r, Source: src}).Look(t.Context(), p, snap, live); err != nil {
			t.Fatal(err)
		}
		return p, w
	}
	p, w := look(Request{})
	if d := cmp.Diff(&plan.Shares{Rows: 3, Shares: 4, Gone: 1}, p.After.Shares); d != "" {
		t.Errorf("counted (-want +got):\n%s", d)
	}
	if want := "1 follower of rows that are made: not in this plan; --related children:1 brings those that were captured"; !slices.Contains(p.Warnings, want) {
		t.Errorf("got %q, want %q among them", p.Warnings, want)
	}
	if text := finished(t, p, w); !strings.Contains(text, `
Shares
  4 shares of 3 rows made again
  1 share with somebody who is gone
  they are lost; --with-sharing grants them again
`) {
		t.Errorf("got %s", text)
	}
	rep := &apply.Report{}
	side := Side{Source: src, Schema: live.schema}
	if err := side.After(t.Context(), p, snap, live, rep); err != nil || rep.Unshared != 4 || len(src.shared) > 0 {
		t.Errorf("not asked for: %v, %+v, %v", err, rep, src.shared)
	}

	p, w = look(Request{Sharing: true})
	ticket := func(n byte, kind string, who byte, rights int64) source.Grant {
		return source.Grant{Table: "ticket", ID: id(n), Principal: allod.RecordRef{Table: kind, Key: id(who)}, Rights: rights}
	}
	want := []source.Grant{ticket(1, "systemuser", 51, 3), ticket(2, "systemuser", 53, 3), ticket(3, "systemuser", 51, 1)}
	if d := cmp.Diff(want, p.After.Shares.Grants); d != "" {
		t.Errorf("grants (-want +got):\n%s", d)
	}
	if text := finished(t, p, w); !strings.Contains(text, `
  after the rows, 3 grants again
  of these, 1 grant to members of access teams, which went with their rows
`) {
		t.Errorf("got %s", text)
	}
	if err := side.After(t.Context(), p, snap, live, rep); err != nil {
		t.Fatal(err)
	}
	// Row 3 was not made after all.
	if d := cmp.Diff(want[:2], src.shared); d != "" || rep.Shared != 2 || rep.Unshared != 2 || rep.Failed != 0 {
		t.Errorf("%+v; shared (-want +got):\n%s", rep, d)
	}
	if !strings.HasSuffix(rep.Counted(), "; 2 shares granted again, 2 lost") {
		t.Errorf("got %s", rep.Counted())
	}
	src.refuses = allod.Errorf(allod.Denied, "no privilege")
	rep = &apply.Report{}
	if err := side.After(t.Context(), p, snap, live, rep); err != nil || rep.Failed != 2 || rep.Err() == nil {
		t.Errorf("refused: %v, %+v", err, rep)
	}
}

func TestTriggers(t *testing.T) {
	snap, live := views(table("ticket", "number"), table("account", "name"))
	src := &platform{holds: true, unlisted: []string{"sdkmessageprocessingstep"}, triggers: []source.Trigger{
		{Kind: source.TriggerFlow, Name: "Tell the owner of each new ticket and whoever else wants to know about it", Table: "ticket", Messages: []string{"Create"}},
		{Kind: source.TriggerFlow, Name: "Mourn it", Table: "ticket", Messages: []string{"Delete"}},
		{Kind: source.TriggerFlow, Name: "Other", Table: "account"},
		{Kind: source.TriggerWorkflow, Name: "By hand", Table: "ticket", Messages: []string{"on demand"}},
		{Kind: source.TriggerStep, Name: "Audit everything"},
		{Kind: source.TriggerWebhook, Name: "On assign", Messages: []string{"Assign"}},
	}}
	text := func(bypass ...string) string {
		t.Helper()
		p, w := making(t, "ticket", []string{"number"}, 1)
		if err := (Side{Source: src, Bypass: bypass}).Look(t.Context(), p, snap, live); err != nil {
			t.Fatal(err)
		}
		if want := "flows, workflows and plug-ins that this sets off: the restorer may not read sdkmessageprocessingstep"; !slices.Contains(p.Warnings, want) {
			t.Errorf("got %q, want %q", p.Warnings, want)
		}
		return finished(t, p, w)
	}
	const names = `
Writing this sets off in contoso
  cloud flow “Tell the owner of each new ticket and whoever else wants to know
    about it” (ticket, Create)
  plug-in step “Audit everything” (no table said)
`
	for _, tc := range []struct {
		bypass []string
		holds  bool
		want   string
	}{
		{nil, false, `  --bypass plugins,flows asks for them not to run; the platform's own logic runs
    all the same
`},
		{[]string{"plugins", "flows"}, true, `  each write asks for custom logic not to run (plugins, flows); the platform's
    own runs all the same
`},
		{[]string{"plugins"}, false, `  --bypass takes the privilege prvBypassCustomBusinessLogic, which the restorer
    does not hold: the writes will be refused
`},
	} {
		src.holds = tc.holds
		if got := text(tc.bypass...); !strings.Contains(got, names+tc.want) {
			t.Errorf("%v: got %s", tc.bypass, got)
		}
	}
}

// What the platform prices anew is listed by row and column, of lines, their
// documents and documents that were written.
func TestTotals(t *testing.T) {
	snap, live := views(table("quote", "totalamount", "totaltax", "name"), table("quotedetail", "quoteid", "baseamount", "extendedamount"), table("account", "totalamount"))
	money, null := func(s string) allod.Value { return allod.TextValue(allod.Decimal, s) }, allod.NullValue()
	p, w := making(t, "quotedetail", []string{"baseamount"}, 1, 2)
	w.Add("quote", []string{"name"}, "missing live", plan.Packed{Key: id(12), Op: plan.OpCreate, Pass: plan.PassRows})
	w.Add("account", []string{"totalamount"}, "missing live", plan.Packed{Key: id(20), Op: plan.OpCreate, Pass: plan.PassRows})
	for _, v := range []*view{snap, live} {
		again := v == live
		price := money("10.0000")
		if again {
			price = money("12")
		}
		v.put("quotedetail", 1, allod.LookupValue("quote", id(11)), price, money("7.5"))
		v.put("quotedetail", 2, allod.LookupValue("quote", id(11)), money("3"), money("3.00"))
		v.put("quote", 11, price, null, allod.StringValue("of the lines"))
		v.put("account", 20, price)
		if again {
			v.put("quote", 12, money("0"), money("1"), allod.StringValue("itself"))
		} else {
			v.put("quote", 12, null, money("1.0"), allod.StringValue("itself"))
		}
	}
	rep := &apply.Report{}
	if err := (Side{}).After(t.Context(), p, snap, live, rep); err != nil {
		t.Fatal(err)
	}
	const why = "amounts are not as captured, the platform has priced anew: "
	want := []plan.Skip{{Table: "quote", ID: id(11), Reason: why + "totalamount"}, {Table: "quote", ID: id(12), Reason: why + "totalamount"}, {Table: "quotedetail", ID: id(1), Reason: why + "baseamount"}}
	if d := cmp.Diff(want, rep.Skipped); d != "" {
		t.Errorf("listed (-want +got):\n%s", d)
	}
}

// Rows of people whose mailbox synchronises are counted.
func TestMailboxes(t *testing.T) {
	boxes := table(mailboxes, "regardingobjectid", "actdeliverymethod", "actstatus", "enabledforact", "statecode")
	holding, held, said := "", []allod.RecordRef(nil), ""
	look := func(tables ...allod.Table) string {
		t.Helper()
		snap, live := views(append([]allod.Table{table("contact", "ownerid"), table("account", "ownerid"), table("team", "name")}, tables...)...)
		live.put("team", 90, allod.StringValue("Holding"))
		yes, no, num := allod.BooleanValue(true), allod.BooleanValue(false), allod.IntegerValue
		for n, b := range [][]allod.Value{
			{num(1), num(1), yes, num(0)}, {num(2), num(1), yes, num(0)}, {num(1), num(0), yes, num(0)}, {num(1), num(1), no, num(0)}, {num(1), num(1), yes, num(1)}, {num(1), num(1), yes, num(0)},
		} {
			live.put(mailboxes, byte(n+1), append([]allod.Value{allod.LookupValue("systemuser", id(byte(50+n)))}, b...)...)
		}
		p, w := making(t, "contact", []string{"ownerid"}, 1, 2, 3, 4, 5, 6, 7)
		for n := range byte(7) {
			snap.put("contact", n+1, allod.LookupValue("systemuser", id(50+n%6)))
		}
		w.Add("account", []string{"ownerid"}, "missing live", plan.Packed{Key: id(1), Op: plan.OpCreate, Pass: plan.PassRows})
		snap.put("account", 1, allod.LookupValue("systemuser", id(50)))
		w.Add("contact", []string{"ownerid"}, "differs live", plan.Packed{Key: id(8), Op: plan.OpUpdate, Pass: plan.PassRows, Version: 7})
		snap.put("contact", 8, allod.LookupValue("systemuser", id(50)))
		if err := (Side{Request: Request{Holding: holding}}).Look(t.Context(), p, snap, live); err != nil {
			return err.Error()
		}
		if p.Held != nil {
			held = p.Held.Rows
			plain := *p
			plain.Held = nil
			without, _ := plain.Digest(nil)
			if with, err := p.Digest(nil); err != nil || with == without || p.Held.Team != id(90) {
				t.Errorf("people approve a plan that says nothing of the team %v: %v", p.Held.Team, err)
			}
		}
		said = finished(t, p, w)
		return strings.Join(p.Warnings, "\n")
	}
	if got, want := look(boxes), "contact: 4 rows that the plan writes, of 2 users whose mailbox synchronises: Exchange gets them, and sends invitations"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := look(); got != "" {
		t.Errorf("without mailboxes: %q", got)
	}
	holding = "holding"
	if got, want := look(boxes), "contact: 1 row that the plan writes, of 1 user whose mailbox synchronises: Exchange gets them, and sends invitations"; got != want {
		t.Errorf("held, but for the row that is there: got %q, want %q", got, want)
	}
	contact := func(n byte) allod.RecordRef { return allod.RecordRef{Table: "contact", Key: id(n)} }
	if want := []allod.RecordRef{contact(1), contact(6), contact(7)}; !slices.Equal(held, want) || !strings.Contains(said, `
Held back from Exchange
  contact: 3 rows made as the team's, holding, not their owners'; the same
    restore without --no-sync-owners gives them back
`) {
		t.Errorf("held: got %v, want %v: %s", held, want, said)
	}
	holding = "nobody"
	if got := look(boxes); !strings.Contains(got, `no team "nobody"`) {
		t.Errorf("no such team: %q", got)
	}
	holding = id(90).String()
	boxes.Unreadable = "no privilege"
	if got := look(boxes); !strings.Contains(got, "no row can be kept from them") {
		t.Errorf("held without sight: %q", got)
	}
	holding = ""
	boxes.Unreadable = "no privilege"
	if got := look(boxes); got != "mailboxes that synchronise: contoso@live does not let the restorer look (denied)" {
		t.Errorf("not readable: %q", got)
	}
}

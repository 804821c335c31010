package e2e_test

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/capture"
	"allod/internal/e2e/plain"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/history"
	"allod/internal/restore/apply"
	"allod/internal/restore/plan"
	"allod/internal/source/dataverse"
)

var update = flag.Bool("update", false, "write the golden files anew")

// realSchemas are the $metadata of two organisations, made by others.
var realSchemas = []string{"csdl-jag-spd-spice", "csdl-embc-dfa"}

// classList has the class of every entity set of realSchemas.
const classList = "testdata/classes.tsv"

// Everything of an environment goes into the vault and comes back into an empty
// one, typed as a person would (docs/commands.md). Allod's own comparison finds
// no difference, one that shares no code with it neither, and the counts may
// only get better.
func TestRoundTrip(t *testing.T) {
	bin := buildAllod(t)
	for _, name := range realSchemas {
		t.Run(name, func(t *testing.T) {
			integration(t)
			t.Parallel()
			file := filepath.Join("..", "..", "..", "shared", "data", "dataverse", name+".xml.gz")
			if _, err := os.Stat(file); err != nil {
				t.Skipf("data made by others is absent: %v", err)
			}
			p := newTrip(t, bin, "--metadata", file, "--scale", "3")
			rep := p.restore()
			// What the platform does by itself with rows that are made is said of each table.
			if other := slices.DeleteFunc(slices.Clone(rep.Warnings), func(w string) bool { return strings.Contains(w, " made again; ") }); len(other) > 0 {
				t.Errorf("the restore warns: %q", other)
			}
			diff := p.diff()
			for _, c := range diff.Classes {
				if restored(c.Class) && c.Added+c.Removed+c.Changed > 0 {
					t.Errorf("class %s: %d added, %d removed, %d changed", c.Class, c.Added, c.Removed, c.Changed)
				}
			}
			own := p.plain(readClasses(t).restored)
			for i, d := range own.Differ {
				if i < 20 {
					t.Errorf("independently: %s", d)
				}
			}
			golden(t, "testdata/roundtrip-"+name+".golden", counts(t, p.backup, diff, own))
			p.planIsEmpty()
			p.plant()
		})
	}
	t.Run("sample", func(t *testing.T) {
		t.Parallel()
		sampleRoundTrip(t, bin)
	})
}

// sampleRoundTrip is the same with the sample company, whose rows of a user who
// left cannot get their owner back: they go to the restorer, and are listed.
func sampleRoundTrip(t *testing.T, bin string) {
	p := newTrip(t, bin)
	rep := p.restore()
	diff := p.diff()
	owners := int64(0)
	for _, td := range diff.Tables {
		if !restored(td.Class) {
			continue
		}
		if td.Added+td.Removed > 0 {
			t.Errorf("%s: %d added, %d removed", td.Table, td.Added, td.Removed)
		}
		for column, n := range td.Columns {
			if column != "ownerid" {
				t.Errorf("%s.%s differs in %d rows", td.Table, column, n)
			}
			owners += n
		}
	}
	want := fmt.Sprintf("is missing or disabled in dst@live: %d rows will belong to the restorer", owners)
	if owners == 0 || !slices.ContainsFunc(rep.Warnings, func(w string) bool { return strings.Contains(w, want) }) {
		t.Errorf("%d owners, warnings %q", owners, rep.Warnings)
	}
	p.planIsEmpty()
}

// restored reports whether a restore writes rows of the class.
func restored(c allod.Class) bool { return c == allod.ClassData || c == allod.ClassLink }

// trip is a source that was backed up and an empty target of the same schema.
type trip struct {
	*person
	src, dst string
	began    time.Time
	backup   capture.Result
}

func newTrip(t *testing.T, bin string, flags ...string) *trip {
	t.Helper()
	p := &trip{person: newPerson(t, bin), began: time.Now().Add(-time.Minute)} // what is made from rows is an hour old at least
	p.src = p.emulates(flags...)
	p.dst = p.emulates(append(flags, "--empty")...)
	p.types("init")
	p.types("connect", "src", p.src)
	p.types("connect", "dst", p.dst)
	p.asks(&p.backup, "backup", "src")
	if open := openGaps(&p.backup); len(open) > 0 {
		t.Errorf("the backup has gaps: %+v", open)
	}
	return p
}

func (p *trip) restore() *apply.Report {
	p.t.Helper()
	var rep apply.Report
	p.asks(&rep, "restore", "src@latest", "--all", "--to", "dst", "--yes")
	if rep.Created == 0 || rep.Failed > 0 || len(rep.Conflicts)+len(rep.Skipped)+len(rep.Refused) > 0 {
		p.t.Errorf("the restore: %d created, %d failed, conflicts %v, skipped %v, refused %v", rep.Created, rep.Failed, rep.Conflicts, rep.Skipped, rep.Refused)
	}
	return &rep
}

// diff compares as the words of the issue have it; what a person sees is logged.
func (p *trip) diff() *history.Diff {
	p.t.Helper()
	var d history.Diff
	p.asks(&d, "diff", "src@live", "dst@live", "--writable", "--columns")
	for _, class := range []allod.Class{allod.ClassData, allod.ClassLink} {
		if !slices.ContainsFunc(d.Classes, func(c history.ClassDiff) bool { return c.Class == class && c.Equal > 0 }) {
			p.t.Errorf("no rows of class %s were compared", class)
		}
	}
	return &d
}

// planIsEmpty makes the plan of the same restore again: nothing is left to do.
func (p *trip) planIsEmpty() {
	p.t.Helper()
	var again plan.Plan
	p.asks(&again, "restore", "src@latest", "--all", "--to", "dst", "--plan")
	if again.Counts.Steps > 0 || again.Counts.Rows == 0 || again.Counts.Unchanged != again.Counts.Rows {
		p.t.Errorf("a second restore would write: %+v", again.Counts)
	}
}

func (p *trip) plain(wanted func(string) (bool, error)) *plain.Result {
	p.t.Helper()
	r, err := plain.Compare(p.t.Context(), p.src, p.dst, p.began, wanted)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// plant changes one cell of the target: both comparisons must say so.
func (p *trip) plant() {
	p.t.Helper()
	p.says(0)
	defer p.says(1)
	co := &company{t: p.t, url: p.dst}
	id, ok := co.rows("accounts", "?$select=accountid")[0]["accountid"].(string)
	if !ok {
		p.t.Fatal("an account without an id")
	}
	co.call(http.MethodPatch, "accounts("+id+")", map[string]any{"name": "planted"})
	var d history.Diff
	p.asks(&d, "diff", "src@live", "dst@live", "--writable", "--columns", "--table", "account")
	if d.Changed != 1 || d.Tables[0].Columns["name"] != 1 {
		p.t.Errorf("a planted difference: got %d changed, columns %v", d.Changed, d.Tables[0].Columns)
	}
	own := p.plain(func(table string) (bool, error) { return table == "account", nil })
	if got, want := own.Differ, []string{"account.name differs"}; !slices.Equal(got, want) {
		p.t.Errorf("a planted difference, independently: got %q, want %q", got, want)
	}
}

// says checks what a person is told of the accounts.
func (p *trip) says(changed int) {
	p.t.Helper()
	text := p.types("diff", "src@live", "dst@live", "--writable", "--table", "account")
	for _, want := range []string{
		fmt.Sprintf(`(?m)^src@live against dst@live: 0 added, 0 removed, %d changed, [1-9]\d* equal\.$`, changed),
		fmt.Sprintf(`(?m)^  class data +1 tables: 0 added, 0 removed, %d changed, [1-9]\d* equal$`, changed),
		`(?m)^    [1-9]\d* cells compared$`,
		`(?m)^    [1-9]\d* not compared: set by the platform$`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			p.t.Errorf("allod diff says\n%s, want %s", text, want)
		}
	}
}

// count is one figure of a golden file. better says which way it may change:
// 1 up, -1 down, 0 not at all.
type count struct {
	name   string
	n      int64
	better int
}

// counts lists what the golden file pins, and checks that both comparisons
// looked at the same cells for the same reasons.
func counts(t *testing.T, b capture.Result, d *history.Diff, own *plain.Result) []count {
	t.Helper()
	ways := map[allod.Class]int{allod.ClassData: 1, allod.ClassLink: 1, allod.ClassPlatform: -1}
	left := map[plain.Reason]int64{plain.Invalid: 0, plain.Computed: 0, plain.Platform: 0}
	var out []count
	var tables, rows, cells int64
	for _, c := range d.Classes {
		out = append(out, count{"tables of class " + string(c.Class), int64(c.Tables), ways[c.Class]})
		if !restored(c.Class) {
			continue
		}
		tables, rows, cells = tables+int64(c.Tables), rows+c.Equal+c.Changed, cells+c.CellsCompared
		for why, n := range c.CellsNotCompared {
			if _, known := left[plain.Reason(why)]; !known {
				t.Errorf("class %s: %d cells are not compared because: %s", c.Class, n, why)
			}
			left[plain.Reason(why)] += n
		}
	}
	out = append(out, count{"rows captured", b.Rows, 1}, count{"rows compared", rows, 1}, count{"cells compared", cells, 1})
	for _, why := range slices.Sorted(maps.Keys(left)) {
		out = append(out, count{"cells not compared, " + string(why), left[why], -1})
		if own.Left[why] != left[why] {
			t.Errorf("independently %d cells are not compared, by Allod %d: %s", own.Left[why], left[why], why)
		}
	}
	if own.Tables != tables || own.Rows != rows || own.Cells != cells {
		t.Errorf("independently %d tables, %d rows, %d cells were compared, by Allod %d, %d, %d", own.Tables, own.Rows, own.Cells, tables, rows, cells)
	}
	return append(out, count{"files compared", own.Files, 1},
		count{"rows with the date of creation they had", own.Kept, 1}, count{"rows with another", own.Lost, -1})
}

// golden compares figures with those of a file. Worse ones fail; better ones
// are reported, and -update writes them.
func golden(t *testing.T, path string, got []count) {
	t.Helper()
	var text strings.Builder
	for _, c := range got {
		fmt.Fprintf(&text, "%8d  %s\n", c.n, c.name)
	}
	t.Logf("\n%s", text.String())
	if *update {
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	better, worse := judge(string(raw), got)
	for _, line := range better {
		t.Logf("better than %s: %s; `ALLOD_INTEGRATION=1 go test ./internal/e2e -run RoundTrip -update` pins it", path, line)
	}
	for _, line := range worse {
		t.Errorf("worse than %s: %s", path, line)
	}
}

// judge holds figures against the text of a golden file.
func judge(text string, got []count) (better, worse []string) {
	was := map[string]int64{}
	for line := range strings.Lines(text) {
		n, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		v, err := strconv.ParseInt(n, 10, 64)
		if err != nil || name == "" {
			worse = append(worse, fmt.Sprintf("%q is no figure", line))
			continue
		}
		was[name] = v
	}
	for _, c := range got {
		old, known := was[c.name]
		delete(was, c.name)
		line := fmt.Sprintf("%s: %d, was %d", c.name, c.n, old)
		switch {
		case !known:
			worse = append(worse, line+" (not pinned)")
		case c.n == old:
		case c.better > 0 && c.n > old, c.better < 0 && c.n < old:
			better = append(better, line)
		default:
			worse = append(worse, line)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		worse = append(worse, fmt.Sprintf("%s: gone, was %d", name, was[name]))
	}
	return better, worse
}

func TestJudge(t *testing.T) {
	const pinned = "     10  up\n     10  down\n     10  fixed\n"
	for _, tc := range []struct {
		name              string
		up, down, fixed   int64
		better, worseThan int
	}{
		{"equal", 10, 10, 10, 0, 0},
		{"better", 11, 9, 10, 2, 0},
		{"worse", 9, 11, 10, 0, 2},
		{"changed", 10, 10, 11, 0, 1},
		{"changed the other way", 10, 10, 9, 0, 1},
	} {
		better, worse := judge(pinned, []count{{"up", tc.up, 1}, {"down", tc.down, -1}, {"fixed", tc.fixed, 0}})
		if len(better) != tc.better || len(worse) != tc.worseThan {
			t.Errorf("%s: better %q, worse %q", tc.name, better, worse)
		}
	}
	if _, worse := judge(pinned+"x\n", []count{{"up", 10, 1}, {"new", 1, 1}}); len(worse) != 4 {
		t.Errorf("a bad line, a new figure, two missing ones: got %q", worse)
	}
}

// classed is a line of the list of classes: what one entity set is.
type classed struct{ table, set, class, reason string }

// classes is the reviewed list, by table.
type classes map[string]classed

func readClasses(t *testing.T) classes {
	t.Helper()
	raw, err := os.ReadFile(classList)
	if err != nil {
		t.Fatal(err)
	}
	out := classes{}
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 4 || slices.Contains(f, "") {
			t.Fatalf("%s: bad line %q", classList, line)
		}
		if _, twice := out[f[0]]; twice {
			t.Fatalf("%s: %s stands there twice", classList, f[0])
		}
		out[f[0]] = classed{f[0], f[1], f[2], f[3]}
	}
	return out
}

// restored reports whether rows of a table must come back.
func (c classes) restored(table string) (bool, error) {
	line, ok := c[table]
	if !ok {
		return false, fmt.Errorf("%s does not say what table %s is", classList, table)
	}
	return restored(allod.Class(line.class)), nil
}

// The list of classes has each entity set of the real schemas, no other, and
// says of each what the connector says.
func TestEveryEntitySetHasAReviewedClass(t *testing.T) {
	found := classes{}
	for _, name := range realSchemas {
		for table, got := range setsOf(t, name+".xml.gz") {
			if old, ok := found[table]; ok && old != got {
				t.Errorf("one schema says %v, another %v", old, got)
			}
			found[table] = got
		}
	}
	if *update {
		writeClasses(t, found)
	}
	listed := readClasses(t)
	for name, got := range found {
		if want, ok := listed[name]; !ok {
			t.Errorf("%s has no line in %s: %v", name, classList, got)
		} else if got != want {
			t.Errorf("%s is %v, but %s says %v", name, got, classList, want)
		}
	}
	for name := range listed {
		if _, ok := found[name]; !ok {
			t.Errorf("%s stands in %s, but no schema has it", name, classList)
		}
	}
}

var entitySet = regexp.MustCompile(`<EntitySet Name="([^"]*)" EntityType="[^"]*\.([^."]+)"`)

// setsOf lists the entity sets of a $metadata file with the classes that the
// connector gives them.
func setsOf(t *testing.T, file string) classes {
	t.Helper()
	server, err := emu.New(emu.Options{Model: realModel(t, file), Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	src, err := dataverse.New(dataverse.Options{Environment: "real", URL: serve(t, server).url})
	if err != nil {
		t.Fatal(err)
	}
	schema, err := src.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(openShared(t, file))
	if err != nil {
		t.Fatal(err)
	}
	out := classes{}
	for _, m := range entitySet.FindAllStringSubmatch(string(text), -1) {
		set, typ := m[1], m[2]
		x := schema.Table(typ)
		switch {
		case x != nil && x.Set == set:
			out[typ] = classed{typ, set, string(x.Class), x.Reason}
		case strings.HasSuffix(set, "Definitions"):
			out[typ] = classed{typ, set, "schema", "describes tables: captured as the schema, has no rows"}
		default:
			t.Errorf("%s: the connector does not know entity set %s of %s", file, set, typ)
		}
	}
	if len(out) < 300 {
		t.Errorf("%s: got %d entity sets", file, len(out))
	}
	return out
}

func writeClasses(t *testing.T, all classes) {
	t.Helper()
	var b strings.Builder
	b.WriteString("# What each entity set of the two real schemas is: table, entity set, class, reason. Written by -update, reviewed by people.\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		l := all[name]
		b.WriteString(strings.Join([]string{l.table, l.set, l.class, l.reason}, "\t") + "\n")
	}
	if err := os.WriteFile(classList, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

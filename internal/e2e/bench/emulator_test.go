//go:build linux

package bench_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"allod"
	"allod/internal/emulator"
	emu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/protect"
	"allod/internal/emulator/dataverse/sample"
	"allod/internal/emulator/dataverse/store"
)

const emulatorEnv = "ALLOD_BENCH_EMULATOR"

// emulatorSpec says what the emulator's process holds.
type emulatorSpec struct {
	Wide    []int         // rows of each wide table
	Columns int           // of wide tables, the key included; 0 = 40
	Files   []int64       // sizes of the files of one table
	Company int           // scale of the sample company; 0 = none
	Latency time.Duration // of each answer
	Cost    bool          // the default cost model
	Limits  bool          // the service's limits
}

const wideColumns = 40

func (s emulatorSpec) columns() int { return cmp.Or(s.Columns, wideColumns) }

func wideName(i int) string { return fmt.Sprintf("new_wide%02d", i) }

const filesName = "new_document"

// benchModel is the sample company's metadata with wide tables and one with
// files.
func benchModel(s emulatorSpec) (*entity.Model, error) {
	m, err := sample.Model()
	if err != nil {
		return nil, err
	}
	table := func(name string) *entity.Table {
		t := &entity.Table{
			LogicalName: name, SchemaName: name, SetName: name + "s", PrimaryID: name + "id", ODataKey: name + "id", PrimaryName: "new_text00",
			TableType: "Standard", Ownership: 8, ChangeTracking: true, CanTrack: true, Optimistic: true, Custom: true,
		}
		m.Tables = append(m.Tables, t)
		return t
	}
	add := func(t *entity.Table, name, kind, edm string) *entity.Column {
		c := &entity.Column{LogicalName: name, Kind: entity.ColumnKind(kind), EdmType: edm, ValidForCreate: true, ValidForRead: true, ValidForUpdate: true, ValidOData: true}
		t.Columns = append(t.Columns, c)
		return c
	}
	for i := range s.Wide {
		t := table(wideName(i))
		add(t, t.PrimaryID, "Uniqueidentifier", "Edm.Guid")
		for j := range s.columns() - 1 {
			switch n := fmt.Sprintf("%02d", j); j % 8 {
			case 1:
				add(t, "new_number"+n, "Integer", "Edm.Int32")
			case 2:
				add(t, "new_user"+n, "Lookup", "Edm.Guid").Targets = []string{"systemuser"}
			case 3:
				add(t, dateName(j), "DateTime", "Edm.DateTimeOffset").Behavior = "UserLocal"
			case 4:
				add(t, "new_flag"+n, "Boolean", "Edm.Boolean")
			case 5:
				add(t, "new_amount"+n, "Decimal", "Edm.Decimal").Precision = 4
			default:
				add(t, "new_text"+n, "String", "Edm.String").MaxLength = 200
			}
		}
	}
	t := table(filesName)
	add(t, t.PrimaryID, "Uniqueidentifier", "Edm.Guid")
	add(t, "new_text00", "String", "Edm.String").MaxLength = 200
	add(t, "new_file", "File", "Edm.Binary").MaxSizeKB = 10 << 20
	add(t, "new_file_name", "String", "Edm.String").AttributeOf = "new_file"
	m.Seal()
	entity.Derive(m)
	return m, nil
}

var words = strings.Fields("north river stone anna maria peter street avenue sales service central partner global trade house market young green silver lake")

// dateName names the j-th column of a wide table; the first of its dates is when
// the row was made, as every table of the product has it.
func dateName(j int) string {
	if j == 3 {
		return "createdon"
	}
	return fmt.Sprintf("new_date%02d", j)
}

// cells makes the row n of a wide table: about a third of the columns null, as
// in tables of real organisations. version changes one text.
func cells(columns map[string]int, n, version uint64) []store.Cell {
	r := rand.New(rand.NewPCG(n, 7))
	var out []store.Cell
	for j := range len(columns) - 1 {
		s := fmt.Sprintf("%02d", j)
		var name string
		var v allod.Value
		switch j % 8 {
		case 1:
			name, v = "new_number"+s, allod.IntegerValue(r.Int64N(100_000))
		case 2:
			name, v = "new_user"+s, allod.LookupValue("systemuser", allod.GUID{1, byte(r.IntN(50))})
		case 3:
			name, v = dateName(j), allod.TextValue(allod.DateTime, time.Unix(1_600_000_000+r.Int64N(1e8), 0).UTC().Format("2006-01-02T15:04:05Z"))
		case 4:
			name, v = "new_flag"+s, allod.BooleanValue(r.IntN(2) == 0)
		case 5:
			name, v = "new_amount"+s, allod.TextValue(allod.Decimal, strconv.Itoa(r.IntN(1e6))+".0000")
		default:
			name, v = "new_text"+s, allod.StringValue(words[r.IntN(len(words))]+" "+words[r.IntN(len(words))]+" "+strconv.Itoa(r.IntN(10000)))
		}
		if j == 0 {
			v = allod.StringValue("row " + strconv.FormatUint(n, 10) + " version " + strconv.FormatUint(version, 10))
		} else if r.IntN(3) == 0 && name != "createdon" {
			continue
		}
		if at, ok := columns[name]; ok { // columns may hold some that the server adds
			out = append(out, store.Cell{Column: at, Value: v})
		}
	}
	return out
}

// wideKey is the key of row n.
func wideKey(n uint64) allod.GUID {
	var k allod.GUID
	x := (n + 1) * 0x9e3779b97f4a7c15
	binary.BigEndian.PutUint64(k[:], x)
	binary.BigEndian.PutUint64(k[8:], x*0xbf58476d1ce4e5b9)
	return k
}

// newEmulator builds and fills the server of a spec.
func newEmulator(s emulatorSpec) (*emu.Server, error) {
	m, err := benchModel(s)
	if err != nil {
		return nil, err
	}
	o := emu.Options{Model: m, Seed: 1, Latency: s.Latency}
	if s.Cost {
		o.Cost = protect.DefaultCost()
	}
	if s.Limits {
		o.Limits = "real"
	}
	server, err := emu.New(o)
	if err != nil {
		return nil, err
	}
	st := server.Store()
	for i, rows := range s.Wide {
		columns := st.Columns(wideName(i))
		for n := range uint64(rows) {
			if err := st.Insert(wideName(i), wideKey(n), cells(columns, n, 0)); err != nil {
				return nil, err
			}
		}
	}
	columns := st.Columns(filesName)
	for i, size := range s.Files {
		id := wideKey(uint64(1e9 + i))
		st.InsertBlob(id, store.MadeBlob("document.pdf", "application/pdf", size, uint64(i)))
		row := []store.Cell{{Column: columns["new_text00"], Value: allod.StringValue("document")}, {Column: columns["new_file"], Value: allod.IDValue(id)}}
		if err := st.Insert(filesName, wideKey(uint64(i)), row); err != nil {
			return nil, err
		}
	}
	if s.Company > 0 {
		if _, err := sample.Load(m, st, sample.Options{Seed: 1, Scale: s.Company}); err != nil {
			return nil, err
		}
	}
	return server, nil
}

// runEmulator is the child process: it prints its address, does what it is
// told line by line on its standard input, and ends with it.
func runEmulator(spec string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "emulator:", err)
		return 1
	}
	var s emulatorSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		return fail(err)
	}
	server, err := newEmulator(s)
	if err != nil {
		return fail(err)
	}
	r, err := emulator.Listen(ctx, emulator.ListenOptions{Addr: "127.0.0.1:0"}, server.Handler())
	if err != nil {
		return fail(err)
	}
	fmt.Println(r.URL)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var every, rows uint64
		if _, err := fmt.Sscanf(in.Text(), "change %d of %d", &rows, &every); err != nil {
			return fail(err)
		}
		columns := server.Store().Columns(wideName(0))
		err := server.Store().Update(func(tx *store.Tx) error {
			for n := uint64(0); n < every; n += every / rows {
				tx.Put(wideName(0), wideKey(n), cells(columns, n, 1))
			}
			return nil
		})
		if err != nil {
			return fail(err)
		}
		fmt.Println("changed")
	}
	return 0
}

// emulatorProcess is a running child.
type emulatorProcess struct {
	url string
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startEmulator(t *testing.T, s emulatorSpec) *emulatorProcess {
	t.Helper()
	spec, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	p := &emulatorProcess{cmd: exec.CommandContext(t.Context(), os.Args[0])}
	p.cmd.Env = append(os.Environ(), emulatorEnv+"="+string(spec))
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.in.Close() // tells it to end
		_ = p.cmd.Wait() // it may have been ended with the test
	})
	p.url = p.line(t)
	return p
}

func (p *emulatorProcess) line(t *testing.T) string {
	t.Helper()
	s, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("read what the emulator says: %v", err)
	}
	return strings.TrimSpace(s)
}

// change writes a new version of rows of the first wide table, evenly spread.
func (p *emulatorProcess) change(t *testing.T, rows, of int) {
	t.Helper()
	if _, err := fmt.Fprintf(p.in, "change %d of %d\n", rows, of); err != nil {
		t.Fatal(err)
	}
	if got := p.line(t); got != "changed" {
		t.Fatalf("the emulator says %q", got)
	}
}

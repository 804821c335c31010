package dataverse_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"testing"

	"allod"
	dvemu "allod/internal/emulator/dataverse"
	"allod/internal/emulator/dataverse/entity"
	"allod/internal/emulator/dataverse/store"
)

// wide is one table of 40 columns of mixed types.
func wide() *entity.Model {
	m := model()
	t := &entity.Table{LogicalName: "wide", SchemaName: "Wide", SetName: "wides", PrimaryID: "wideid", ODataKey: "wideid", PrimaryName: "c0", TableType: "Standard", Ownership: 8, ChangeTracking: true, Optimistic: true}
	add := func(name, kind, edm string) {
		t.Columns = append(t.Columns, &entity.Column{LogicalName: name, Kind: entity.ColumnKind(kind), EdmType: edm, ValidForCreate: true, ValidForRead: true, ValidForUpdate: true, ValidOData: true})
	}
	add("wideid", "Uniqueidentifier", "Edm.Guid")
	for i := range 39 {
		kind, edm := "String", "Edm.String"
		switch i % 5 {
		case 1:
			kind, edm = "Integer", "Edm.Int32"
		case 2:
			kind, edm = "Lookup", "Edm.Guid"
		case 3:
			kind, edm = "DateTime", "Edm.DateTimeOffset"
		}
		add("c"+strconv.Itoa(i), kind, edm)
	}
	m.Tables = append(m.Tables, t)
	m.Seal()
	return m
}

func load(t testing.TB, s *dvemu.Server, n int) {
	t.Helper()
	cols := s.Store().Columns("wide")
	for i := range uint64(n) {
		var key allod.GUID
		x := (i + 1) * 0x9e3779b97f4a7c15
		binary.BigEndian.PutUint64(key[:], x)
		binary.BigEndian.PutUint64(key[8:], x*0xbf58476d1ce4e5b9)
		cells := make([]store.Cell, 0, 39)
		for j := range 39 {
			v := allod.StringValue(fmt.Sprintf("value %d of row %d", j, i))
			switch j % 5 {
			case 1:
				v = allod.IntegerValue(int64(x >> 40))
			case 2:
				v = allod.LookupValue("account", key)
			case 3:
				v = allod.TextValue(allod.DateTime, "2026-01-01T00:00:00Z")
			}
			cells = append(cells, store.Cell{Column: cols["c"+strconv.Itoa(j)], Value: v})
		}
		if err := s.Store().Insert("wide", key, cells); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkPage(b *testing.B) {
	for _, annotations := range []string{"", `,odata.include-annotations="Microsoft.Dynamics.CRM.*"`} {
		b.Run("annotations="+strconv.FormatBool(annotations != ""), func(b *testing.B) {
			s, err := dvemu.New(dvemu.Options{Model: wide()})
			if err != nil {
				b.Fatal(err)
			}
			load(b, s, 5000)
			h := s.Handler()
			b.ResetTimer()
			for b.Loop() {
				r := httptest.NewRequest("GET", "/api/data/v9.2/wides", nil)
				r.Header.Set("Authorization", "Bearer x")
				r.Header.Set("Prefer", "odata.maxpagesize=5000"+annotations)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != 200 {
					b.Fatal(w.Body.String())
				}
			}
			b.ReportMetric(5000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkLoopback reads pages of 5,000 rows of 20 columns over the loopback
// interface and throws them away; server and client share one core.
func BenchmarkLoopback(b *testing.B) {
	s, err := dvemu.New(dvemu.Options{Model: wide()})
	if err != nil {
		b.Fatal(err)
	}
	load(b, s, 5000)
	h := httptest.NewServer(s.Handler())
	defer h.Close()
	columns := "wideid"
	for i := range 19 {
		name := ",c" + strconv.Itoa(i)
		if i%5 == 2 {
			name = ",_c" + strconv.Itoa(i) + "_value"
		}
		columns += name
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, encoding := range []string{"identity", "gzip"} {
		b.Run("encoding="+encoding, func(b *testing.B) {
			var size int64
			for b.Loop() {
				r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, h.URL+"/api/data/v9.2/wides?$select="+columns, nil)
				if err != nil {
					b.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer x")
				r.Header.Set("Accept-Encoding", encoding)
				res, err := h.Client().Do(r)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, res.Body)
				if err != nil || res.StatusCode != http.StatusOK {
					b.Fatal(res.Status, err)
				}
				_ = res.Body.Close() // read to the end
				size += n
			}
			b.ReportMetric(5000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(size)/float64(b.N)/5000, "B/row")
		})
	}
}

// TestMillionRows measures the promise of issue and package comment; it takes
// ten seconds, so it runs when asked for.
func TestMillionRows(t *testing.T) {
	if os.Getenv("ALLOD_TEST_SCALE") == "" {
		t.Skip("set ALLOD_TEST_SCALE=1 to load a million rows")
	}
	s, err := dvemu.New(dvemu.Options{Model: wide()})
	if err != nil {
		t.Fatal(err)
	}
	load(t, s, 1_000_000)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("heap %d MiB, from the system %d MiB", m.HeapAlloc>>20, m.Sys>>20)
	if m.Sys > 3<<30 {
		t.Errorf("a million rows take %d MiB", m.Sys>>20)
	}
	runtime.KeepAlive(s)
}

// BenchmarkDefinition reads the definition of one table with everything, as a
// client does for each of three hundred.
func BenchmarkDefinition(b *testing.B) {
	s, err := dvemu.New(dvemu.Options{Model: realModel(b, "csdl-jag-spd-spice.xml.gz")})
	if err != nil {
		b.Fatal(err)
	}
	h := s.Handler()
	for b.Loop() {
		r := httptest.NewRequest("GET", "/api/data/v9.2/EntityDefinitions(LogicalName='account')?$expand=Attributes,Keys,ManyToOneRelationships,OneToManyRelationships,ManyToManyRelationships", nil)
		r.Header.Set("Authorization", "Bearer x")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 {
			b.Fatal(w.Body.String())
		}
	}
}

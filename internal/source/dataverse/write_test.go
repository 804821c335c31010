package dataverse_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"allod"
	"allod/internal/source"
)

// TestLostAnswersAreAskedAbout loses the answer of a write and looks at what is
// sent afterwards.
func TestLostAnswersAreAskedAbout(t *testing.T) {
	key := guid(t, id1)
	one := "accounts(" + id1 + ")"
	create := source.Op{Kind: source.OpCreate, Key: key, Cells: map[string]allod.Value{"name": allod.StringValue("A")}}
	update := source.Op{Kind: source.OpUpdate, Key: key, Version: 5, Cells: map[string]allod.Value{"name": allod.StringValue("A")}}
	for _, c := range []struct {
		name  string
		op    source.Op
		found string // the row that is read back; "" = none
		sends int
		kind  allod.Kind
	}{
		{"created", create, `{"@odata.etag":"W/\"9\"","accountid":"` + id1 + `","name":"A"}`, 1, 0},
		{"not created", create, "", 2, 0},
		{"somebody else's", create, `{"@odata.etag":"W/\"9\"","accountid":"` + id1 + `","name":"B"}`, 1, allod.Conflict},
		{"updated", update, `{"@odata.etag":"W/\"9\"","accountid":"` + id1 + `","name":"A"}`, 1, 0},
		{"not updated", update, `{"@odata.etag":"W/\"5\"","accountid":"` + id1 + `","name":"B"}`, 2, 0},
		{"updated by another", update, `{"@odata.etag":"W/\"9\"","accountid":"` + id1 + `","name":"B"}`, 1, allod.Conflict},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t)
			sends := 0
			s.on("PATCH "+one, func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("If-None-Match"); c.op.Kind == source.OpCreate && got != "*" {
					t.Errorf("create: If-None-Match is %q", got)
				}
				if got := r.Header.Get("If-Match"); c.op.Kind == source.OpUpdate && got != `W/"5"` {
					t.Errorf("update: If-Match is %q", got)
				}
				if sends++; sends == 1 {
					w.WriteHeader(http.StatusBadGateway)
					return
				}
				w.Header().Set("ETag", `W/"11"`)
				w.WriteHeader(http.StatusNoContent)
			})
			if c.found != "" {
				s.json("GET "+one, c.found)
			} else {
				s.fail("GET "+one, 404, "0x80040217")
			}
			op := c.op
			op.Table = accounts()
			res, err := s.source(t).Apply(t.Context(), source.WriteOptions{Tag: "allod:1", Bypass: []string{"plugins"}}, []source.Op{op})
			if err != nil {
				t.Fatal(err)
			}
			if got := allod.KindOf(res[0].Err); got != c.kind {
				t.Errorf("got %v (%v), want %v", got, res[0].Err, c.kind)
			}
			if sends != c.sends {
				t.Errorf("sent %d times, want %d", sends, c.sends)
			}
		})
	}
}

// TestPayloads pins bodies: lookups by navigation property, clearing, numbers
// as text, columns that are not writable left out.
func TestPayloads(t *testing.T) {
	s := newService(t)
	s.json("GET EntityDefinitions(LogicalName='contact')", `{"EntitySetName":"contacts"}`)
	s.json("GET EntityDefinitions(LogicalName='team')", `{"EntitySetName":"teams"}`)
	s.on("PATCH accounts("+id1+")", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	src := s.source(t)
	op := source.Op{Kind: source.OpUpdate, Table: accounts(), Key: guid(t, id1), Cells: map[string]allod.Value{
		"name": allod.StringValue("a\"\xed\xa0\xbd"), "revenue": allod.TextValue(allod.Decimal, "20000.0000"), "statuscode": allod.IntegerValue(2),
		"ownerid": allod.LookupValue("team", guid(t, id2)), "primarycontactid": allod.NullValue(), "modifiedon": allod.TextValue(allod.DateTime, "2023-04-07T21:59:01Z"),
	}}
	res, err := src.Apply(t.Context(), source.WriteOptions{Tag: "allod:1"}, []source.Op{op})
	if err != nil || res[0].Err != nil {
		t.Fatal(err, res)
	}
	want := `{"name":"a\"\ud83d","ownerid@odata.bind":"/teams(` + id2 + `)","primarycontactid@odata.bind":null,"revenue":20000.0000,"statuscode":2}`
	if got := s.bodies[len(s.bodies)-1]; got != want {
		t.Errorf("body: got %s, want %s", got, want)
	}
	if !strings.Contains(res[0].Note, "modifiedon") {
		t.Errorf("note %q does not name the column that was left out", res[0].Note)
	}
	if got := s.asked[len(s.asked)-1].URL.RawQuery; !strings.Contains(got, "tag=allod%3A1") {
		t.Errorf("query: got %q", got)
	}
	for name, cells := range map[string]map[string]allod.Value{
		"absent":         {"name": {}},
		"no column":      {"nope": allod.NullValue()},
		"bad number":     {"revenue": allod.TextValue(allod.Decimal, "1,000")},
		"unknown target": {"ownerid": allod.LookupValue("", guid(t, id2))},
		"wrong target":   {"primarycontactid": allod.LookupValue("account", guid(t, id2))},
	} {
		op.Cells = cells
		res, err := src.Apply(t.Context(), source.WriteOptions{}, []source.Op{op})
		if err != nil || allod.KindOf(res[0].Err) != allod.Invalid {
			t.Errorf("%s: got %v, %v", name, err, res)
		}
	}
}

func TestFileInRanges(t *testing.T) {
	s := newService(t)
	data := strings.Repeat("0123456789abcdef", 9<<16) // 9 MiB
	asked := 0
	s.on("GET accounts("+id1+")/doc/$value", func(w http.ResponseWriter, r *http.Request) {
		var from, to int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err != nil {
			t.Errorf("range %q: %v", r.Header.Get("Range"), err)
		}
		if asked++; asked == 2 { // cut off once
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusPartialContent)
			panic(http.ErrAbortHandler)
		}
		to = min(to, len(data)-1)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(data)))
		w.WriteHeader(http.StatusPartialContent)
		fmt.Fprint(w, data[from:to+1])
	})
	f, err := s.source(t).OpenFile(t.Context(), accounts(), &allod.Row{Table: "account", Key: guid(t, id1)}, "doc")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	buf := make([]byte, 1<<16)
	for {
		n, err := f.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			break
		}
	}
	if b.String() != data || asked != 4 {
		t.Errorf("got %d bytes in %d requests, want %d in 4", b.Len(), asked, len(data))
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// A file whose size is a multiple of a range takes no request for a range
// behind its end; where nothing tells the size, the refusal of that range is
// the end of the file. An empty file has no range at all.
func TestFileOfWholeRanges(t *testing.T) {
	const part = 4 << 20
	for _, c := range []struct {
		name   string
		parts  int
		header string // that tells the size; "" = none
		behind int    // status of a range behind the end
		asked  int
	}{
		{"told by the range", 2, "Content-Range", http.StatusRequestedRangeNotSatisfiable, 2},
		{"told by the service's own header", 2, "X-Ms-File-Size", http.StatusRequestedRangeNotSatisfiable, 2},
		{"one range", 1, "Content-Range", http.StatusRequestedRangeNotSatisfiable, 1},
		{"not told", 2, "", http.StatusRequestedRangeNotSatisfiable, 3},
		{"not told, nothing behind the end", 2, "", http.StatusNoContent, 3},
		{"empty", 0, "", http.StatusRequestedRangeNotSatisfiable, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, asked := newService(t), 0
			data := strings.Repeat("0123456789abcdef", c.parts*part/16)
			s.on("GET accounts("+id1+")/doc/$value", func(w http.ResponseWriter, r *http.Request) {
				asked++
				var from, to int
				if r.Header.Get("Range") == "" {
					return // the whole of an empty file
				}
				if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err != nil {
					t.Errorf("range %q: %v", r.Header.Get("Range"), err)
				}
				if from >= len(data) {
					w.WriteHeader(c.behind)
					return
				}
				if to = min(to, len(data)-1); c.header == "Content-Range" {
					w.Header().Set(c.header, fmt.Sprintf("bytes %d-%d/%d", from, to, len(data)))
				} else if c.header != "" {
					w.Header().Set(c.header, fmt.Sprint(len(data)))
				}
				w.WriteHeader(http.StatusPartialContent)
				fmt.Fprint(w, data[from:to+1])
			})
			f, err := s.source(t).OpenFile(t.Context(), accounts(), &allod.Row{Table: "account", Key: guid(t, id1)}, "doc")
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(f)
			if err != nil || string(got) != data || asked != c.asked {
				t.Errorf("got %d bytes in %d requests, %v; want %d in %d", len(got), asked, err, len(data), c.asked)
			}
		})
	}
}

// A store that breaks off, or gives less than was said, is no end of the file:
// nothing is uploaded.
func TestFileCutShortIsNotUploaded(t *testing.T) {
	broken := fmt.Errorf("read object: %w", io.ErrUnexpectedEOF)
	for name, content := range map[string]io.Reader{
		"breaks off":    io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)),
		"breaks at end": io.MultiReader(strings.NewReader("whole123"), iotest.ErrReader(fmt.Errorf("read object: %w", io.EOF))),
		"short":         strings.NewReader("half"),
		"long":          strings.NewReader("whole123 and more"),
	} {
		s := newService(t)
		written := false
		s.on("PATCH accounts("+id1+")/doc", func(w http.ResponseWriter, _ *http.Request) {
			written = true
			w.WriteHeader(http.StatusNoContent)
		})
		op := source.Op{
			Kind: source.OpFile, Table: accounts(), Key: guid(t, id1), Column: "doc", File: allod.FileRef{Name: "a.bin", Size: 8},
			Content: func() (io.ReadCloser, error) { return io.NopCloser(content), nil },
		}
		res, err := s.source(t).Apply(t.Context(), source.WriteOptions{}, []source.Op{op})
		if err != nil || len(res) != 1 || res[0].Err == nil || written {
			t.Errorf("%s: uploaded %v, %v, %v; want an error and nothing uploaded", name, written, err, res)
		}
	}
}

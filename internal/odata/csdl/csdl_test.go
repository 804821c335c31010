package csdl_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"allod/internal/odata/csdl"
)

func realFiles(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("../../../../shared/data/dataverse/csdl-*.xml.gz")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Skip("no real $metadata: ../shared/data is absent")
	}
	files := map[string][]byte{}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = body
	}
	return files
}

var sameModel = cmpopts.IgnoreUnexported(csdl.Model{})

func TestRealFilesRoundTrip(t *testing.T) {
	for name, body := range realFiles(t) {
		t.Run(name, func(t *testing.T) {
			m, err := csdl.ParseCSDL(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Ignored) > 0 {
				t.Errorf("left out %v", m.Ignored)
			}
			var out bytes.Buffer
			if err := m.Write(&out); err != nil {
				t.Fatal(err)
			}
			again, err := csdl.ParseCSDL(bytes.NewReader(out.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(again, m, sameModel); diff != "" {
				t.Errorf("parse(write(m)) differs from m:\n%s", diff)
			}
			// The writer keeps every start tag: nothing was lost on the way in.
			for _, tag := range []string{"<Property ", "<NavigationProperty ", "<ReferentialConstraint ", "<NavigationPropertyBinding ",
				"<Parameter ", "<ReturnType ", "<Member ", "<Annotation ", "<Record ", "<PropertyValue ", "<EntitySet ", "Nullable=\"false\"",
				"Unicode=\"false\"", "Scale=", "Partner=", "ContainsTarget=", "IsFlags=", "IsComposable=", "AppliesTo=", "Abstract="} {
				if got, want := bytes.Count(out.Bytes(), []byte(tag)), bytes.Count(body, []byte(tag)); got != want {
					t.Errorf("%s: got %d, want %d", tag, got, want)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for name, body := range realFiles(b) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := csdl.ParseCSDL(bytes.NewReader(body)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

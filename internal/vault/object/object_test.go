package object

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/mem"
)

func TestGetBoundsLengths(t *testing.T) {
	s := mem.New(mem.Options{})
	if err := Put(t.Context(), s, "a", []byte("12345")); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		limit int64
		want  string
		kind  allod.Kind
	}{
		{"a", 6, "12345", 0},
		{"a", 5, "12345", 0},
		{"a", 4, "", allod.Corrupt},
		{"b", 5, "", allod.NotFound},
	} {
		got, err := Get(t.Context(), s, tc.name, tc.limit)
		if string(got) != tc.want || allod.KindOf(err) != tc.kind {
			t.Errorf("%s of at most %d bytes: got %q, %v, want %q and kind %v", tc.name, tc.limit, got, err, tc.want, tc.kind)
		}
		if err != nil && !strings.Contains(err.Error(), "read "+tc.name) {
			t.Errorf("the error does not name the object: %v", err)
		}
	}
	if _, err := Get(t.Context(), s, "b", 5); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("an object that is not there: got %v, want blob.ErrNotFound", err)
	}
}

// endless gives more bytes than were asked for, without end.
type endless struct {
	blob.Store
	given int64
}

func (e *endless) Get(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return io.NopCloser(e), nil
}

func (e *endless) Read(p []byte) (int, error) {
	if e.given += int64(len(p)); e.given > 64<<20 {
		return 0, errors.New("nobody stops reading")
	}
	return len(p), nil
}

func TestStoreThatGivesMore(t *testing.T) {
	e := &endless{}
	if _, err := Get(t.Context(), e, "a", 1000); allod.KindOf(err) != allod.Corrupt || e.given > 1<<20 {
		t.Errorf("got %v after %d bytes, want kind corrupt", err, e.given)
	}
	e = &endless{}
	if n, err := NewReader(t.Context(), e, "a").ReadAt(make([]byte, 100), 5); n != 100 || err != nil || e.given > 1<<20 {
		t.Errorf("read at: got %d bytes of %d given, %v, want those asked for", n, e.given, err)
	}
}

func TestPutTwice(t *testing.T) {
	s := mem.New(mem.Options{})
	for _, tc := range []struct {
		what string
		err  error
		want allod.Kind
	}{
		{"the first", Put(t.Context(), s, "a", []byte("1")), 0},
		{"the second", Put(t.Context(), s, "a", []byte("1")), allod.Conflict},
		{"by digest", PutDigest(t.Context(), s, "d", 2, strings.NewReader("22")), 0},
		{"by digest again", PutDigest(t.Context(), s, "d", 2, strings.NewReader("22")), 0},
		{"by digest and of another size", PutDigest(t.Context(), s, "d", 3, strings.NewReader("333")), allod.Corrupt},
	} {
		if got := allod.KindOf(tc.err); got != tc.want {
			t.Errorf("%s: got kind %v (%v), want %v", tc.what, got, tc.err, tc.want)
		}
	}
}

func TestReader(t *testing.T) {
	s := mem.New(mem.Options{})
	if err := Put(t.Context(), s, "a", []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	r := NewReader(t.Context(), s, "a")
	for _, tc := range []struct {
		off, n int64
		want   string
		err    error
	}{{0, 10, "0123456789", nil}, {3, 4, "3456", nil}, {8, 4, "89", io.EOF}, {10, 1, "", io.EOF}} {
		b := make([]byte, tc.n)
		n, err := r.ReadAt(b, tc.off)
		if string(b[:n]) != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%d bytes at %d: got %q, %v, want %q, %v", tc.n, tc.off, b[:n], err, tc.want, tc.err)
		}
	}
	if _, err := NewReader(t.Context(), s, "b").ReadAt(make([]byte, 1), 0); allod.KindOf(err) != allod.Corrupt {
		t.Errorf("an object that the log names and nobody has: got %v, want kind corrupt", err)
	}
}

func TestNamedKeepsKindAndHint(t *testing.T) {
	if err := Named("packs/1", nil); err != nil {
		t.Errorf("nothing went wrong: got %v", err)
	}
	err := Named("packs/1", allod.WithHint(allod.Errorf(allod.Corrupt, "no"), "Look."))
	if allod.KindOf(err) != allod.Corrupt || allod.HintOf(err) != "Look." || err.Error() != "packs/1: no" {
		t.Errorf("got %q of kind %v with hint %q", err, allod.KindOf(err), allod.HintOf(err))
	}
}

func TestCopyStops(t *testing.T) {
	plain := bytes.Repeat([]byte("x"), 5<<20)
	var out bytes.Buffer
	if n, err := Copy(t.Context(), &out, bytes.NewReader(plain)); err != nil || n != int64(len(plain)) || !bytes.Equal(out.Bytes(), plain) {
		t.Errorf("copy: got %d bytes, %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := Copy(ctx, io.Discard, bytes.NewReader(plain)); !errors.Is(err, context.Canceled) || n != 0 {
		t.Errorf("copy after the end of its context: got %d bytes, %v", n, err)
	}
}

func TestTempIsRemoved(t *testing.T) {
	dir := t.TempDir()
	f, err := Temp(dir, "x-*")
	if err != nil {
		t.Fatal(err)
	}
	RemoveTemp(f)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if _, err := Temp(dir+"/none", "x-*"); allod.KindOf(err) != allod.Unavailable || allod.HintOf(err) == "" {
		t.Errorf("no folder: got %v, want kind unavailable with a hint", err)
	}
}

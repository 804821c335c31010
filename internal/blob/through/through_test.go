package through_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/blobcheck"
	"allod/internal/blob/mem"
	"allod/internal/blob/through"
)

func put(ctx context.Context, s blob.Store, name, data string) error {
	return s.Put(ctx, name, strings.NewReader(data), int64(len(data)), blob.PutOptions{})
}

func get(ctx context.Context, s blob.Store, name string) (string, error) {
	r, err := s.Get(ctx, name, 0, -1)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	return string(b), errors.Join(err, r.Close())
}

func list(t interface{ Fatal(...any) }, ctx context.Context, s blob.Store) []string {
	names := []string{}
	for info, err := range s.List(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, info.Name)
	}
	return names
}

func TestChecks(t *testing.T) {
	begun := time.Now()
	fast := func() time.Time { return begun.Add(10 * time.Since(begun)) }
	for _, c := range blobcheck.Checks() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			s := through.Wrap(mem.New(mem.Options{Versions: true, Now: fast}))
			err := c.Run(t.Context(), s)
			var skipped blobcheck.Skipped
			if errors.As(err, &skipped) && (c.Name == "replace" || c.Name == "nothing left" || c.Name == "lock grows" || strings.HasPrefix(c.Name, "version")) {
				return // it has the methods of blob.Store alone
			}
			if err != nil {
				t.Errorf("%v (%s)", err, c.Why)
			}
			if got := s.(blob.Witness).Tampered(); len(got) > 0 {
				t.Errorf("it says that the check tampered: %v", got)
			}
		})
	}
}

func TestPlainStoreIsLeftAlone(t *testing.T) {
	plain := mem.New(mem.Options{})
	if got := through.Wrap(plain); got != blob.Store(plain) {
		t.Errorf("a store without versions is wrapped into %T", got)
	}
}

// TestTampering: what somebody did to an object is read through and told.
func TestTampering(t *testing.T) {
	ctx := t.Context()
	for _, tc := range []struct {
		name, object string
		tamper       func(m *mem.Store, name string) error
		what         string // in the finding; "" = none
	}{
		{"untouched", "log/00000000000000000007", func(*mem.Store, string) error { return nil }, ""},
		{"overwritten", "log/00000000000000000007", func(m *mem.Store, n string) error { return m.Replace(ctx, n, []byte("forged")) }, "2 versions"},
		{"hidden", "log/00000000000000000007", func(m *mem.Store, n string) error { return m.Hide(ctx, n) }, "delete marker"},
		{"hidden and put anew", "vault", func(m *mem.Store, n string) error {
			return errors.Join(m.Hide(ctx, n), put(ctx, m, n, "forged"))
		}, "2 versions"},
		{"hidden twice", "packs/" + hexOf("body"), func(m *mem.Store, n string) error { return errors.Join(m.Hide(ctx, n), m.Hide(ctx, n)) }, "delete marker"},
		{"pack overwritten", "packs/" + hexOf("body"), func(m *mem.Store, n string) error { return m.Replace(ctx, n, []byte("forged")) }, "2 versions"},
		{"pack mended", "packs/" + hexOf("body"), func(m *mem.Store, n string) error {
			return errors.Join(m.Delete(ctx, n), put(ctx, m, n, "forged"), m.Replace(ctx, n, []byte("body")))
		}, ""},
	} {
		for _, early := range []bool{false, true} { // looked at before it was tampered with?
			t.Run(fmt.Sprintf("%s/%v", tc.name, early), func(t *testing.T) {
				m := mem.New(mem.Options{Versions: true})
				s := through.Wrap(m)
				if err := put(ctx, s, tc.object, "body"); err != nil {
					t.Fatal(err)
				}
				if early {
					if _, err := get(ctx, s, tc.object); err != nil {
						t.Fatal(err)
					}
				}
				if err := tc.tamper(m, tc.object); err != nil {
					t.Fatal(err)
				}
				if got, err := get(ctx, s, tc.object); got != "body" || err != nil {
					t.Errorf("got %q, %v, want what was put", got, err)
				}
				if info, err := s.Stat(ctx, tc.object); err != nil || info.Size != 4 {
					t.Errorf("stat: %+v, %v, want 4 bytes", info, err)
				}
				if d := cmp.Diff([]string{tc.object}, list(t, ctx, s)); d != "" {
					t.Errorf("list: -want +got\n%s", d)
				}
				again := "other"
				if strings.HasPrefix(tc.object, "packs/") {
					again = "body" // nobody puts other bytes under this name
				}
				if err := put(ctx, s, tc.object, again); !errors.Is(err, blob.ErrExists) && again == "other" {
					t.Errorf("put of it again: %v, want that it exists", err)
				}
				got := s.(blob.Witness).Tampered()
				if tc.what == "" && len(got) > 0 || tc.what != "" && (len(got) != 1 || got[0].Name != tc.object || !strings.Contains(got[0].What, tc.what)) {
					t.Errorf("tampering noticed: %v, want %q", got, tc.what)
				}
				if got, err := get(ctx, s, tc.object); got != "body" || err != nil {
					t.Errorf("after a second put: got %q, %v, want what was put first", got, err)
				}
			})
		}
	}
}

func hexOf(data string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(data))) }

// TestPutRace: a writer whose object is overwritten before it can look has put
// it all the same.
func TestPutRace(t *testing.T) {
	m := mem.New(mem.Options{Versions: true})
	s := through.Wrap(&overwrites{m})
	if err := put(t.Context(), s, "log/00000000000000000001", "entry"); err != nil {
		t.Errorf("put: %v", err)
	}
	if got, err := get(t.Context(), s, "log/00000000000000000001"); got != "entry" || err != nil {
		t.Errorf("got %q, %v, want the entry", got, err)
	}
}

// overwrites replaces every object as soon as it is put.
type overwrites struct{ *mem.Store }

func (o *overwrites) Put(ctx context.Context, name string, r io.Reader, size int64, opts blob.PutOptions) error {
	if err := o.Store.Put(ctx, name, r, size, opts); err != nil {
		return err
	}
	return o.Replace(ctx, name, []byte("forged"))
}

// TestNobodyChangesWhatIsRead: an attacker who may put, replace and hide, but
// not remove versions, against a writer and readers old and new. The model is a
// map.
func TestNobodyChangesWhatIsRead(t *testing.T) {
	ctx := t.Context()
	names := []string{"vault", "log/00000000000000000001", "log/00000000000000000002", "log/00000000000000001000", "ledger/entry/00000000000000000000", "packs/" + hexOf("a"), "packs/" + hexOf("b")}
	bodyOf := map[string]string{names[5]: "a", names[6]: "b"}
	rapid.Check(t, func(t *rapid.T) {
		m := mem.New(mem.Options{Versions: true})
		old := through.Wrap(m)
		model, touched := map[string]string{}, map[string]bool{}
		for i := range rapid.IntRange(1, 30).Draw(t, "steps") {
			name := rapid.SampledFrom(names).Draw(t, "name")
			body := bodyOf[name]
			if body == "" {
				body = fmt.Sprint("body ", i)
			}
			switch op := rapid.SampledFrom([]string{"put", "put", "replace", "hide", "read"}).Draw(t, "op"); {
			case op == "put":
				err := put(ctx, old, name, body)
				if _, there := model[name]; there != errors.Is(err, blob.ErrExists) && bodyOf[name] == "" || err != nil && !errors.Is(err, blob.ErrExists) {
					t.Fatalf("put of %s: %v, want that it exists: %v", name, err, there)
				}
				if _, there := model[name]; !there {
					model[name] = body
				}
			case op == "read":
			case model[name] == "":
				continue // what never was cannot be tampered with; junk under a free name is another matter
			case op == "replace":
				touched[name] = true
				if err := m.Replace(ctx, name, []byte("forged")); err != nil {
					t.Fatal(err)
				}
			case op == "hide":
				touched[name] = true
				if err := m.Hide(ctx, name); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range []blob.Store{old, through.Wrap(m)} {
				got, err := get(ctx, s, name)
				if want, there := model[name]; got != want || there != (err == nil) {
					t.Fatalf("%s: got %q, %v, want %q, there %v", name, got, err, want, there)
				}
			}
		}
		fresh := through.Wrap(m)
		if d := cmp.Diff(append([]string{}, slices.Sorted(maps.Keys(model))...), list(t, ctx, fresh)); d != "" {
			t.Fatalf("list: -want +got\n%s", d)
		}
		for _, f := range fresh.(blob.Witness).Tampered() {
			if !touched[f.Name] {
				t.Fatalf("%s: %s, but nobody touched it", f.Name, f.What)
			}
			delete(touched, f.Name)
		}
		for name := range touched {
			if bodyOf[name] == "" || lastIs(ctx, m, name, "forged") {
				t.Fatalf("that %s was tampered with was not noticed", name)
			}
		}
	})
}

// lastIs reports that the plain store shows other bytes than were put.
func lastIs(ctx context.Context, m *mem.Store, name, body string) bool {
	got, err := get(ctx, m, name)
	return err != nil || got == body
}

func TestDeletedAndPutAnew(t *testing.T) {
	ctx := t.Context()
	m := mem.New(mem.Options{Versions: true})
	s, other := through.Wrap(m), through.Wrap(m)
	if err := put(ctx, s, "a", "first"); err != nil {
		t.Fatal(err)
	}
	if got, err := get(ctx, s, "a"); got != "first" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	if err := errors.Join(other.Delete(ctx, "a"), put(ctx, other, "a", "second")); err != nil {
		t.Fatal(err)
	}
	if got, err := get(ctx, s, "a"); got != "second" || err != nil {
		t.Errorf("after another process deleted and put it: got %q, %v, want second", got, err)
	}
	if err := other.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := get(ctx, s, "a"); !errors.Is(err, blob.ErrNotFound) || allod.KindOf(err) != allod.NotFound {
		t.Errorf("after another process deleted it: %v, want that there is none", err)
	}
}

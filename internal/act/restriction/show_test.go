package restriction

import (
	"fmt"
	"slices"
	"testing"

	"allod"
	"allod/internal/act"
)

// show returns what a holder sees of a record: its names, newest first.
func (b *bench) show(container, key string, n int) (out []string, err error) {
	b.t.Helper()
	err = b.with(func(o *act.Office) error {
		s, err := Show(b.t.Context(), o, ShowRequest{Container: container, Table: "contact", ID: id(n).String(), Key: key})
		if err != nil {
			return err
		}
		for _, v := range s.Versions {
			out = append(out, string(v.Row)+v.Withheld)
		}
		// The same process shows others as before, and this one to nobody.
		b.want(1, "two number 1")
		return nil
	})
	return out, err
}

func row(name string, n int) string {
	return fmt.Sprintf(`{"@odata.etag":"W/\"%d\"","fullname":"%s"}`, n, name)
}

// TestShow shows holders what is out of everybody's sight, before and after an
// erasure under a hold, and nothing once it is destroyed.
func TestShow(t *testing.T) {
	b := newBench(t)
	for _, err := range []error{
		b.do(Restrict, "dispute", []string{"file:legal"}, 2),
		b.do(Keep, "court", []string{"file:court"}, 3),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.show("court", "file:court", 3); allod.KindOf(err) != allod.Conflict {
		t.Errorf("held and not erased: got %v, want kind conflict", err)
	}
	b.capture("two", 5)
	b.erase(request(3))
	b.want(3, "held")
	for _, tc := range []struct {
		container, key string
		n              int
		want           []string
	}{
		{"dispute", "file:legal", 2, []string{row("two number 2", 2), row("one number 2", 2)}},
		{"court", "file:court", 3, []string{row("two number 3", 3), row("one number 3", 3)}},
	} {
		got, err := b.show(tc.container, tc.key, tc.n)
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, %v, want %q", tc.container, got, err, tc.want)
		}
	}
	for what, tc := range map[string]struct {
		container, key string
		n              int
		want           allod.Kind
	}{
		"the key of the vault":         {"dispute", "file:key", 2, allod.Denied},
		"the key of another container": {"dispute", "file:court", 2, allod.Denied},
		"of another container":         {"dispute", "file:legal", 3, allod.NotFound},
		"no container":                 {"other", "file:legal", 2, allod.NotFound},
	} {
		if got, err := b.show(tc.container, tc.key, tc.n); allod.KindOf(err) != tc.want || got != nil {
			t.Errorf("%s: got %q, %v, want kind %v", what, got, err, tc.want)
		}
	}
	b.deps.Purpose = allod.PurposeDirectMarketing
	if _, err := b.show("dispute", "file:legal", 2); allod.KindOf(err) != allod.Denied {
		t.Errorf("to advertise: got %v, want kind denied", err)
	}
	b.deps.Purpose = ""
	if err := b.release("court"); err != nil {
		t.Fatal(err)
	}
	if got, err := b.show("court", "file:court", 3); err == nil {
		t.Errorf("released: got %q", got)
	}
	b.want(2, "restricted")
	b.must(func(o *act.Office) error {
		_, err := Lift(t.Context(), o, LiftRequest{Container: "dispute", Key: "file:legal", Told: b.now})
		return err
	})
	b.want(2, "two number 2")
}

// Package blobcheck holds the checks that every object store must pass before
// a vault may be put into it. The tests of each adapter run them, and so does
// `allod check store` against a real bucket. A check writes under a folder of
// its own below "blobcheck/" and removes what it wrote.
package blobcheck

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"allod"
	"allod/internal/blob"
)

// Check is one promise of a store.
type Check struct {
	Name string // short, for a line of output
	Why  string // what breaks in the vault when the promise is not kept; one sentence
	// Locks says that the check locks objects, which then stay for some
	// seconds whatever happens.
	Locks bool
	// Run returns nil when the promise is kept, Skipped when the store says in
	// the documented way that it lacks the ability. It may be called again.
	Run func(ctx context.Context, s blob.Store) error
}

// Skipped says why a check was not tried. It is no failure.
type Skipped string

// Error implements error.
func (s Skipped) Error() string { return string(s) }

// Checks returns all checks, in the order in which to run them.
func Checks() []Check {
	promise := func(name, why string, run func(context.Context, blob.Store, string) error) Check {
		return Check{Name: name, Why: why, Run: folder(run)}
	}
	lock := func(name, why string, run func(context.Context, blob.Store, string) error) Check {
		return Check{Name: name, Why: why, Locks: true, Run: folder(run)}
	}
	return []Check{
		promise("put then read", "a backup that cannot be read back is none", putGet),
		promise("empty object", "a table without rows still has its part", empty),
		promise("large object", "packs are up to some hundred megabytes", large),
		promise("ranges", "a single row is read by offset from inside a pack", ranges),
		promise("put if absent", "the number of a log entry is taken once, for ever", putIfAbsent),
		promise("16 racing puts", "put-if-absent is the vault's only mutual exclusion", race),
		promise("list order", "readers walk the log in order of number", listOrder),
		promise("list stops", "a reader that has seen enough must not pay for the rest", listStops),
		promise("missing object", "missing must be told apart from unreachable", missing),
		promise("delete", "destroying a slot is what makes an erasure final", deleteObject),
		promise("broken reader", "half a pack must never be visible", brokenReader),
		promise("wrong size", "a source that ends early must not pass for a whole object", wrongSize),
		promise("hostile names", "no name may lead out of the store", hostileNames),
		promise("cancelled context", "a cancelled backup must stop writing", cancelled),
		promise("replace", "a slot is replaced as a whole or not at all", replace),
		promise("versions", "what was overwritten or hidden is read through its versions", versions),
		promise("version deleted", "a slot is destroyed version by version", versionDeleted),
		promise("nothing left", "an old version of a slot would open what was erased", nothingLeft),
		lock("retention", "a lock that is accepted but not kept is worse than none", retention),
		lock("lock grows", "a lock that can be shortened keeps nobody from destroying the vault", lockGrows),
	}
}

// folder gives run a fresh folder name ending in "/" and removes what is left
// in it afterwards.
func folder(run func(ctx context.Context, s blob.Store, dir string) error) func(context.Context, blob.Store) error {
	return func(ctx context.Context, s blob.Store) error {
		dir := "blobcheck/" + strings.ToLower(rand.Text()) + "/"
		err := run(ctx, s, dir)
		for info, lerr := range s.List(ctx, dir) {
			if lerr != nil {
				return errors.Join(err, fmt.Errorf("clean up: %w", lerr))
			}
			if derr := s.Delete(ctx, info.Name); derr != nil {
				err = errors.Join(err, fmt.Errorf("clean up: %w", derr))
			}
		}
		return err
	}
}

func put(ctx context.Context, s blob.Store, name, data string) error {
	return s.Put(ctx, name, strings.NewReader(data), int64(len(data)), blob.PutOptions{})
}

func get(ctx context.Context, s blob.Store, name string, off, n int64) (data []byte, err error) {
	r, err := s.Get(ctx, name, off, n)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.ReadAll(r)
}

// wantBytes compares the whole object with want.
func wantBytes(ctx context.Context, s blob.Store, name, want string) error {
	got, err := get(ctx, s, name, 0, -1)
	if err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("get %s: %d bytes that differ from the %d bytes stored", name, len(got), len(want))
	}
	return nil
}

// orNil gives a nil error words, because %w has none.
func orNil(err error) error {
	if err == nil {
		return errors.New("nil")
	}
	return err
}

// wantErr checks the sentinel and the Kind of an error.
func wantErr(what string, err, sentinel error, kind allod.Kind) error {
	if sentinel != nil && !errors.Is(err, sentinel) {
		return fmt.Errorf("%s: got error %w, want %s", what, orNil(err), sentinel.Error())
	}
	if got := allod.KindOf(err); got != kind {
		return fmt.Errorf("%s: error %w has kind %v, want %v", what, orNil(err), got, kind)
	}
	return nil
}

// wantAbsent checks that neither Get, Stat nor List shows name.
func wantAbsent(ctx context.Context, s blob.Store, name string) error {
	_, gerr := get(ctx, s, name, 0, -1)
	_, serr := s.Stat(ctx, name)
	for info, err := range s.List(ctx, name) {
		if err != nil {
			return err
		}
		if info.Name == name {
			return fmt.Errorf("list shows %s, which must not exist", name)
		}
	}
	return errors.Join(
		wantErr("get of an object that must not exist", gerr, blob.ErrNotFound, allod.NotFound),
		wantErr("stat of an object that must not exist", serr, blob.ErrNotFound, allod.NotFound))
}

func putGet(ctx context.Context, s blob.Store, dir string) error {
	for _, size := range []int64{5, -1} {
		name := dir + fmt.Sprintf("object-%d", size+1)
		if err := s.Put(ctx, name, strings.NewReader("bytes"), size, blob.PutOptions{}); err != nil {
			return err
		}
		if err := wantBytes(ctx, s, name, "bytes"); err != nil {
			return err
		}
		info, err := s.Stat(ctx, name)
		if err != nil {
			return err
		}
		if info.Name != name || info.Size != 5 {
			return fmt.Errorf("stat: got name %q and size %d, want %q and 5", info.Name, info.Size, name)
		}
		if info.Modified.IsZero() || info.Modified.Location() != time.UTC {
			return fmt.Errorf("stat: modified is %v, want a time in UTC", info.Modified)
		}
	}
	return nil
}

func empty(ctx context.Context, s blob.Store, dir string) error {
	if err := put(ctx, s, dir+"empty", ""); err != nil {
		return err
	}
	if err := wantBytes(ctx, s, dir+"empty", ""); err != nil {
		return err
	}
	return wantErr("second put of an empty object", put(ctx, s, dir+"empty", "x"), blob.ErrExists, allod.Conflict)
}

// large stores 24 MiB that no buffer repeats, of unknown size, and compares
// digests.
func large(ctx context.Context, s blob.Store, dir string) error {
	const size = 24<<20 + 7
	h := sha256.New()
	body := io.TeeReader(io.LimitReader(&counter{}, size), h)
	if err := s.Put(ctx, dir+"large", body, -1, blob.PutOptions{}); err != nil {
		return err
	}
	want := h.Sum(nil)
	r, err := s.Get(ctx, dir+"large", 0, -1)
	if err != nil {
		return err
	}
	h.Reset()
	n, err := io.Copy(h, r)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if n != size || !bytes.Equal(h.Sum(nil), want) {
		return fmt.Errorf("large object: got %d bytes (want %d) or other content", n, size)
	}
	return nil
}

// counter is an endless reader of the numbers 0, 1, 2 … as 8 bytes each.
type counter struct{ n uint64 }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c.n >> 3 >> (8 * (c.n & 7)))
		c.n++
	}
	return len(p), nil
}

func ranges(ctx context.Context, s blob.Store, dir string) error {
	const data = "0123456789"
	if err := put(ctx, s, dir+"r", data); err != nil {
		return err
	}
	for _, tc := range []struct {
		off, n int64
		want   string
	}{
		{0, -1, data},
		{0, 10, data},
		{0, 3, "012"},
		{3, 4, "3456"},
		{9, 1, "9"},
		{7, -1, "789"},
		{7, 100, "789"},
		{10, -1, ""},
		{10, 5, ""},
		{11, 5, ""},
		{1 << 40, -1, ""},
		{4, 0, ""},
	} {
		got, err := get(ctx, s, dir+"r", tc.off, tc.n)
		if err != nil {
			return fmt.Errorf("range of %d bytes from %d: %w", tc.n, tc.off, err)
		}
		if string(got) != tc.want {
			return fmt.Errorf("range of %d bytes from %d: got %q, want %q", tc.n, tc.off, got, tc.want)
		}
	}
	_, err := get(ctx, s, dir+"r", -1, 1)
	return wantErr("negative offset", err, nil, allod.Invalid)
}

func putIfAbsent(ctx context.Context, s blob.Store, dir string) error {
	if err := put(ctx, s, dir+"o", "first"); err != nil {
		return err
	}
	for _, data := range []string{"other", "first"} {
		if err := wantErr("second put", put(ctx, s, dir+"o", data), blob.ErrExists, allod.Conflict); err != nil {
			return err
		}
	}
	return wantBytes(ctx, s, dir+"o", "first")
}

func race(ctx context.Context, s blob.Store, dir string) error {
	const racers = 16
	body := func(i int) string { return strings.Repeat(string(rune('a'+i)), 8<<10) }
	errs := make(chan error, racers)
	start := make(chan struct{})
	for i := range racers {
		go func() {
			<-start
			err := put(ctx, s, dir+"one", body(i))
			if err == nil {
				err = wantBytes(ctx, s, dir+"one", body(i)) // the winner reads its own bytes at once
				if err == nil {
					errs <- nil
					return
				}
			}
			errs <- err
		}()
	}
	close(start)
	winners := 0
	var failed error
	for range racers {
		switch err := <-errs; {
		case err == nil:
			winners++
		case !errors.Is(err, blob.ErrExists):
			failed = errors.Join(failed, err)
		}
	}
	if failed != nil {
		return fmt.Errorf("racing puts: %w", failed)
	}
	if winners != 1 {
		return fmt.Errorf("%d of %d racing puts won, want 1", winners, racers)
	}
	return nil
}

func listOrder(ctx context.Context, s blob.Store, dir string) error {
	names := []string{"a-b", "a.b", "a/x", "a/y/z", "a0", "a@1", "a_b", "b", "log/00000000000000000002", "log/00000000000000000010"}
	for i := range names {
		if err := put(ctx, s, dir+names[(i*7)%len(names)], "x"); err != nil {
			return err
		}
	}
	for _, tc := range []struct {
		prefix string
		want   []string
	}{
		{"", names},
		{"a/", []string{"a/x", "a/y/z"}},
		{"a", names[:7]},
		{"log/0000000000000000000", []string{"log/00000000000000000002"}},
		{"log", names[8:]},
		{"a/y", []string{"a/y/z"}},
		{"nothing/", nil},
		{"b/", nil},
	} {
		var got []string
		for info, err := range s.List(ctx, dir+tc.prefix) {
			if err != nil {
				return err
			}
			if info.Size != 1 || info.Modified.IsZero() {
				return fmt.Errorf("list: %s has size %d and time %v", info.Name, info.Size, info.Modified)
			}
			got = append(got, strings.TrimPrefix(info.Name, dir))
		}
		if !slices.Equal(got, tc.want) {
			return fmt.Errorf("list %q: got %q, want %q", tc.prefix, got, tc.want)
		}
	}
	return nil
}

func listStops(ctx context.Context, s blob.Store, dir string) error {
	for _, name := range []string{"a", "b/c", "d"} {
		if err := put(ctx, s, dir+name, "x"); err != nil {
			return err
		}
	}
	for want := 1; want <= 2; want++ {
		got := 0
		for _, err := range s.List(ctx, dir) {
			if err != nil {
				return err
			}
			if got++; got == want {
				break
			}
		}
		if got != want {
			return fmt.Errorf("list: got %d objects, want to stop after %d", got, want)
		}
	}
	return nil
}

func missing(ctx context.Context, s blob.Store, dir string) error {
	if err := wantAbsent(ctx, s, dir+"nothing"); err != nil {
		return err
	}
	// A folder is no object, and an object is no folder.
	if err := put(ctx, s, dir+"f/o", "x"); err != nil {
		return err
	}
	for _, name := range []string{"f", "f/o/x"} {
		if err := wantAbsent(ctx, s, dir+name); err != nil {
			return err
		}
	}
	return errors.Join(s.Delete(ctx, dir+"nothing"), s.Delete(ctx, dir+"f/o/x"))
}

func deleteObject(ctx context.Context, s blob.Store, dir string) error {
	if err := errors.Join(put(ctx, s, dir+"o", "x"), put(ctx, s, dir+"o2", "y")); err != nil {
		return err
	}
	for range 2 { // deleting what is gone is no error
		if err := s.Delete(ctx, dir+"o"); err != nil {
			return err
		}
		if err := wantAbsent(ctx, s, dir+"o"); err != nil {
			return err
		}
	}
	if err := wantBytes(ctx, s, dir+"o2", "y"); err != nil {
		return fmt.Errorf("neighbour of a deleted object: %w", err)
	}
	if err := put(ctx, s, dir+"o", "again"); err != nil {
		return fmt.Errorf("put after delete: %w", err)
	}
	return wantBytes(ctx, s, dir+"o", "again")
}

// errBroken is what the broken reader says.
var errBroken = errors.New("source broke off")

type brokenAfter struct {
	r io.Reader
}

func (b brokenAfter) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err == io.EOF {
		err = errBroken
	}
	return n, err
}

func brokenReader(ctx context.Context, s blob.Store, dir string) error {
	for _, size := range []int64{200 << 10, 100 << 10, -1} {
		r := brokenAfter{io.LimitReader(&counter{}, 100<<10)}
		err := s.Put(ctx, dir+"half", r, size, blob.PutOptions{})
		if !errors.Is(err, errBroken) {
			return fmt.Errorf("put of a reader that fails halfway: got error %w, want the reader's", orNil(err))
		}
		if err := wantAbsent(ctx, s, dir+"half"); err != nil {
			return err
		}
	}
	return put(ctx, s, dir+"half", "whole") // the name is not used up
}

func wrongSize(ctx context.Context, s blob.Store, dir string) error {
	for _, size := range []int64{4, 6, 0} {
		err := s.Put(ctx, dir+"o", strings.NewReader("bytes"), size, blob.PutOptions{})
		if err := wantErr(fmt.Sprintf("put of 5 bytes announced as %d", size), err, nil, allod.Invalid); err != nil {
			return err
		}
		if err := wantAbsent(ctx, s, dir+"o"); err != nil {
			return err
		}
	}
	return nil
}

func hostileNames(ctx context.Context, s blob.Store, dir string) error {
	for _, name := range []string{
		"", "/", "/etc/passwd", "..", "../x", dir + "../../x", dir + "./x", dir + "/x", dir, "X", "a b", "a\\b", "a\x00b", "a:b",
		"~tmp/x", "ü", dir + strings.Repeat("x", 256),
	} {
		_, gerr := get(ctx, s, name, 0, -1)
		_, serr := s.Stat(ctx, name)
		for what, err := range map[string]error{
			"put": put(ctx, s, name, "x"), "get": gerr, "stat": serr, "delete": s.Delete(ctx, name),
		} {
			if err := wantErr(fmt.Sprintf("%s of name %q", what, name), err, nil, allod.Invalid); err != nil {
				return err
			}
		}
	}
	for info, err := range s.List(ctx, "../") {
		if err == nil {
			return fmt.Errorf("list of ../ shows %q", info.Name)
		}
		return wantErr("list of ../", err, nil, allod.Invalid)
	}
	return errors.New("list of ../ is empty, want an error")
}

func cancelled(ctx context.Context, s blob.Store, dir string) error {
	over, cancel := context.WithCancel(ctx)
	cancel()
	err := put(over, s, dir+"o", "x")
	if err := wantErr("put under a cancelled context", err, context.Canceled, allod.Unavailable); err != nil {
		return err
	}
	return wantAbsent(ctx, s, dir+"o")
}

func replace(ctx context.Context, s blob.Store, dir string) error {
	m, ok := s.(blob.Mutable)
	if !ok {
		return Skipped("it replaces no objects")
	}
	old, fresh := strings.Repeat("o", 64<<10), strings.Repeat("n", 64<<10)
	if err := m.Replace(ctx, dir+"slot", []byte(old)); err != nil {
		return fmt.Errorf("replace of an object that does not exist: %w", err)
	}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			got, err := get(ctx, s, dir+"slot", 0, -1)
			if err == nil && string(got) != old && string(got) != fresh {
				err = fmt.Errorf("a reader saw %d bytes of neither the old nor the new object", len(got))
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	var err error
	for i := range 10 {
		err = errors.Join(err, m.Replace(ctx, dir+"slot", []byte([]string{fresh, old}[i%2])))
	}
	close(stop)
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	if err := wantBytes(ctx, s, dir+"slot", old); err != nil {
		return err
	}
	return wantErr("put over a replaced object", put(ctx, s, dir+"slot", "x"), blob.ErrExists, allod.Conflict)
}

package blobcheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"allod"
	"allod/internal/blob"
)

// keeper is a store that keeps versions and may replace objects.
type keeper interface {
	blob.Mutable
	blob.Versioned
}

func keeps(s blob.Store) (keeper, error) {
	k, ok := s.(keeper)
	if !ok {
		return nil, Skipped("it shows no versions")
	}
	if !k.KeepsVersions() {
		return nil, Skipped("it keeps no versions")
	}
	return k, nil
}

// Left returns what a store still has of a name: versions and delete markers,
// the newest first.
func Left(ctx context.Context, s blob.Versioned, name string) ([]blob.Version, error) {
	var all []blob.Version
	for v, err := range s.Versions(ctx, name) {
		if err != nil {
			return nil, err
		}
		if v.Name == name {
			all = append(all, v)
		}
	}
	return all, nil
}

func wantVersion(ctx context.Context, s blob.Versioned, name, id string, off, n int64, want string) error {
	r, err := s.GetVersion(ctx, name, id, off, n)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("get of %d bytes from %d of a version: got %d bytes that are not those stored", n, off, len(got))
	}
	return nil
}

// replaced puts and replaces an object, until it has one version per body, the
// last of which is current, and returns them, the newest first.
func replaced(ctx context.Context, s keeper, name string, bodies ...string) ([]blob.Version, error) {
	for i, body := range bodies {
		var err error
		if i == 0 {
			err = put(ctx, s, name, body)
		} else {
			err = s.Replace(ctx, name, []byte(body))
		}
		if err != nil {
			return nil, err
		}
	}
	all, err := Left(ctx, s, name)
	if err != nil {
		return nil, err
	}
	if len(all) != len(bodies) {
		return nil, fmt.Errorf("an object that was replaced %d times has %d versions", len(bodies)-1, len(all))
	}
	return all, nil
}

func versions(ctx context.Context, s blob.Store, dir string) error {
	k, err := keeps(s)
	if err != nil {
		return err
	}
	if err := put(ctx, k, dir+"object-2", "neighbour"); err != nil {
		return err
	}
	bodies := []string{"first", "second body", "third"}
	all, err := replaced(ctx, k, dir+"object", bodies...)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for i, v := range all {
		body := bodies[len(bodies)-1-i]
		if v.Size != int64(len(body)) || v.Current != (i == 0) || v.Marker || v.Modified.IsZero() || seen[v.ID] {
			return fmt.Errorf("version %d of %d from the newest has size %d and current %v, want %d and %v, and an id of its own", i, len(all), v.Size, v.Current, len(body), i == 0)
		}
		seen[v.ID] = true
		err := errors.Join(
			wantVersion(ctx, k, v.Name, v.ID, 0, -1, body), wantVersion(ctx, k, v.Name, v.ID, 1, 3, body[1:4]),
			wantVersion(ctx, k, v.Name, v.ID, 4, 99, body[4:]), wantVersion(ctx, k, v.Name, v.ID, 99, 1, ""))
		if err != nil {
			return err
		}
	}
	if err := wantBytes(ctx, k, dir+"object", "third"); err != nil {
		return err
	}
	_, err = k.GetVersion(ctx, dir+"nothing", all[0].ID, 0, -1)
	return wantErr("get of a version of an object that never was", err, blob.ErrNotFound, allod.NotFound)
}

func versionDeleted(ctx context.Context, s blob.Store, dir string) error {
	k, err := keeps(s)
	if err != nil {
		return err
	}
	name := dir + "object"
	all, err := replaced(ctx, k, name, "first", "second", "third")
	if err != nil {
		return err
	}
	for range 2 { // deleting what is gone is no error
		if err := k.DeleteVersion(ctx, name, all[1].ID); err != nil {
			return err
		}
	}
	_, err = k.GetVersion(ctx, name, all[1].ID, 0, -1)
	if err := wantErr("get of a version that was deleted", err, blob.ErrNotFound, allod.NotFound); err != nil {
		return err
	}
	if err := wantBytes(ctx, k, name, "third"); err != nil {
		return fmt.Errorf("after an old version was deleted: %w", err)
	}
	if err := k.DeleteVersion(ctx, name, all[0].ID); err != nil {
		return err
	}
	if err := wantBytes(ctx, k, name, "first"); err != nil {
		return fmt.Errorf("after the newest version was deleted: %w", err)
	}
	left, err := Left(ctx, k, name)
	if err == nil && len(left) != 1 {
		err = fmt.Errorf("%d versions are left of three of which two were deleted", len(left))
	}
	return err
}

// nothingLeft puts an object, replaces and deletes it, and asks for what is
// left of it. A store that shows no versions is believed.
func nothingLeft(ctx context.Context, s blob.Store, dir string) error {
	m, ok := s.(blob.Mutable)
	if !ok {
		return Skipped("it replaces no objects")
	}
	name := dir + "slot"
	err := put(ctx, m, name, "old")
	var ids []string
	for _, body := range []string{"new", "newer"} {
		err = errors.Join(err, m.Replace(ctx, name, []byte(strings.Repeat(body, 100))))
	}
	if err != nil {
		return err
	}
	k, versioned := s.(blob.Versioned)
	if versioned {
		all, err := Left(ctx, k, name)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return errors.New("an object that is there has no version")
		}
		for _, v := range all {
			ids = append(ids, v.ID)
		}
	}
	if err := m.Delete(ctx, name); err != nil {
		return err
	}
	if err := wantAbsent(ctx, m, name); err != nil || !versioned {
		return err
	}
	left, err := Left(ctx, k, name)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%d versions or delete markers are left of an object that was deleted", len(left))
	}
	for _, id := range ids {
		_, err := k.GetVersion(ctx, name, id, 0, -1)
		if err := wantErr("get of a version of an object that was deleted", err, blob.ErrNotFound, allod.NotFound); err != nil {
			return err
		}
	}
	return nil
}

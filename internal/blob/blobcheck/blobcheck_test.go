package blobcheck_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"testing"
	"time"

	"allod"
	"allod/internal/blob"
	"allod/internal/blob/blobcheck"
	"allod/internal/blob/mem"
)

// broken is a good store with methods that a flaw replaces.
type broken struct {
	*mem.Store
	put    func(ctx context.Context, name string, r io.Reader, size int64, opts blob.PutOptions) error
	get    func(ctx context.Context, name string, off, n int64) (io.ReadCloser, error)
	list   func(ctx context.Context, prefix string) iter.Seq2[blob.Info, error]
	stat   func(ctx context.Context, name string) (blob.Info, error)
	remove func(ctx context.Context, name string) error

	versions      func(ctx context.Context, prefix string) iter.Seq2[blob.Version, error]
	removeVersion func(ctx context.Context, name, id string) error
	lock          func(ctx context.Context, name string, until time.Time) error
}

func (b *broken) Put(ctx context.Context, name string, r io.Reader, size int64, opts blob.PutOptions) error {
	return b.put(ctx, name, r, size, opts)
}

func (b *broken) Get(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
	return b.get(ctx, name, off, n)
}

func (b *broken) List(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return b.list(ctx, prefix)
}

func (b *broken) Stat(ctx context.Context, name string) (blob.Info, error) { return b.stat(ctx, name) }

func (b *broken) Delete(ctx context.Context, name string) error { return b.remove(ctx, name) }

func (b *broken) Versions(ctx context.Context, prefix string) iter.Seq2[blob.Version, error] {
	return b.versions(ctx, prefix)
}

func (b *broken) DeleteVersion(ctx context.Context, name, id string) error {
	return b.removeVersion(ctx, name, id)
}

func (b *broken) Lock(ctx context.Context, name string, until time.Time) error {
	return b.lock(ctx, name, until)
}

// TestEveryFlawIsFound plants one flaw at a time and expects the check named.
func TestEveryFlawIsFound(t *testing.T) {
	for _, tc := range []struct {
		flaw, check string
		plant       func(b *broken, good *mem.Store)
	}{
		{"put overwrites", "put if absent", func(b *broken, good *mem.Store) {
			b.put = func(ctx context.Context, name string, r io.Reader, _ int64, _ blob.PutOptions) error {
				data, err := io.ReadAll(r)
				return errors.Join(err, good.Replace(ctx, name, data))
			}
		}},
		{"put looks, then writes", "16 racing puts", func(b *broken, good *mem.Store) {
			b.put = func(ctx context.Context, name string, r io.Reader, _ int64, _ blob.PutOptions) error {
				if _, err := good.Stat(ctx, name); err == nil {
					return allod.Errorf(allod.Conflict, "%w", blob.ErrExists)
				}
				time.Sleep(20 * time.Millisecond)
				data, err := io.ReadAll(r)
				return errors.Join(err, good.Replace(ctx, name, data))
			}
		}},
		{"existing object is a plain error", "put if absent", func(b *broken, good *mem.Store) {
			b.put = func(ctx context.Context, name string, r io.Reader, size int64, opts blob.PutOptions) error {
				if good.Put(ctx, name, r, size, opts) != nil {
					return errors.New("412")
				}
				return nil
			}
		}},
		{"half an object stays", "broken reader", func(b *broken, good *mem.Store) {
			b.put = func(ctx context.Context, name string, r io.Reader, _ int64, opts blob.PutOptions) error {
				data, err := io.ReadAll(r)
				return errors.Join(err, good.Put(ctx, name, bytes.NewReader(data), -1, opts))
			}
		}},
		{"size is not looked at", "wrong size", func(b *broken, good *mem.Store) {
			b.put = func(ctx context.Context, name string, r io.Reader, _ int64, opts blob.PutOptions) error {
				return good.Put(ctx, name, r, -1, opts)
			}
		}},
		{"lock accepted and forgotten", "retention", func(b *broken, good *mem.Store) {
			b.put = func(ctx context.Context, name string, r io.Reader, size int64, _ blob.PutOptions) error {
				return good.Put(ctx, name, r, size, blob.PutOptions{})
			}
		}},
		{"context ignored", "cancelled context", func(b *broken, good *mem.Store) {
			b.put = func(ctx context.Context, name string, r io.Reader, size int64, opts blob.PutOptions) error {
				return good.Put(context.WithoutCancel(ctx), name, r, size, opts)
			}
		}},
		{"large objects are cut", "large object", func(b *broken, good *mem.Store) {
			b.put = func(ctx context.Context, name string, r io.Reader, _ int64, opts blob.PutOptions) error {
				return good.Put(ctx, name, io.LimitReader(r, 1<<20), -1, opts)
			}
		}},
		{"offset is ignored", "ranges", func(b *broken, good *mem.Store) {
			b.get = func(ctx context.Context, name string, _, n int64) (io.ReadCloser, error) {
				return good.Get(ctx, name, 0, n)
			}
		}},
		{"missing looks like an outage", "missing object", func(b *broken, good *mem.Store) {
			b.get = func(ctx context.Context, name string, off, n int64) (io.ReadCloser, error) {
				r, err := good.Get(ctx, name, off, n)
				if err != nil {
					return nil, allod.Errorf(allod.Unavailable, "get: %v", err)
				}
				return r, nil
			}
		}},
		{"list is unsorted", "list order", func(b *broken, good *mem.Store) {
			b.list = func(ctx context.Context, prefix string) iter.Seq2[blob.Info, error] {
				return func(yield func(blob.Info, error) bool) {
					var all []blob.Info
					for info := range good.List(ctx, prefix) {
						all = append(all, info)
					}
					for _, info := range slices.Backward(all) {
						if !yield(info, nil) {
							return
						}
					}
				}
			}
		}},
		{"names are not checked", "hostile names", func(b *broken, good *mem.Store) {
			b.remove = func(context.Context, string) error { return nil }
		}},
		{"delete does nothing", "delete", func(b *broken, good *mem.Store) {
			b.remove = func(context.Context, string) error { return nil }
		}},
		{"time is not UTC", "put then read", func(b *broken, good *mem.Store) {
			b.stat = func(ctx context.Context, name string) (blob.Info, error) {
				info, err := good.Stat(ctx, name)
				info.Modified = info.Modified.In(time.FixedZone("x", 3600))
				return info, err
			}
		}},
		{"delete only hides", "nothing left", func(b *broken, good *mem.Store) { b.remove = good.Hide }},
		{"versions are listed oldest first", "versions", func(b *broken, good *mem.Store) {
			b.versions = func(ctx context.Context, prefix string) iter.Seq2[blob.Version, error] {
				return func(yield func(blob.Version, error) bool) {
					var all []blob.Version
					for v := range good.Versions(ctx, prefix) {
						all = append(all, v)
					}
					for _, v := range slices.Backward(all) {
						if !yield(v, nil) {
							return
						}
					}
				}
			}
		}},
		{"deleting a version does nothing", "version deleted", func(b *broken, _ *mem.Store) {
			b.removeVersion = func(context.Context, string, string) error { return nil }
		}},
		{"locks do not keep versions", "retention", func(b *broken, good *mem.Store) {
			b.removeVersion = func(context.Context, string, string) error { return nil }
		}},
		{"locks can be shortened", "lock grows", func(b *broken, _ *mem.Store) {
			b.lock = func(context.Context, string, time.Time) error { return nil }
		}},
	} {
		t.Run(tc.flaw, func(t *testing.T) {
			t.Parallel()
			good := mem.New(mem.Options{Versions: true})
			b := &broken{
				Store: good, put: good.Put, get: good.Get, list: good.List, stat: good.Stat, remove: good.Delete,
				versions: good.Versions, removeVersion: good.DeleteVersion, lock: good.Lock,
			}
			tc.plant(b, good)
			for _, c := range blobcheck.Checks() {
				if c.Name != tc.check {
					continue
				}
				var skipped blobcheck.Skipped
				if err := c.Run(t.Context(), b); err == nil || errors.As(err, &skipped) {
					t.Errorf("check %q does not find it: %v", c.Name, err)
				}
				return
			}
			t.Fatalf("no check is called %q", tc.check)
		})
	}
}

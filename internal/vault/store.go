package vault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"strconv"
	"sync"

	"allod"
	"allod/internal/blob"
	vlog "allod/internal/vault/log"
)

// getBytes reads a whole object of at most limit bytes.
func getBytes(ctx context.Context, s blob.Store, name string, limit int64) (_ []byte, err error) {
	r, err := s.Get(ctx, name, 0, limit+1)
	if err != nil {
		return nil, allod.Errorf(allod.KindOf(err), "read %s: %w", name, err)
	}
	defer func() { _ = r.Close() }() // what was read is checked by the caller
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, allod.Errorf(allod.KindOf(err), "read %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, allod.Errorf(allod.Corrupt, "read %s: it is larger than %d bytes", name, limit)
	}
	return b, nil
}

// putBytes stores a small object if it is absent.
func putBytes(ctx context.Context, s blob.Store, name string, b []byte) error {
	if err := s.Put(ctx, name, bytes.NewReader(b), int64(len(b)), blob.PutOptions{}); err != nil {
		kind := allod.KindOf(err)
		if errors.Is(err, blob.ErrExists) {
			kind = allod.Conflict
		}
		return allod.WithHint(allod.Errorf(kind, "write %s: %w", name, err), "%s", allod.HintOf(err))
	}
	return nil
}

// objectReader reads an object at random; a missing one is Corrupt, since the
// log names it.
type objectReader struct {
	ctx  context.Context // the life of the vault, see Vault.life
	s    blob.Store
	name string
}

// ReadAt implements io.ReaderAt.
func (o *objectReader) ReadAt(p []byte, off int64) (int, error) {
	r, err := o.s.Get(o.ctx, o.name, off, int64(len(p)))
	if err != nil {
		return 0, missing(o.name, err)
	}
	n, err := io.ReadFull(r, p)
	if e := r.Close(); err == nil && e != nil {
		err = e
	}
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	if err != nil && err != io.EOF {
		err = allod.Errorf(allod.KindOf(err), "read %s: %w", o.name, err)
	}
	return n, err
}

// missing turns "no such object" into Corrupt for objects that the log names.
func missing(name string, err error) error {
	if errors.Is(err, blob.ErrNotFound) {
		return allod.Errorf(allod.Corrupt, "read %s: it is missing", name)
	}
	return allod.Errorf(allod.KindOf(err), "read %s: %w", name, err)
}

// logged is a log entry as it is kept in memory: without its sealed part.
type logged struct {
	vlog.Entry
	digest vlog.Digest
	size   int64
}

// logState is the log as far as this process has read and checked it.
type logState struct {
	mu      sync.Mutex
	chain   vlog.Chain
	entries []*logged
}

// snapshot returns the entries known now.
func (l *logState) snapshot() []*logged {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[:len(l.entries):len(l.entries)]
}

// refresh reads the entries that came since, checks them and keeps them.
func (v *Vault) refresh(ctx context.Context) error {
	v.log.mu.Lock()
	defer v.log.mu.Unlock()
	for {
		n := v.log.chain.N + 1
		b, err := getBytes(ctx, v.cfg.Store, vlog.EntryName(n), vlog.MaxEntry)
		if errors.Is(err, blob.ErrNotFound) {
			return v.endOfLog(ctx, n)
		}
		if err != nil {
			return err
		}
		if _, err := v.log.add(b, n, v.cfg.Pin); err != nil {
			return err
		}
	}
}

// endOfLog makes sure that n is missing because the log ends, not because an
// entry was taken away. It asks only when the log was read from its beginning.
func (v *Vault) endOfLog(ctx context.Context, n uint64) error {
	if len(v.log.entries) > 0 && v.log.entries[len(v.log.entries)-1].N != n-1 {
		return allod.Errorf(allod.Internal, "read the log: entry %d is out of place", n)
	}
	for i := uint64(1); i <= 2; i++ {
		if _, err := v.cfg.Store.Stat(ctx, vlog.EntryName(n+i)); err == nil {
			return allod.Errorf(allod.Corrupt, "read %s: it is missing, although a later entry is there", vlog.EntryName(n))
		} else if !errors.Is(err, blob.ErrNotFound) {
			return allod.Errorf(allod.KindOf(err), "read %s: %w", vlog.EntryName(n+i), err)
		}
	}
	return nil
}

// add checks entry n and appends it.
func (l *logState) add(b []byte, n uint64, pin Pin) (*logged, error) {
	e, digest, err := vlog.Decode(b, n, pin)
	if err == nil {
		err = l.chain.Add(e, digest)
	}
	if err != nil {
		return nil, named(vlog.EntryName(n), err)
	}
	le := &logged{Entry: *e, digest: digest, size: int64(len(b))}
	le.Sealed = nil
	l.entries = append(l.entries, le)
	return le, nil
}

// named puts the name of an object before an error, keeping kind and hint.
func named(name string, err error) error {
	if err == nil {
		return nil
	}
	return allod.WithHint(allod.Errorf(allod.KindOf(err), "%s: %w", name, err), "%s", allod.HintOf(err))
}

// entryBytes reads entry n again and checks that it is still the one known.
func (v *Vault) entryBytes(ctx context.Context, e *logged) (*vlog.Entry, error) {
	b, err := getBytes(ctx, v.cfg.Store, vlog.EntryName(e.N), vlog.MaxEntry)
	if err != nil {
		return nil, missing(vlog.EntryName(e.N), err)
	}
	if sha256.Sum256(b) != e.digest {
		return nil, allod.Errorf(allod.Corrupt, "read %s: it is not the entry that stood there before", vlog.EntryName(e.N))
	}
	full, _, err := vlog.Decode(b, e.N, v.cfg.Pin)
	return full, named(vlog.EntryName(e.N), err)
}

// entry returns the entry with number n.
func (v *Vault) entry(n uint64) (*logged, error) {
	all := v.log.snapshot()
	if n == 0 || n > uint64(len(all)) {
		return nil, allod.Errorf(allod.NotFound, "find snapshot %s: the log has no such entry", strconv.FormatUint(n, 10))
	}
	return all[n-1], nil
}

// addOwn appends the entry this process has just written, unless another
// goroutine has read it already.
func (l *logState) addOwn(b []byte, n uint64, pin Pin) (*logged, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n <= uint64(len(l.entries)) {
		return l.entries[n-1], nil
	}
	return l.add(b, n, pin)
}

// wouldFollow checks an entry against the log before it is put: an entry that
// no reader accepts would make the vault unreadable.
func (l *logState) wouldFollow(e *vlog.Entry, digest vlog.Digest) error {
	l.mu.Lock()
	chain := l.chain
	chain.Epochs, chain.Capture = maps.Clone(chain.Epochs), maps.Clone(chain.Capture)
	l.mu.Unlock()
	if e.N != chain.N+1 {
		return nil // taken meanwhile: the put will say so
	}
	return chain.Add(e, digest)
}

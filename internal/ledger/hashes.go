package ledger

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"

	"allod"
	"allod/internal/blob"
)

// hashes finds the hashes of the tree: the recent ones in memory, older ones
// in stored tiles. What it reads from tiles is believed only as far as a root
// computed from it equals a signed one, or a proof made from it checks.
type hashes struct {
	store     blob.Store
	published int64               // tiles up to this many entries are stored
	known     map[int64]tlog.Hash // by tlog.StoredHashIndex
}

func newHashes(store blob.Store, published int64) *hashes {
	return &hashes{store: store, published: published, known: map[int64]tlog.Hash{}}
}

// clone returns hashes that may be filled without touching h.
func (h *hashes) clone() *hashes {
	c := newHashes(h.store, h.published)
	for i, v := range h.known {
		c.known[i] = v
	}
	return c
}

// reader binds h to a context for tlog.
func (h *hashes) reader(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			level, n := tlog.SplitStoredHashIndex(x)
			v, err := h.at(ctx, level, n)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	})
}

// at returns the hash at the given level (0 = leaves) and position.
func (h *hashes) at(ctx context.Context, level int, n int64) (tlog.Hash, error) {
	index := tlog.StoredHashIndex(level, n)
	if v, ok := h.known[index]; ok {
		return v, nil
	}
	if level%tileHeight == 0 {
		if err := h.load(ctx, level/tileHeight, n/tileWidth); err != nil {
			return tlog.Hash{}, err
		}
		if v, ok := h.known[index]; ok {
			return v, nil
		}
		return tlog.Hash{}, allod.Errorf(allod.Internal, "read the ledger: hash %d of level %d is not in the tree", n, level)
	}
	left, err := h.at(ctx, level-1, 2*n)
	if err != nil {
		return tlog.Hash{}, err
	}
	right, err := h.at(ctx, level-1, 2*n+1)
	if err != nil {
		return tlog.Hash{}, err
	}
	v := tlog.NodeHash(left, right)
	h.known[index] = v
	return v, nil
}

// load reads the widest stored tile at tile level l, position n.
func (h *hashes) load(ctx context.Context, l int, n int64) error {
	width := min(tileWidth, h.published>>(tileHeight*l)-n*tileWidth)
	if width <= 0 {
		return allod.Errorf(allod.Internal, "read the ledger: tile %d of level %d is not stored yet", n, l)
	}
	t := tlog.Tile{H: tileHeight, L: l, N: n, W: int(width)}
	data, err := read(ctx, h.store, tileName(t), width*tlog.HashSize)
	if err != nil {
		return err
	}
	if int64(len(data)) != width*tlog.HashSize {
		return allod.Errorf(allod.Corrupt, "read %s: %d bytes, want %d", tileName(t), len(data), width*tlog.HashSize)
	}
	for i := range width {
		h.known[tlog.StoredHashIndex(l*tileHeight, n*tileWidth+i)] = tlog.Hash(data[i*tlog.HashSize:])
	}
	return nil
}

// add takes the object of entry n into the tree and returns the new root.
func (h *hashes) add(ctx context.Context, n int64, object []byte) (tlog.Hash, error) {
	stored, err := tlog.StoredHashes(n, object, h.reader(ctx))
	if err != nil {
		return tlog.Hash{}, keepKind(err, "add entry %d to the tree: %w", n, err)
	}
	first := tlog.StoredHashIndex(0, n)
	for i, v := range stored {
		h.known[first+int64(i)] = v
	}
	return h.root(ctx, n+1)
}

// root returns the hash of the tree of the first size entries.
func (h *hashes) root(ctx context.Context, size int64) (tlog.Hash, error) {
	if size == 0 {
		return emptyTree(), nil
	}
	v, err := tlog.TreeHash(size, h.reader(ctx))
	if err != nil {
		return tlog.Hash{}, keepKind(err, "hash the tree of %d entries: %w", size, err)
	}
	return v, nil
}

// prune forgets what the stored tiles up to size hold, except the right edge
// that later tiles continue.
func (h *hashes) prune(size int64) {
	h.published = size
	for index := range h.known {
		level, n := tlog.SplitStoredHashIndex(index)
		complete := size >> level // hashes of that level within size
		if level%tileHeight == 0 && level > 0 && n >= complete&^(tileWidth-1) || n >= complete {
			continue
		}
		delete(h.known, index)
	}
}

func keepKind(err error, format string, args ...any) error {
	return allod.Errorf(allod.KindOf(err), format, args...)
}

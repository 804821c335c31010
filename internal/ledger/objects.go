package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"allod"
	"allod/internal/blob"
)

// Names of the objects of a ledger.
const (
	prefix           = "ledger/"
	entryPrefix      = "ledger/entry/"
	checkpointPrefix = "ledger/checkpoint/"
	tilePrefix       = "ledger/tile/"
)

// Tiles are 256 hashes wide: height 8, as in C2SP tlog-tiles.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

func entryName(n int64) string      { return fmt.Sprintf("%s%020d", entryPrefix, n) }
func checkpointName(n int64) string { return fmt.Sprintf("%s%020d", checkpointPrefix, n) }

// tileName is the path of C2SP tlog-tiles, e.g. ledger/tile/1/000.p/3: that of
// tlog without its height.
func tileName(t tlog.Tile) string {
	return prefix + "tile/" + strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/", tileHeight))
}

func parseTileName(name string) (tlog.Tile, bool) {
	rest, ok := strings.CutPrefix(name, tilePrefix)
	if !ok {
		return tlog.Tile{}, false
	}
	t, err := tlog.ParseTilePath(fmt.Sprintf("tile/%d/%s", tileHeight, rest))
	if err != nil || t.L < 0 || t.L > 7 || tileName(t) != name {
		return tlog.Tile{}, false
	}
	return t, true
}

// number reads the 20 digits of a name under prefix.
func number(name, prefix string) (int64, bool) {
	s, ok := strings.CutPrefix(name, prefix)
	if !ok || len(s) != 20 {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && fmt.Sprintf("%020d", n) == s
}

// read returns a whole object of at most limit bytes; a longer one is Corrupt.
func read(ctx context.Context, store blob.Store, name string, limit int64) ([]byte, error) {
	r, err := store.Get(ctx, name, 0, limit+1)
	if err != nil {
		kind := allod.KindOf(err)
		if errors.Is(err, blob.ErrNotFound) {
			kind = allod.NotFound
		}
		return nil, allod.Errorf(kind, "read %s: %w", name, err)
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	_ = r.Close() // nothing was written; what was read is checked below
	if err != nil {
		return nil, allod.Errorf(allod.KindOf(err), "read %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, allod.Errorf(allod.Corrupt, "read %s: longer than %d bytes", name, limit)
	}
	return b, nil
}

// fetch reads entries from..from+count-1, several at once, and returns those
// before the first that is missing. An entry after a missing one is Corrupt.
func (l *Ledger) fetch(ctx context.Context, from int64, count int) ([][]byte, error) {
	objects := make([][]byte, count)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range objects {
		g.Go(func() error {
			b, err := read(gctx, l.store, entryName(from+int64(i)), maxObject)
			if allod.KindOf(err) == allod.NotFound {
				return nil
			}
			objects[i] = b
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i := range objects {
		if objects[i] != nil {
			continue
		}
		for j := i + 1; j < count; j++ {
			if objects[j] == nil {
				continue
			}
			// Another process may have appended while we read: ask again.
			b, err := read(ctx, l.store, entryName(from+int64(i)), maxObject)
			if allod.KindOf(err) == allod.NotFound {
				return nil, allod.Errorf(allod.Corrupt, "read the ledger: entry %d is missing, entry %d is there", from+int64(i), from+int64(j))
			}
			if err != nil {
				return nil, err
			}
			objects[i] = b
			break
		}
		if objects[i] == nil {
			return objects[:i], nil
		}
	}
	return objects, nil
}

// checkpointSizes lists the sizes of stored checkpoints, ascending; of very
// many only the last ones.
func (l *Ledger) checkpointSizes(ctx context.Context) ([]int64, error) {
	const keep = 1024
	var sizes []int64
	for info, err := range l.store.List(ctx, checkpointPrefix) {
		if err != nil {
			return nil, allod.Errorf(allod.KindOf(err), "list the checkpoints of the ledger: %w", err)
		}
		if n, ok := number(info.Name, checkpointPrefix); ok && n > 0 && n%tileWidth == 0 {
			if len(sizes) == 2*keep {
				sizes = append(sizes[:0], sizes[keep:]...)
			}
			sizes = append(sizes, n)
		}
	}
	return sizes, nil
}

func (l *Ledger) readCheckpoint(ctx context.Context, size int64) (Head, error) {
	object, err := read(ctx, l.store, checkpointName(size), maxObject)
	if err != nil {
		return Head{}, err
	}
	text, err := openNote(object, l.verifiers)
	if err != nil {
		return Head{}, err
	}
	h, err := parseCheckpoint(text, l.vault)
	if err != nil {
		return Head{}, err
	}
	if h.Size != size {
		return Head{}, allod.Errorf(allod.Corrupt, "%s: holds the checkpoint of size %d", checkpointName(size), h.Size)
	}
	return h, nil
}

// publish puts the tiles and the checkpoint of every full 256 entries that
// have none yet. l.mu is held. The checkpoint comes last: it says that its
// tiles are there.
func (l *Ledger) publish(ctx context.Context) error {
	for l.published+tileWidth <= l.head.Size {
		size := l.published + tileWidth
		root, err := l.hashes.root(ctx, size)
		if err != nil {
			return err
		}
		for _, t := range tlog.NewTiles(tileHeight, l.published, size) {
			data, err := tlog.ReadTileData(t, l.hashes.reader(ctx))
			if err != nil {
				return allod.Errorf(allod.Internal, "make %s: %w", tileName(t), err)
			}
			if err := l.putSame(ctx, tileName(t), data); err != nil {
				return err
			}
		}
		object, err := signNote(checkpointText(l.vault, Head{Size: size, Hash: root}), l.signer)
		if err != nil {
			return err
		}
		name := checkpointName(size)
		err = l.store.Put(ctx, name, bytes.NewReader(object), int64(len(object)), blob.PutOptions{})
		if err != nil && !errors.Is(err, blob.ErrExists) { // another process, perhaps with another key, was first
			return allod.Errorf(allod.KindOf(err), "put %s: %w", name, err)
		}
		l.published = size
		l.hashes.prune(size)
	}
	return nil
}

// putSame puts an object that everybody derives alike; other bytes under its
// name are Corrupt.
func (l *Ledger) putSame(ctx context.Context, name string, data []byte) error {
	err := l.store.Put(ctx, name, bytes.NewReader(data), int64(len(data)), blob.PutOptions{})
	if err == nil {
		return nil
	}
	if !errors.Is(err, blob.ErrExists) {
		return allod.Errorf(allod.KindOf(err), "put %s: %w", name, err)
	}
	stored, err := read(ctx, l.store, name, int64(len(data)))
	if err != nil {
		return err
	}
	if !bytes.Equal(stored, data) {
		return allod.Errorf(allod.Corrupt, "put %s: the store holds other hashes under that name", name)
	}
	return nil
}

package pack

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"slices"

	"allod"
)

// What a frame is that a compaction keeps.
const (
	KeptSchema   uint8 = 1
	KeptManifest uint8 = 2
)

const (
	keptMagic = "allodKP1"
	keptWidth = 8 + 1 + sha256.Size
)

// Kept is the schema or the manifest of a capture, as its last pack had it: a
// frame among the small files of the last pack of a compaction (FORMAT.md §6.4).
type Kept struct {
	Entry uint64 // log number of the capture
	What  uint8  // KeptSchema or KeptManifest
	Hash  [sha256.Size]byte
}

// ID returns the id that the frame stands under.
func (k *Kept) ID() [16]byte { return [16]byte(k.Hash[:16]) }

func compareKept(a, b Kept) int {
	return cmp.Or(cmp.Compare(a.Entry, b.Entry), cmp.Compare(a.What, b.What))
}

// EncodeKept returns the manifest section of the last pack of a compaction; it
// sorts the list.
func EncodeKept(list []Kept) []byte {
	slices.SortFunc(list, compareKept)
	b := binary.BigEndian.AppendUint32([]byte(keptMagic), uint32(len(list)))
	b = binary.BigEndian.AppendUint32(b, 0)
	for i := range list {
		b = binary.BigEndian.AppendUint64(b, list[i].Entry)
		b = append(append(b, list[i].What), list[i].Hash[:]...)
	}
	return b
}

// Kept returns what the last pack of a compaction keeps, ascending. Corrupt for
// any other pack.
func (r *Reader) Kept() ([]Kept, error) {
	b, err := r.section(secManifest)
	if err != nil {
		return nil, err
	}
	bad := allod.Errorf(allod.Corrupt, "read a pack: what a compaction keeps is not well formed")
	if len(b) < 16 || string(b[:8]) != keptMagic || uint64(binary.BigEndian.Uint32(b[8:]))*keptWidth != uint64(len(b)-16) {
		return nil, bad
	}
	out := make([]Kept, (len(b)-16)/keptWidth)
	for i := range out {
		at := b[16+i*keptWidth:]
		out[i] = Kept{Entry: binary.BigEndian.Uint64(at), What: at[8], Hash: [sha256.Size]byte(at[9:keptWidth])}
		if w := out[i].What; w != KeptSchema && w != KeptManifest || i > 0 && compareKept(out[i-1], out[i]) >= 0 {
			return nil, bad
		}
	}
	if !bytes.Equal(EncodeKept(slices.Clone(out)), b) {
		return nil, bad
	}
	return out, nil
}

// Frame returns what a capture's pack had; empty when it had none. Corrupt if it
// is not what the pack says.
func (r *Reader) Frame(entry uint64, what uint8) ([]byte, error) {
	list, err := r.Kept()
	if err != nil {
		return nil, err
	}
	i, found := slices.BinarySearchFunc(list, Kept{Entry: entry, What: what}, compareKept)
	if !found {
		return nil, nil
	}
	f, err := r.Blob(list[i].ID())
	if err != nil {
		return nil, allod.Errorf(allod.Corrupt, "read a pack: a frame that it names is not there")
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, allod.Errorf(allod.KindOf(err), "read a pack: %w", err)
	}
	if sha256.Sum256(b) != list[i].Hash {
		return nil, allod.Errorf(allod.Corrupt, "read a pack: a frame is not the one that it names")
	}
	return b, nil
}

package known

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"slices"

	"allod"
	"allod/internal/vault/keytree"
	"allod/internal/vault/meta"
	"allod/internal/vault/rowcodec"
	"allod/internal/vault/seal"
)

const digestSize = 16

// layout is the order in which the cells of a table are digested: that of the
// columns' names, whatever the order in the schema, so that a column that is
// added or moved leaves the digests of rows without it as they are.
type layout struct {
	table *allod.Table
	names *rowcodec.Names // of the schema
	order []int           // of columns
	plain *rowcodec.Names // none: targets of lookups as text
}

func newLayout(s *meta.Schema, number uint32) *layout {
	l := &layout{table: s.TableOf(number), names: s.Names, plain: rowcodec.NewNames(&allod.Schema{})}
	for i := range l.table.Columns {
		l.order = append(l.order, i)
	}
	slices.SortFunc(l.order, func(a, b int) int { return cmp.Compare(l.table.Columns[a].Name, l.table.Columns[b].Name) })
	return l
}

// canonical appends what the digest of a row's content is made of, and returns
// its cells too.
func (l *layout) canonical(b, packed []byte) ([]byte, []allod.Value, error) {
	cells, err := rowcodec.Decode(packed, l.names)
	if err != nil {
		return b, nil, err
	}
	for _, i := range l.order {
		if i >= len(cells) || cells[i].IsAbsent() {
			continue
		}
		c := &l.table.Columns[i]
		b = append(binary.AppendUvarint(b, uint64(len(c.Name))), c.Name...)
		b = append(b, c.ID[:]...)
		if b, err = rowcodec.Append(b, cells[i:i+1], l.plain); err != nil {
			return b, nil, err
		}
	}
	return b, cells, nil
}

func digest(seed keytree.Seed, canonical []byte) [digestSize]byte {
	key := sha256.Sum256(append([]byte("allod known digest v1"), seed[:]...))
	mac := hmac.New(sha256.New, key[:])
	_, _ = mac.Write(canonical) // a hash does not fail
	return [digestSize]byte(mac.Sum(nil))
}

// details is what is sealed of a record that is alive.
type details struct {
	row   seal.Row                 // its id and source version
	files map[string]allod.FileRef // by column; without name and type
}

const (
	flagPair  = 1
	flagFiles = 2
)

func (d *details) encode() ([]byte, error) {
	b := append([]byte{0}, d.row.Key[:]...)
	if d.row.IsPair() {
		b[0] |= flagPair
		b = append(append(b, d.row.Pair[0][:]...), d.row.Pair[1][:]...)
	}
	b = binary.BigEndian.AppendUint64(b, d.row.Version)
	if len(d.files) == 0 {
		return b, nil
	}
	b[0] |= flagFiles
	files, err := json.Marshal(d.files)
	if err != nil {
		return nil, allod.Errorf(allod.Internal, "seal what is known: %w", err)
	}
	return append(b, files...), nil
}

func decodeDetails(b []byte) (*details, bool) {
	const guid = len(allod.GUID{})
	if len(b) < 1+guid || b[0]&^(flagPair|flagFiles) != 0 {
		return nil, false
	}
	flags, d := b[0], new(details)
	b = b[1+copy(d.row.Key[:], b[1:]):]
	if flags&flagPair != 0 {
		if len(b) < 2*guid {
			return nil, false
		}
		copy(d.row.Pair[0][:], b)
		b = b[guid+copy(d.row.Pair[1][:], b[guid:]):]
	}
	if len(b) < 8 {
		return nil, false
	}
	d.row.Version, b = binary.BigEndian.Uint64(b), b[8:]
	if flags&flagFiles == 0 {
		return d, len(b) == 0
	}
	return d, json.Unmarshal(b, &d.files) == nil
}

func (x *Index) rowAD(p *seal.Place, d []byte) []byte {
	b := append([]byte("allod known row v1"), x.vault[:]...)
	b = binary.BigEndian.AppendUint64(b, p.Root)
	b = binary.BigEndian.AppendUint32(b, p.Environment)
	b = binary.BigEndian.AppendUint32(b, p.Table)
	b = append(b, p.Tag[:]...)
	b = binary.BigEndian.AppendUint64(append(b, p.Generation), p.Capture)
	return append(b, d...)
}

func rowKey(seed keytree.Seed, salt []byte) [32]byte {
	b := append([]byte("allod known row v1"), seed[:]...)
	return sha256.Sum256(append(b, salt...))
}

// sealRow is stage.Sealer: salt, digest, and what is sealed. Of a deletion
// there is nothing to know but that it is one.
func (u *Update) sealRow(out []byte, p *seal.Place, seed keytree.Seed, salt [keytree.SaltSize]byte, r *seal.Row) ([]byte, error) {
	if p.Op == seal.OpDelete {
		return out, nil
	}
	l := u.layouts[p.Table]
	b, cells, err := l.canonical(nil, r.Content)
	if err != nil {
		return out, err
	}
	d := digest(seed, b)
	known := details{row: seal.Row{Key: r.Key, Pair: r.Pair, Version: r.Version}}
	for i, c := range cells {
		if c.Type() != allod.File {
			continue
		}
		f, err := c.FileRef()
		if err != nil {
			return out, err
		}
		if known.files == nil {
			known.files = map[string]allod.FileRef{}
		}
		known.files[l.table.Columns[i].Name] = allod.FileRef{SourceID: f.SourceID, Size: f.Size, Content: f.Content, SHA256: f.SHA256}
	}
	plain, err := known.encode()
	if err != nil {
		return out, err
	}
	aead, err := newGCM(rowKey(seed, salt[:]))
	if err != nil {
		return out, err
	}
	out = append(append(out, salt[:]...), d[:]...)
	return aead.Seal(out, make([]byte, aead.NonceSize()), plain, u.x.rowAD(p, d[:])), nil
}

// openRow opens what sealRow sealed.
func (x *Index) openRow(p *seal.Place, seed keytree.Seed, sealed []byte) (*details, error) {
	bad := allod.Errorf(allod.Corrupt, "open what is known of a record: it is not what was written")
	if len(sealed) < keytree.SaltSize+digestSize {
		return nil, bad
	}
	salt, d, rest := sealed[:keytree.SaltSize], sealed[keytree.SaltSize:keytree.SaltSize+digestSize], sealed[keytree.SaltSize+digestSize:]
	aead, err := newGCM(rowKey(seed, salt))
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), rest, x.rowAD(p, d))
	if err != nil {
		return nil, bad
	}
	known, ok := decodeDetails(plain)
	if !ok {
		return nil, bad
	}
	return known, nil
}
